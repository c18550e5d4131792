"""What a gate can decide with a suite's cases: which n detects which drop, and which margins this n supports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from evals.aggregate import scored_cases
from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import Metric
from evals.statistics.clusters import cluster_sums, mean_and_error
from evals.statistics.discordance import caught
from evals.statistics.pairs import MetricShape
from evals.statistics.power import POWER, PlannedRule, Power, needed, power_at
from lockgate.errors import UserError

if TYPE_CHECKING:
    from evals.rules.definitions import SuiteRule
    from evals.runs.row import Row

SIZES = (50, 100, 200, 400, 800)
DROP, CHANGED = 0.05, 0.15
"""The plain table: 10 of 100 cases become worse, 5 better, and the one-sided exact McNemar test looks for it."""

BINARY_SD = math.sqrt(CHANGED)
OTHER_SD = 0.3
"""Standard deviation of differences that is assumed without rows, as a share of the scale's width."""

ALIKE = 0.6
"""Correlation assumed between the scores of two releases when there are rows of one only."""

Kind = Literal["drop", "floor"]


@dataclass(frozen=True, slots=True)
class GateBound:
    """One bound of a gate: ``limit`` is the margin or the floor; ``part`` is the slice and its value, or None. With
    fewer than ``min_n`` scored cases the gate lets nothing pass."""

    metric: str
    kind: Kind
    limit: float
    part: tuple[str, str] | None = None
    min_n: int = 0

    @property
    def label(self) -> str:
        where = f", {self.part[0]} {self.part[1]}" if self.part else ""
        return f"{self.metric} {self.kind}{where}"


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a rule is planned on, and where it is from. ``share`` of the suite's cases have a value under the rule;
    ``rule`` is None when the rows say that the bound cannot be kept, and ``problem`` says why."""

    bound: GateBound
    share: float
    rule: PlannedRule | None
    source: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class GatePlan:
    """``cases`` is the suite's n, ``needed`` the n at which the whole gate decides with ``power``; both count the cases
    of the suite, of which each rule sees its share. ``at`` says what several n give."""

    cases: int
    power: float
    correlation: float | None
    assumed: tuple[Assumed, ...]
    needed: int | None
    here: Power | None
    at: tuple[Power, ...]
    drops: tuple[tuple[int, float], ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "drop_table": {"drop": DROP, "changed": CHANGED, "alpha": 0.05}}


def bounds_of(rule: SuiteRule) -> list[GateBound]:
    """Every floor, drop and floor of a slice that the gate's rule states."""
    bounds = [GateBound(name, "floor", value, min_n=rule.min_n) for name, value in rule.floors.items()]
    bounds += [
        GateBound(name, "floor", floor, (part, value))
        for part, values in rule.slices.items()
        for value, floors in values.items()
        for name, floor in floors.items()
    ]
    return bounds + [GateBound(name, "drop", value, min_n=rule.min_n) for name, value in rule.max_drop.items()]


def plan_gate(
    bounds: Sequence[GateBound],
    cases: int,
    rows: Sequence[Row] = (),
    other: Sequence[Row] = (),
    *,
    sds: Mapping[str, float] | None = None,
    power: float = POWER,
    correlation: float | None = None,
) -> GatePlan:
    """Plan a gate of ``bounds`` over a suite of ``cases`` cases.

    ``rows`` are those of a run of the suite, ``other`` those of a run of another release that is about as good: with
    both, the spread of differences is measured; with one, two releases are assumed to correlate by ALIKE; with none,
    the spread is assumed. ``sds`` are given spreads of differences by metric, and win. Raises UserError without bounds.
    """
    if not bounds:
        raise UserError("The gate has no floor and no max_drop for this suite, so there is nothing to plan.")
    assumed = tuple(_assume(bound, rows, other, (sds or {}).get(bound.metric)) for bound in bounds)
    rules = [each.rule for each in assumed if each.rule is not None]
    sizes = sorted({*SIZES, cases})
    at = tuple(power_at(rules, n, correlation=correlation) for n in sizes) if rules else ()
    return GatePlan(
        cases=cases,
        power=power,
        correlation=correlation,
        assumed=assumed,
        needed=needed(rules, power=power, correlation=correlation) if rules else None,
        here=next((each for each in at if each.n == cases), None),
        at=at,
        drops=tuple((n, caught(n, DROP, CHANGED)) for n in SIZES),
    )


def _assume(bound: GateBound, rows: Sequence[Row], other: Sequence[Row], sd: float | None) -> Assumed:
    metric = resolve_metric(bound.metric)
    pilot = _pilot(metric, bound, rows)
    compared = _pilot(metric, bound, other)
    if bound.kind == "drop":
        return _assume_drop(bound, metric, pilot, compared, sd)
    return _assume_floor(bound, metric, pilot)


@dataclass(frozen=True, slots=True)
class _Pilot:
    """The scores of a run under one bound: by case, (cluster, score), weighed as the metric's mean weighs them."""

    scores: Mapping[str, tuple[str, float]]
    share: float


def _pilot(metric: Metric, bound: GateBound, rows: Sequence[Row]) -> _Pilot | None:
    cases = list({row.case: row for row in rows}.values())
    if not cases:
        return None
    found = zip(cases, scored_cases(metric, _grouped(rows)), strict=True)
    chosen = [
        (row, each.score)
        for row, each in found
        if isinstance(each.score, float) and (bound.part is None or row.slices.get(bound.part[0]) == bound.part[1])
    ]
    if len(chosen) < 2:
        return None
    halves = {half: sum(row.answerable == half for row, _ in chosen) for half in (True, False)}
    balanced = metric.aggregation == "balanced" and all(halves.values())
    weight = {half: len(chosen) / (2 * size) if balanced else 1.0 for half, size in halves.items() if size}
    scores = {row.case: (row.cluster, score * weight[row.answerable]) for row, score in chosen}
    return _Pilot(scores, len(chosen) / len(cases))


def _grouped(rows: Sequence[Row]) -> list[Row]:
    order = {case: number for number, case in enumerate(dict.fromkeys(row.case for row in rows))}
    return sorted(rows, key=lambda row: order[row.case])


def _assume_drop(
    bound: GateBound, metric: Metric, pilot: _Pilot | None, other: _Pilot | None, sd: float | None
) -> Assumed:
    shape = MetricShape(metric.name, metric.scale, metric.direction)
    rule = PlannedRule(
        bound.label,
        "drop",
        bound.limit,
        shape.width * (BINARY_SD if metric.binary else OTHER_SD),
        width=shape.width,
        loss=shape.width,
        reached=shape.reached,
        min_n=bound.min_n,
    )
    source = f"assumed: {100 * CHANGED:g} % of the cases change" if metric.binary else "assumed"
    share = pilot.share if pilot else 1.0
    if pilot and other:
        shared = [case for case in pilot.scores if case in other.scores]
        if len(shared) > 1:
            values = [(pilot.scores[case][0], pilot.scores[case][1] - other.scores[case][1]) for case in shared]
            rule = _with_spread(rule, values, 1.0)
            source = f"{len(shared)} cases of two runs"
    elif pilot:
        rule = _with_spread(rule, list(pilot.scores.values()), math.sqrt(2 * (1 - ALIKE)))
        source = f"{len(pilot.scores)} cases of one run; two releases assumed to correlate by {ALIKE:g}"
    if sd is not None:
        rule, source = replace(rule, sd=sd), "given"
    return Assumed(bound, share, replace(rule, share=share), source)


def _assume_floor(bound: GateBound, metric: Metric, pilot: _Pilot | None) -> Assumed:
    shape = MetricShape(metric.name, metric.scale, metric.direction)
    if pilot is None:
        return Assumed(bound, 1.0, None, "", "A floor can be planned only from a run's rows.")
    values = list(pilot.scores.values())
    mean = math.fsum(score for _, score in values) / len(values)
    above = shape.sign * (mean - bound.limit)
    source = f"{len(values)} cases of one run, mean {mean:.3g}"
    if above <= 0:
        problem = f"The run's mean, {mean:.3g}, is not beyond {bound.limit:g}: no n makes such a release pass."
        return Assumed(bound, pilot.share, None, source, problem)
    from_worst = shape.sign * mean - shape.worst
    rule = PlannedRule(
        bound.label,
        "floor",
        above,
        0.0,
        width=shape.width,
        loss=shape.width,
        expected=from_worst,
        reached=shape.reached,
        min_n=bound.min_n,
    )
    return Assumed(bound, pilot.share, replace(_with_spread(rule, values, 1.0), share=pilot.share), source)


def _with_spread(rule: PlannedRule, values: Sequence[tuple[str, float]], factor: float) -> PlannedRule:
    """The rule with the spread of these values, times ``factor``, and with what their clusters do to it."""
    scores = [score for _, score in values]
    mean = math.fsum(scores) / len(scores)
    variance = math.fsum((each - mean) ** 2 for each in scores) / (len(scores) - 1)
    sums = cluster_sums([(cluster, score, score) for cluster, score in values])
    effect = 1.0
    if variance > 0 and sums.freedom > 0:
        effect = max(1.0, float(mean_and_error(sums.low, sums.sizes)[1]) ** 2 * len(scores) / variance)
    size = max(1.0, sums.n / sums.effective)
    return replace(rule, sd=factor * math.sqrt(variance), design_effect=effect, cluster_size=size)
