"""Whether one arm is worse than the other with confidence: intervals of a difference and of a ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, variance

from evals.statistics.student import student_quantile
from evals.statistics.wilson import wilson

Z = 2.58
"""Standard errors to each side. A rollout is looked at again and again, and each look is a chance to be wrong: more
than the usual 1.96 keeps the sum of those chances small (``python -m bench.rollout`` counts them)."""

SHORTEST_MS = 0.1  # below it, differences are the clock's


def difference_of_rates(new: tuple[int, int], old: tuple[int, int], z: float = Z) -> tuple[float, float]:
    """Limits of (new rate - old rate), each rate given as (count, n).

    Newcombe's hybrid score interval, method 10: it joins the Wilson limits of both rates, so it holds for small n and
    for rates at 0 and 1. Source: Newcombe, "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", Statistics in Medicine 17, 1998.
    """
    first, second = wilson(*new, z), wilson(*old, z)
    new_rate, old_rate = new[0] / new[1], old[0] / old[1]
    difference = new_rate - old_rate
    low = difference - math.hypot(new_rate - first.low, second.high - old_rate)
    high = difference + math.hypot(first.high - new_rate, old_rate - second.low)
    return max(-1.0, low), min(1.0, high)


def ratio_of_times(new: Sequence[float], old: Sequence[float], z: float = Z) -> tuple[float, float, float]:
    """(ratio of the geometric means, its lower limit, its upper limit) of durations in milliseconds.

    Welch's interval on the logarithms: durations are skewed, their logarithms much less so, and the two arms need not
    scatter alike. Source: Welch, "The generalization of Student's problem when several different population variances
    are involved", Biometrika 34, 1947. Raises ValueError when an arm has fewer than two durations.
    """
    if min(len(new), len(old)) < 2:
        raise ValueError("a ratio of times needs at least two durations in each arm")
    logs = [[math.log(max(value, SHORTEST_MS)) for value in values] for values in (new, old)]
    difference = fmean(logs[0]) - fmean(logs[1])
    first, second = (variance(values) / len(values) for values in logs)
    spread = first + second
    if spread == 0:
        return (math.exp(difference),) * 3
    freedom = spread**2 / (first**2 / (len(new) - 1) + second**2 / (len(old) - 1))
    half = student_quantile(NormalDist().cdf(z), freedom) * math.sqrt(spread)
    return math.exp(difference), math.exp(difference - half), math.exp(difference + half)
