"""How many cases a gate needs, and what a number of cases can show.

The chances are those of a normal mean around the limits that ``evals.statistics.decision`` computes. They are checked
against simulations of that very decision (``evals.statistics.simulation``, ``python -m bench.gate_simulation``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from evals.statistics.clusters import IMAGINED
from evals.statistics.decision import ALPHA
from evals.statistics.student import student_quantile

POWER = 0.8
MOST = 200_000
LEAST = 40
"""No smaller n is stated: below it a few cases that change are far from a normal mean."""

_NORMAL = NormalDist()
_STEPS = 250
_SAFETY = 1.03
"""The spread of a sample varies and goes with its mean, which costs a little power that the formula does not see."""


@dataclass(frozen=True, slots=True)
class PlannedRule:
    """One rule of a gate, and what is assumed of the scores it will see.

    ``kind`` drop: ``margin`` is the largest drop allowed, ``sd`` the standard deviation of the differences between two
    releases that are equally good. ``kind`` floor: ``expected`` is the mean of a good release, ``margin`` how far the
    floor is below it, ``sd`` that of the scores. ``width`` is that of the scale, ``loss`` what a case loses when it
    breaks. ``design_effect`` is how much the clusters inflate the variance, ``cluster_size`` how many cases the usual
    cluster holds. ``share`` of the suite's cases have a value under the rule; every n counts the suite's cases. With
    fewer than ``min_n`` values nothing passes.
    """

    metric: str
    kind: Literal["drop", "floor"]
    margin: float
    sd: float
    width: float = 1.0
    loss: float = 1.0
    expected: float | None = None
    design_effect: float = 1.0
    cluster_size: float = 1.0
    reached: bool = True
    share: float = 1.0
    min_n: int = 0

    def __post_init__(self) -> None:
        if self.margin <= 0 or self.sd < 0 or self.design_effect < 1 or self.cluster_size < 1:
            raise ValueError(f"{self.metric}: a margin above 0, an sd from 0 and a design effect from 1 are needed")

    @property
    def worse_mean(self) -> float | None:
        """Under a floor, the mean of a release that is two margins worse, from the scale's bad end on: nothing is worse
        than that end. None where it is not known."""
        if self.kind == "drop" or self.expected is None or not self.reached:
            return None
        return max(0.0, self.expected - 2 * self.margin)

    @property
    def sd_of_dropped(self) -> float:
        """The sd when the release is two margins worse, because some cases broke; at most what scores between the ends
        of the scale with that mean can have."""
        drop = 2 * self.margin
        sd = math.sqrt(max(0.0, self.sd**2 + drop * max(self.loss, drop) - drop**2))
        mean = self.worse_mean
        return sd if mean is None else min(sd, math.sqrt(mean * (self.width - mean)))

    def passes(self, n: float, alpha: float = ALPHA) -> float:
        """The chance of PASS for a release that is as good as expected."""
        if math.floor(n * self.share + 1e-9) < self.min_n:
            return 0.0
        return self._clears(n, alpha, self.margin, self.sd, self._imagined(down=True))

    def fails(self, n: float, alpha: float = ALPHA) -> float:
        """The chance of FAIL for a release that is two margins worse: that far below the other release, or one margin
        below the floor, as far as the scale goes."""
        distance = self.margin * (2 if self.kind == "drop" else 1)
        if self.expected is not None and self.worse_mean is not None:
            distance = self.expected - self.margin - self.worse_mean
        return self._clears(n, alpha, distance, self.sd_of_dropped, self._imagined(down=False))

    def _imagined(self, *, down: bool) -> float:
        """How far the imagined clusters are from the mean that is assumed."""
        if not self.reached:
            return 3 * self.sd
        if self.expected is not None and self.worse_mean is not None:
            return self.expected if down else self.width - self.worse_mean
        return self.width + (0.0 if down else 2 * self.margin)

    def _clears(self, n: float, alpha: float, distance: float, sd: float, imagined: float) -> float:
        n = n * self.share
        clusters = n / self.cluster_size
        if clusters < 2:
            return 0.0
        variance = sd**2 * self.design_effect
        weight = IMAGINED * self.cluster_size
        total = n + weight
        shift = weight * imagined / total
        squares = n * variance + IMAGINED * (self.cluster_size * imagined) ** 2
        reach = student_quantile(1 - alpha, clusters - 1) * math.sqrt(squares) / total
        left = distance - shift - reach
        error = _SAFETY * math.sqrt(n * variance) / total
        if error == 0:
            return 1.0 if left > 0 else 0.0
        return _NORMAL.cdf(left / error)


@dataclass(frozen=True, slots=True)
class Power:
    """What ``n`` cases give: the chance that a good release passes all rules, and for each rule the chance of PASS,
    the chance that FAIL finds a release two margins worse in that metric alone, and the margin that n supports."""

    n: int
    joint: float
    passes: tuple[float, ...]
    fails: tuple[float, ...]
    margins: tuple[float | None, ...]


def joint_chance(chances: Sequence[float], correlation: float | None = None) -> float:
    """The chance that all of several rules pass.

    Without a ``correlation`` the bound that holds however they depend on each other (Bonferroni's); with one, that of
    normal means that are all correlated by it.
    """
    if correlation is None or len(chances) < 2:
        return max(0.0, 1 - math.fsum(1 - each for each in chances))
    if not 0 <= correlation < 1:
        raise ValueError(f"the correlation is {correlation:g}, and must be from 0 to below 1")
    limits = [_NORMAL.inv_cdf(min(1 - 1e-12, max(1e-12, each))) for each in chances]
    steps = [-8 + index * 0.02 for index in range(801)]
    shared, own = math.sqrt(correlation), math.sqrt(1 - correlation)
    return math.fsum(
        0.02 * _NORMAL.pdf(z) * math.prod(_NORMAL.cdf((limit + shared * z) / own) for limit in limits) for z in steps
    )


def power_at(rules: Sequence[PlannedRule], n: int, *, alpha: float = ALPHA, correlation: float | None = None) -> Power:
    """What ``n`` cases give for a gate of these rules. FAIL is counted after Holm's correction over all of them."""
    passes = tuple(rule.passes(n, alpha) for rule in rules)
    fails = tuple(rule.fails(n, alpha / len(rules)) for rule in rules)
    margins = tuple(supported_margin(rule, n, rules=len(rules), alpha=alpha) for rule in rules)
    return Power(n, joint_chance(passes, correlation), passes, fails, margins)


def needed(
    rules: Sequence[PlannedRule], *, power: float = POWER, alpha: float = ALPHA, correlation: float | None = None
) -> int | None:
    """The smallest n from 40 on at which a good release passes with ``power``, and one that is two margins worse in any
    one metric fails with it; None when that takes over 200,000. Raises ValueError without rules."""
    if not rules:
        raise ValueError("a gate without rules needs no cases")

    def enough(n: int) -> bool:
        passes = [rule.passes(n, alpha) for rule in rules]
        return joint_chance(passes, correlation) >= power and all(
            rule.fails(n, alpha / len(rules)) >= power for rule in rules
        )

    if enough(LEAST):
        return LEAST
    high = LEAST
    while not enough(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def supported_margin(
    rule: PlannedRule, n: int, *, rules: int = 1, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """The smallest margin that ``n`` cases support, for one of ``rules`` rules whose joint chance is to be ``power``.

    None when nothing up to half of the scale is.
    """
    each = 1 - (1 - power) / rules

    def supports(margin: float) -> bool:
        tried = replace(rule, margin=margin)
        return tried.passes(n, alpha) >= each and tried.fails(n, alpha / rules) >= power

    # Not monotonous under a floor: the further below the mean it is, the less is left of the scale below it.
    steps = [rule.width / 2 * step / _STEPS for step in range(1, _STEPS + 1)]
    high = next((margin for margin in steps if supports(margin)), None)
    if high is None:
        return None
    low = high - rule.width / 2 / _STEPS
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if supports(middle) else (middle, high)
    return high


def detectable(se: float, clusters: float, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """The difference that a two-sided comparison with this standard error finds with ``power``."""
    return (student_quantile(1 - alpha / 2, max(1.0, clusters - 1)) + _NORMAL.inv_cdf(power)) * se
