"""Binary metrics over the same cases: the cases that changed from right to wrong or back are all that matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evals.statistics.pairs import MetricShape, Pair


@dataclass(frozen=True, slots=True)
class McNemar:
    """``better`` and ``worse`` count the cases that changed. ``p`` is exact and two-sided, ``mid_p`` counts half of
    what was observed, and ``p_worse`` is one-sided, for "the new one is worse"."""

    better: int
    worse: int
    p: float
    mid_p: float
    p_worse: float


def mcnemar_exact(pairs: Sequence[Pair], shape: MetricShape) -> McNemar:
    """McNemar's exact test: of the cases that changed, half should have become worse. Unscored pairs are left out.

    Sources: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional", BMC Medical Research Methodology 13, 2013. It takes cases as
    independent: where cases share a page, the interval of the difference is the one to trust.
    """
    better = worse = 0
    for pair in pairs:
        new, old = shape.oriented(pair.new), shape.oriented(pair.old)
        if new is not None and old is not None:
            better += new > old
            worse += new < old
    return changes(better, worse)


def changes(better: int, worse: int) -> McNemar:
    """The test of these two counts."""
    total, fewer = better + worse, min(better, worse)
    tail = sum(_half(total, count) for count in range(fewer + 1))
    p = min(1.0, 2 * tail)
    mid_p = min(1.0, 2 * tail - _half(total, fewer))
    return McNemar(better, worse, p, mid_p, min(1.0, sum(_half(total, count) for count in range(better + 1))))


def caught(n: int, drop: float, changed: float, *, alpha: float = 0.05) -> float:
    """The chance that the one-sided exact test finds a drop.

    Of ``n`` independent cases a share ``changed`` changes, those that become worse exceeding those that become better
    by ``drop`` (all three over all cases). Raises ValueError when fewer cases change than the drop needs.
    """
    if not 0 < drop <= changed <= 1:
        raise ValueError(f"a drop of {drop:g} needs at least as many cases that change, got {changed:g}")
    share_better = (changed - drop) / 2 / changed
    power = 0.0
    for total in range(n + 1):
        weight = _binomial(n, total, changed)
        if weight > 1e-12:
            most = _critical(total, alpha)
            power += weight * sum(_binomial(total, better, share_better) for better in range(most + 1))
    return power


def _critical(total: int, alpha: float) -> int:
    """The largest count of better ones among ``total`` changes with a one-sided p of at most ``alpha``; -1 for none."""
    tail, count = 0.0, -1
    while count < total and tail + _half(total, count + 1) <= alpha:
        count += 1
        tail += _half(total, count)
    return count


def _half(n: int, k: int) -> float:
    return _binomial(n, k, 0.5)


def _binomial(n: int, k: int, share: float) -> float:
    if share in (0.0, 1.0):
        return float(k == n * share)
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(share) + (n - k) * math.log1p(-share))
