"""PASS, FAIL or INCONCLUSIVE: has the release dropped by less than a margin, and is it above a floor?

Against another release: PASS when the lower limit of the difference is above minus the margin; else FAIL when the
release is worse beyond doubt; else INCONCLUSIVE. Against a floor: PASS when the lower limit is at or above it, FAIL
when the mean is below it beyond doubt. A case without a score counts as every score that it could have had, and the
verdict is the worst of them all: taking a score away never makes a verdict better.
docs/decisions/0005-decision-rule.md says why the rule is this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from evals.statistics.clusters import (
    IMAGINED,
    ClusterSums,
    Imagined,
    below_p,
    cluster_sums,
    lower_limit,
    mean_and_error,
    upper_limit,
)
from evals.statistics.multiplicity import holm
from evals.statistics.pairs import MetricShape, Pair, Value
from evals.statistics.student import student_quantile
from evals.verdict import Verdict

ALPHA = 0.05
MOST_CASES = 100_000

_UNDECIDED = "More cases would decide it."

Range = tuple[str, float, float]
"""A case's cluster, and the lowest and the highest that its score, or difference, could be."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one rule decided, and on what.

    ``value`` is the mean over the ``n`` scored cases, turned so that more is better, or None without any; ``low`` and
    ``high`` are its one-sided limits at ``alpha`` with the ``missing`` cases counted at their worst. ``threshold`` is
    what the lower limit must clear: minus the margin, or the floor. ``fail_below`` is what the mean must be below for
    FAIL: 0, or the floor; ``p_fail`` is the p-value of "it is not". ``if_scored`` is the verdict that the scored cases
    alone would give; ``more`` is about how many more cases would decide an INCONCLUSIVE rule, None when that cannot be
    told.
    """

    metric: str
    kind: str
    verdict: Verdict
    reason: str
    hint: str
    value: float | None
    low: float | None
    high: float | None
    threshold: float
    fail_below: float
    alpha: float
    p_fail: float
    n: int
    missing: int
    clusters: int
    identical: bool
    if_scored: Verdict
    more: int | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def non_inferior(pairs: Sequence[Pair], shape: MetricShape, margin: float, alpha: float = ALPHA) -> Decision:
    """Whether new is worse than old by less than ``margin``, which is in the metric's own units.

    A release whose stored outputs and scores are all those of the old one passes: nothing is left to chance. Raises
    ValueError for a margin below 0 or an alpha outside (0, 0.5).
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"{shape.name}: the margin {margin:g} is not a number from 0 on")
    ranges = [(pair.cluster, *_difference_range(pair, shape)) for pair in pairs]
    identical = bool(pairs) and all(pair.same for pair in pairs) and all(low == high == 0 for _, low, high in ranges)
    return _Rule(shape, "drop", -margin, 0.0, alpha, shape.width, 0.0).decide(ranges, identical)


def floor(values: Sequence[Value], shape: MetricShape, floor: float, alpha: float = ALPHA) -> Decision:
    """Whether the mean is at or above ``floor``; for a metric where lower is better, at or below it.

    Raises ValueError for a floor off the scale or an alpha outside (0, 0.5).
    """
    threshold = shape.oriented(floor)
    if threshold is None:
        raise ValueError(f"{shape.name}: the floor {floor:g} is off the scale {shape.scale[0]:g} to {shape.scale[1]:g}")
    ranges = []
    for each in values:
        score = shape.oriented(each.score)
        ranges.append((each.cluster, shape.worst, shape.best) if score is None else (each.cluster, score, score))
    middle = (shape.worst + shape.best) / 2
    return _Rule(shape, "floor", threshold, threshold, alpha, shape.width / 2, middle).decide(ranges, identical=False)


def decide_together(decisions: Mapping[str, Decision], alpha: float = ALPHA) -> dict[str, Decision]:
    """The decisions of one gate, each FAIL being kept only while it stands among all of them.

    FAIL claims that the release is worse, and every rule is a chance to claim that wrongly: Holm's correction keeps the
    chance of any wrong FAIL at ``alpha``. PASS needs no correction, because all rules must pass: Berger,
    "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 1982 (the intersection-union test).
    """
    adjusted = holm({name: each.p_fail for name, each in decisions.items()})
    return {name: _corrected(each, adjusted[name], alpha, len(decisions)) for name, each in decisions.items()}


def overall(decisions: Mapping[str, Decision]) -> Verdict:
    """FAIL when one rule failed, PASS when all pass, else INCONCLUSIVE; INCONCLUSIVE without rules."""
    verdicts = {each.verdict for each in decisions.values()}
    if "FAIL" in verdicts:
        return "FAIL"
    return "PASS" if verdicts == {"PASS"} else "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class _Rule:
    """``reach`` and ``middle``: the values lie within middle - reach and middle + reach."""

    shape: MetricShape
    kind: str
    threshold: float
    fail_below: float
    alpha: float
    reach: float
    middle: float

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha is {self.alpha:g}, and must be between 0 and 0.5")

    def decide(self, ranges: Sequence[Range], identical: bool) -> Decision:
        scored = [each for each in ranges if each[1] == each[2]]
        missing = len(ranges) - len(scored)
        verdict, low, high, p_fail, clusters = self._judge(ranges, identical)
        if_scored = self._judge(scored, identical)[0] if missing and scored else verdict
        value = math.fsum(each[1] for each in scored) / len(scored) if scored else None
        more = self._more(ranges) if verdict == "INCONCLUSIVE" else None
        draft = Decision(
            metric=self.shape.name,
            kind=self.kind,
            verdict=verdict,
            reason="",
            hint="",
            value=value,
            low=low,
            high=high,
            threshold=self.threshold,
            fail_below=self.fail_below,
            alpha=self.alpha,
            p_fail=p_fail,
            n=len(scored),
            missing=missing,
            clusters=clusters,
            identical=identical,
            if_scored=if_scored,
            more=more,
        )
        return replace(draft, reason=_reason(draft, self.shape), hint=_hint(draft))

    def _judge(
        self, ranges: Sequence[Range], identical: bool
    ) -> tuple[Verdict, float | None, float | None, float, int]:
        """(verdict, lower limit, upper limit, p of FAIL, clusters)"""
        if not ranges:
            return "INCONCLUSIVE", None, None, 1.0, 0
        sums = cluster_sums(ranges)
        clusters = len(sums.sizes)
        if identical:
            return "PASS", 0.0, 0.0, 1.0, clusters
        if sums.freedom <= 0:
            return "INCONCLUSIVE", None, None, 1.0, clusters
        bad, good = self._imagined(ranges)
        least, most = self.middle - self.reach, self.middle + self.reach
        low = max(least, float(lower_limit(sums, self.alpha, bad)))
        high = min(most, float(upper_limit(sums.low, sums.sizes, self.alpha, good)))
        p_fail = below_p(sums, self.fail_below, good)
        cleared = low >= self.threshold if self.kind == "floor" else low > self.threshold
        verdict: Verdict = "PASS" if cleared else "FAIL" if p_fail <= self.alpha else "INCONCLUSIVE"
        return verdict, low, high, p_fail, clusters

    def _imagined(self, ranges: Sequence[Range]) -> tuple[Imagined, Imagined]:
        """What the rule adds against PASS, and against FAIL.

        At the ends of the scale, where cases do score there. Else the extremes that were seen; with an unscored case
        against PASS the end of the scale, since that is what the case may have been.
        """
        worst, best = self.middle - self.reach, self.middle + self.reach
        if self.shape.reached:
            return Imagined(worst), Imagined(best)
        seen = [each[1] for each in ranges if each[1] == each[2]]
        if self.kind == "drop":
            farthest = max((abs(each) for each in seen), default=0.0)
            lowest, highest = -farthest, farthest
        else:
            lowest, highest = min(seen, default=worst), max(seen, default=self.threshold)
        return Imagined(lowest if len(seen) == len(ranges) else worst), Imagined(max(highest, self.threshold))

    def _more(self, ranges: Sequence[Range]) -> int | None:
        """About how many more cases like these would bring a decision; None when they are too few or too close."""
        sums = cluster_sums(ranges) if ranges else None
        if sums is None or sums.freedom <= 0:
            return None
        mean, error = (float(each) for each in mean_and_error(sums.low, sums.sizes))
        bad, good = self._imagined(ranges)
        ways = [
            more_cases(sums, mean, error, mean - self.threshold, bad.value, self.alpha),
            more_cases(sums, mean, error, self.fail_below - mean, good.value, self.alpha),
        ]
        return min((each for each in ways if each is not None), default=None)


def more_cases(
    sums: ClusterSums, mean: float, error: float, distance: float, imagined: float, alpha: float
) -> int | None:
    """How many more cases bring the limit within ``distance`` of the mean, if both the mean and the spread stay."""
    if distance <= 0:
        return None
    n, size = sums.n, sums.n / sums.effective
    while n <= MOST_CASES:
        n = math.ceil(n * 1.05) if n > 40 else n + 1
        weight = IMAGINED * size
        total = n + weight
        squares = (error * sums.n) ** 2 * n / sums.n + IMAGINED * (size * (imagined - mean)) ** 2
        reach = student_quantile(1 - alpha, max(1.0, n / size - 1))
        if weight * abs(imagined - mean) / total + reach * math.sqrt(squares) / total < distance:
            return round(n - sums.n)
    return None


def _difference_range(pair: Pair, shape: MetricShape) -> tuple[float, float]:
    new, old = shape.oriented(pair.new), shape.oriented(pair.old)
    lowest = (shape.worst if new is None else new) - (shape.best if old is None else old)
    highest = (shape.best if new is None else new) - (shape.worst if old is None else old)
    return lowest, highest


def _corrected(decision: Decision, adjusted: float, alpha: float, rules: int) -> Decision:
    decision = replace(decision, p_fail=adjusted)
    if decision.verdict != "FAIL" or adjusted <= alpha:
        return decision
    reason = (
        f"{decision.metric}: it fails on its own, but one of {rules} rules does so by chance too often "
        f"(p = {adjusted:.3f} after Holm's correction)."
    )
    hint = f"Score the {decision.missing} case(s) that have no score." if decision.missing else _UNDECIDED
    return replace(decision, verdict="INCONCLUSIVE", reason=reason, hint=hint)


def _reason(each: Decision, shape: MetricShape) -> str:
    cases = f"{each.n} cases" if each.n != 1 else "1 case"
    if each.missing:
        cases += f" and {each.missing} without a score, counted at the worst"
    if each.identical:
        return f"{each.metric}: all {each.n} outputs and scores are identical to those of the other release."
    if each.low is None:
        return f"{each.metric}: {cases} from {each.clusters} page(s) are too few to judge."
    if each.kind == "drop":
        margin, drop = -each.threshold, max(0.0, -each.low)
        found = f"difference {_number(each.value, sign=True)} over {cases}"
        if each.verdict == "PASS":
            return f"{each.metric}: it dropped by less than {drop:.3g}, the margin is {margin:g}; {found}."
        if each.verdict == "FAIL":
            worse = f"it is worse (p = {each.p_fail:.2g}), by up to {drop:.3g}"
            return f"{each.metric}: {worse}, the margin is {margin:g}; {found}."
        return f"{each.metric}: the drop may be up to {drop:.3g}, the margin is {margin:g}; {found}."
    limit, least = shape.sign * each.threshold, shape.sign * each.low
    what, side = ("floor", "at least") if shape.direction == "higher" else ("ceiling", "at most")
    found = f"mean {_number(each.value if each.value is None else shape.sign * each.value)} over {cases}"
    if each.verdict == "PASS":
        return f"{each.metric}: {side} {least:.3g}, the {what} is {limit:g}; {found}."
    if each.verdict == "FAIL":
        return f"{each.metric}: it misses the {what} {limit:g} (p = {each.p_fail:.2g}); {found}."
    return f"{each.metric}: certain is only {side} {least:.3g}, the {what} is {limit:g}; {found}."


def _hint(each: Decision) -> str:
    if each.verdict == "PASS":
        return ""
    if each.missing and each.if_scored != each.verdict:
        return f"Score the {each.missing} case(s) that have no score: without them it would be {each.if_scored}."
    if each.verdict == "FAIL":
        return ""
    if each.more is not None:
        return f"About {each.more} more cases would decide it."
    if each.low is None:
        return "Add cases."
    return "More cases like these would hardly decide it: the result is too close to the threshold."


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "unknown"
    value += 0.0  # no minus before a zero
    return f"{value:+.3g}" if sign else f"{value:.3g}"
