"""From the repeats of one case to its score: their mean, or for ``pass^3:goal_reached`` how likely three of them pass.

A mean over repeats hides a case that works every other time; somebody who relies on it needs all of them to work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from evals.metrics.metric import Metric
from evals.metrics.score import Score, Unscored

MOST = 100
"""The largest k: no suite repeats its cases more often."""

_PASS = re.compile(r"pass\^([0-9]{1,6}):(.*)", re.DOTALL)


def split_pass(name: str) -> tuple[int, str] | None:
    """(k, name of the base) of ``pass^K:BASE``; None for any other name. Raises ValueError for a k that is none."""
    found = _PASS.fullmatch(name)
    if not found:
        if name.startswith("pass^"):
            raise ValueError("pass^K:METRIC was expected, such as pass^3:goal_reached")
        return None
    k = int(found[1])
    if not 2 <= k <= MOST:
        raise ValueError(f"the k of pass^{found[1]} is from 2 to {MOST}")
    return k, found[2]


def pass_metric(base: Metric, k: int) -> Metric:
    """``pass^k`` of a binary metric. Rows keep the scores of ``base``; a case's score is made of all its rows.

    More is better whatever the base's direction: passing is the good end of its scale. Raises ValueError for a metric
    that is not binary.
    """
    if base.base is not None or not base.binary:
        raise ValueError(f"pass^{k} is of a metric that is passed or failed, and {base.name} is none")
    return replace(
        base,
        name=f"pass^{k}:{base.name}",
        scale=(0.0, 1.0),
        direction="higher",
        description=f"Chance that {k} repeats of a case all pass {base.name}.",
        base=base,
        passes=k,
    )


def measured_metrics(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """What has to be measured of each row so that all of ``metrics`` are known, each once."""
    return tuple({each.row_name: each.base or each for each in metrics}.values())


def score_of_repeats(metric: Metric, scores: Sequence[Score], due: int) -> Score:
    """The score of a case from those of its repeats, of which there should be ``due``.

    One that is missing or unscored leaves the case unscored: half of it would be a guess at the whole. Raises
    ValueError without any score.
    """
    if not scores:
        raise ValueError("a case without a row has no scores")
    if missing := [each for each in scores if isinstance(each, Unscored)]:
        if len(scores) == 1:
            return missing[0]
        return Unscored(f"{len(missing)} of {len(scores)} repeats are unscored: {missing[0].reason}")
    if len(scores) < due:
        return Unscored(f"{due - len(scores)} of {due} repeats are missing")
    numbers = [each for each in scores if isinstance(each, float)]
    if not numbers:
        return scores[0]
    if metric.base is None:
        return math.fsum(numbers) / len(numbers)
    if len(numbers) < len(scores):
        return Unscored(f"{metric.base.name} applies to {len(numbers)} of {len(scores)} repeats only")
    return _pass_hat(metric.base, numbers, metric.passes)


def _pass_hat(base: Metric, scores: Sequence[float], k: int) -> Score:
    """C(c, k) / C(n, k) for c passes in n repeats: the unbiased estimate of p to the k.

    Source: Yao, Shinn, Razavi and Narasimhan, "tau-bench: A Benchmark for Tool-Agent-User Interaction in Real-World
    Domains", 2024 (arXiv:2406.12045), section 3. For n = k it is 1 when all pass, else 0.
    """
    n = len(scores)
    if n < k:
        return Unscored(f"pass^{k} needs {k} repeats of a case, and there {'is 1' if n == 1 else f'are {n}'}")
    best = base.scale[1] if base.direction == "higher" else base.scale[0]
    passed = sum(each == best for each in scores)
    return math.comb(passed, k) / math.comb(n, k)
