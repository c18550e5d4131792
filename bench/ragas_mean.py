"""What Ragas' own result says of rows without a score, beside ours; docs/judges.md shows it.

``python -m bench.ragas_mean`` needs Ragas: pip install lockgate[evals].
"""

from __future__ import annotations

import math

from evals.aggregate import ScoredCase, aggregate
from evals.metrics.catalogue import resolve_metric
from evals.metrics.score import Unscored
from evals.ragas_adapter import load_ragas

NAN = math.nan
ROWS = {"[nan, nan, nan, nan, 1.0]": [NAN, NAN, NAN, NAN, 1.0], "[nan, nan, nan, nan, nan]": [NAN] * 5}
FLOOR = 0.8


def ragas_value(scores: list[float]) -> float:
    """The function that makes every mean of Ragas' ``EvaluationResult``."""
    load_ragas()
    from ragas.utils import safe_nanmean

    return float(safe_nanmean(scores))


def main() -> None:
    print("rows | Ragas: value | score < 0.8 fails it? | ours: value | n | unscored | pessimistic")
    metric = resolve_metric("token_f1")
    for name, scores in ROWS.items():
        theirs = ragas_value(scores)
        cases = [ScoredCase(True, Unscored("NaN") if math.isnan(score) else score) for score in scores]
        ours = aggregate(metric, cases)
        fails = "yes" if theirs < FLOOR else "no"
        print(f"{name} | {theirs} | {fails} | {ours.value} | {ours.n} | {ours.unscored} | {ours.pessimistic}")


if __name__ == "__main__":
    main()
