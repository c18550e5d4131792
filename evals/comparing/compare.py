"""Two runs of one suite, case by case: what differs, how sure that is, and what so many cases could have shown.

Everything is B minus A, turned so that positive is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from evals.aggregate import scored_cases
from evals.metrics.metric import Metric
from evals.metrics.score import NotApplicable, Score
from evals.runs.row import Row
from evals.statistics.decision import Decision, decide_together, non_inferior, overall
from evals.statistics.difference import Difference, Mean, mean_interval, paired_difference
from evals.statistics.discordance import McNemar, mcnemar_exact
from evals.statistics.multiplicity import holm
from evals.statistics.pairs import MetricShape, Pair, Value
from evals.statistics.power import detectable
from evals.statistics.student import student_below
from evals.verdict import Verdict
from lockgate.errors import UserError


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs."""

    run: str
    release: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class ChangedCase:
    """A case whose score changed; the answers are those of its first repeat."""

    case: str
    question: str
    old: float
    new: float
    old_answer: str | None
    new_answer: str | None
    change: float


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """The difference over the cases that have ``value`` in the slice ``name``."""

    name: str
    value: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric over both runs.

    ``detectable`` is the difference that so many cases with this spread show in 80 % of the comparisons, None when
    nothing differs or there are too few. ``p`` is two-sided and tests for any difference, ``p_adjusted`` is Holm's over
    the metrics of the comparison. ``lonely`` cases are those that the metric applies to in one run only; they are in no
    number. ``decision`` is there where a margin is.
    """

    metric: str
    group: str
    scale: tuple[float, float]
    direction: str
    binary: bool
    old: Mean
    new: Mean
    difference: Difference
    detectable: float | None
    p: float | None
    p_adjusted: float | None
    mcnemar: McNemar | None
    lonely: int
    decision: Decision | None
    slices: tuple[SliceDifference, ...]
    better: tuple[ChangedCase, ...]
    worse: tuple[ChangedCase, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run B against run A over the cases of their suite. ``missing`` cases have rows in one run only."""

    old: Side
    new: Side
    suite: str
    suite_version: str
    suite_hash: str
    cases: int
    clusters: int
    missing: int
    identical: int
    metrics: tuple[MetricComparison, ...]

    @property
    def verdict(self) -> Verdict | None:
        """Over all metrics that have a margin; None when none has."""
        decisions = {each.metric: each.decision for each in self.metrics if each.decision is not None}
        return overall(decisions) if decisions else None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def compare_rows(
    old: Sequence[Row],
    new: Sequence[Row],
    metrics: Sequence[Metric],
    *,
    margins: Mapping[str, float] | None = None,
    sides: tuple[Side, Side],
    suite: tuple[str, str, str],
) -> Comparison:
    """Compare the rows of two runs; ``suite`` is its name, version and hash, ``sides`` are (A, B).

    A case that only one run has is unscored in the other. Raises UserError without rows or without a metric, and for a
    margin of a metric that is not compared or that is no number from 0 on.
    """
    if not old or not new:
        raise UserError("A run without rows cannot be compared.")
    if not metrics:
        raise UserError("The two runs have no metric in common.")
    _check_margins(margins or {}, metrics)
    both = _Both(_by_case(old), _by_case(new))
    found = [_compare_metric(metric, both, (margins or {}).get(metric.name)) for metric in metrics]
    clusters = {both.any_row(case).cluster or case for case in both.cases}
    return Comparison(
        old=sides[0],
        new=sides[1],
        suite=suite[0],
        suite_version=suite[1],
        suite_hash=suite[2],
        cases=len(both.cases),
        clusters=len(clusters),
        missing=sum(case not in both.old or case not in both.new for case in both.cases),
        identical=sum(both.same(case) for case in both.cases),
        metrics=_together(found),
    )


@dataclass(frozen=True, slots=True)
class _Both:
    old: Mapping[str, Sequence[Row]]
    new: Mapping[str, Sequence[Row]]

    @property
    def cases(self) -> list[str]:
        """In A's order, then what only B has."""
        return list(dict.fromkeys([*self.old, *self.new]))

    def any_row(self, case: str) -> Row:
        return (self.old.get(case) or self.new[case])[0]

    def same(self, case: str) -> bool:
        """Whether both runs gave the same output in every repeat."""
        first, second = ([_output(row) for row in rows.get(case, ())] for rows in (self.old, self.new))
        return bool(first) and first == second


def _output(row: Row) -> tuple[Any, ...]:
    return (
        row.repeat,
        row.answer,
        row.abstained,
        row.citations,
        row.ranking,
        row.chunk_ranking,
        row.passages,
        row.tool_calls,
    )


def _by_case(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """A case that lacks a repeat which others have is left with none of them: part of it is not the whole."""
    cases: dict[str, list[Row]] = {}
    for row in rows:
        cases.setdefault(row.case, []).append(row)
    repeats = max(len(each) for each in cases.values())
    return {case: each for case, each in cases.items() if len(each) == repeats}


def _scores(metric: Metric, rows: Mapping[str, Sequence[Row]]) -> dict[str, Score]:
    found = scored_cases(metric, [row for each in rows.values() for row in each])
    return {case: each.score for case, each in zip(rows, found, strict=True)}


def _compare_metric(metric: Metric, both: _Both, margin: float | None) -> MetricComparison:
    old, new = _scores(metric, both.old), _scores(metric, both.new)
    lonely = sum(
        isinstance(old.get(case), NotApplicable) != isinstance(new.get(case), NotApplicable) for case in both.cases
    )
    due = [
        case
        for case in both.cases
        if not isinstance(old.get(case), NotApplicable) and not isinstance(new.get(case), NotApplicable)
    ]
    binary = all(metric.binary_over(len(rows)) for side in (both.old, both.new) for rows in side.values())
    weights = _weights(metric, [both.any_row(case).answerable for case in due])
    shape = _shape(metric, max(weights, default=1.0), binary=binary)
    pairs = [
        Pair(
            case,
            both.any_row(case).cluster,
            both.any_row(case).slices,
            _weighed(new.get(case), weight),
            _weighed(old.get(case), weight),
            same=both.same(case),
        )
        for case, weight in zip(due, weights, strict=True)
    ]
    difference = paired_difference(pairs, shape)
    mcnemar = mcnemar_exact(pairs, shape) if shape.binary else None
    changed = _changed(metric, both, due, old, new)
    found = difference.se if difference.low is not None else None
    return MetricComparison(
        metric=metric.name,
        group=metric.group,
        scale=metric.scale,
        direction=metric.direction,
        binary=metric.binary,
        old=mean_interval([Value(each.case, each.cluster, each.old) for each in pairs], shape),
        new=mean_interval([Value(each.case, each.cluster, each.new) for each in pairs], shape),
        difference=difference,
        detectable=detectable(found, difference.clusters) if found else None,
        p=_p_value(difference, mcnemar),
        p_adjusted=None,
        mcnemar=mcnemar,
        lonely=lonely,
        decision=None if margin is None else non_inferior(pairs, shape, margin),
        slices=_slices(pairs, shape),
        better=tuple(each for each in changed if each.change > 0),
        worse=tuple(each for each in reversed(changed) if each.change < 0),
    )


def _weights(metric: Metric, answerable: Sequence[bool]) -> list[float]:
    """1 for each case; for a balanced metric, what makes the plain mean that of the two halves' means."""
    sizes = {half: sum(each == half for each in answerable) for half in (True, False)}
    if metric.aggregation == "mean" or not all(sizes.values()):
        return [1.0] * len(answerable)
    return [len(answerable) / (2 * sizes[half]) for half in answerable]


def _shape(metric: Metric, weight: float, *, binary: bool) -> MetricShape:
    if weight == 1.0:
        return MetricShape(metric.name, metric.scale, metric.direction, binary)
    low, high = metric.scale
    return MetricShape(metric.name, (min(0.0, low * weight), high * weight), metric.direction)


def _weighed(score: Score | None, weight: float) -> float | None:
    return score * weight if isinstance(score, float) else None


def _p_value(difference: Difference, mcnemar: McNemar | None) -> float | None:
    """Exact for binary metrics over cases that stand alone, else that of the clustered t."""
    if difference.value is None or difference.se is None:
        return None
    if mcnemar is not None and difference.clusters == difference.n:
        return mcnemar.p
    if difference.se == 0:
        return 1.0 if difference.value == 0 else 0.0
    return 2 * student_below(-abs(difference.value / difference.se), difference.clusters - 1)


def _slices(pairs: Sequence[Pair], shape: MetricShape) -> tuple[SliceDifference, ...]:
    parts: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        for name, value in pair.slices.items():
            parts.setdefault((name, value), []).append(pair)
    return tuple(SliceDifference(*key, paired_difference(parts[key], shape)) for key in sorted(parts))


def _changed(
    metric: Metric, both: _Both, due: Sequence[str], old: Mapping[str, Score], new: Mapping[str, Score]
) -> list[ChangedCase]:
    """Largest gain first, largest loss last."""
    sign = 1.0 if metric.direction == "higher" else -1.0
    found = []
    for case in due:
        before, after = old.get(case), new.get(case)
        if not isinstance(before, float) or not isinstance(after, float) or before == after:
            continue
        first, second = both.old[case][0], both.new[case][0]
        change = sign * (after - before)
        found.append(ChangedCase(case, first.question, before, after, first.answer, second.answer, change))
    return sorted(found, key=lambda each: (-each.change, each.case))


def _together(found: Sequence[MetricComparison]) -> tuple[MetricComparison, ...]:
    """Holm's correction over the metrics that have a margin, or over all when none has."""
    gated = {each.metric for each in found if each.decision is not None} or {each.metric for each in found}
    adjusted = holm({each.metric: each.p for each in found if each.metric in gated and each.p is not None})
    decisions = decide_together({each.metric: each.decision for each in found if each.decision is not None})
    return tuple(
        replace(each, p_adjusted=adjusted.get(each.metric), decision=decisions.get(each.metric)) for each in found
    )


def _check_margins(margins: Mapping[str, float], metrics: Sequence[Metric]) -> None:
    known = {metric.name: metric for metric in metrics}
    for name, margin in margins.items():
        if name not in known:
            raise UserError(f"--margin {name}: is not compared.", hint=f"Compared are: {', '.join(known)}.")
        low, high = known[name].scale
        if not 0 <= margin < high - low:
            raise UserError(f"--margin {name}={margin:g}: from 0 to below {high - low:g} is needed.")
