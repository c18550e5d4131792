"""A release as a suite measured it: its evidence, its rows held against the suite's cases, and the scores of each.

The suite says which cases there are, not the rows: a case without a row is unscored, however it got lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evals.case import Case
from evals.evidence import Evidence
from evals.judge.identity import PROTOCOL, JudgeIdentity
from evals.metrics.metric import Metric
from evals.metrics.repeats import score_of_repeats
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.rules.records import Records
from evals.runs.row import Row
from evals.statistics.pairs import MetricShape, Pair, Value
from evals.suite import Suite
from lockgate.errors import Corrupt

if TYPE_CHECKING:
    from lockgate.release import Manifest

_AGAIN = "Run the suite again."


@dataclass(frozen=True, slots=True)
class CaseScore:
    """What one case scored, over all its repeats."""

    case: Case
    slices: Mapping[str, str]
    score: Score

    @property
    def number(self) -> float | None:
        return self.score if isinstance(self.score, float) else None

    @property
    def applies(self) -> bool:
        return not isinstance(self.score, NotApplicable)


@dataclass(frozen=True)
class Measured:
    """Evidence with its rows; ``rows`` are by case, each in the order of its repeats."""

    suite: Suite
    evidence: Evidence
    rows: Mapping[str, Sequence[Row]]

    @property
    def repeats(self) -> int:
        return self.evidence.body.repeats

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Cases that lack a row."""
        return tuple(case.id for case in self.suite.cases if len(self.rows.get(case.id, ())) < self.repeats)

    def scores(self, metric: Metric) -> list[CaseScore]:
        """One for each case of the suite, in its order."""
        return [CaseScore(case, self.suite.slices_of(case), self._score(case, metric)) for case in self.suite.cases]

    def output(self, case_id: str) -> Any:
        """Everything that the release gave for a case: equal for two releases means that nothing changed."""
        return [
            (row.answer, row.abstained, row.citations, row.ranking, row.chunk_ranking, row.passages, row.tool_calls)
            for row in self.rows.get(case_id, ())
        ]

    def judge(self) -> JudgeIdentity | None:
        """Who judged, as far as the evidence says it."""
        said = self.evidence.body.judge
        if not said or said.get("protocol") != PROTOCOL:
            return None
        prompts, parameters = said.get("prompts"), said.get("parameters")
        if not isinstance(prompts, dict) or not isinstance(parameters, dict):
            return None
        return JudgeIdentity(str(said.get("model", "")), str(said.get("host", "")), prompts, parameters)

    def _score(self, case: Case, metric: Metric) -> Score:
        rows = self.rows.get(case.id, ())
        if len(rows) < self.repeats:
            return Unscored("the row is missing" if not rows else f"{self.repeats - len(rows)} repeats are missing")
        return score_of_repeats(metric, [row.score(metric) for row in rows], self.repeats)


def read_measured(records: Records, suite: Suite, evidence: Evidence) -> Measured:
    """Raises NotFound, and Corrupt for rows that cannot be those of a run of ``suite``."""
    short = evidence.id[:12]
    if evidence.body.repeats < suite.definition.repeats:
        raise Corrupt(
            f"Evidence {short} asked each case {evidence.body.repeats} time(s), and the suite says "
            f"{suite.definition.repeats}.",
            hint=_AGAIN,
        )
    rows: dict[str, dict[int, Row]] = {case.id: {} for case in suite.cases}
    for row in records.rows(evidence):
        if row.case not in rows or not 0 <= row.repeat < evidence.body.repeats:
            raise Corrupt(f"Evidence {short} has a row of a case that the suite does not have: {row.case[:80]}.")
        if row.repeat in rows[row.case]:
            raise Corrupt(f"Evidence {short} has the case {row.case[:80]} twice.", hint=_AGAIN)
        rows[row.case][row.repeat] = row
    ordered = {name: tuple(found[number] for number in sorted(found)) for name, found in rows.items()}
    return Measured(suite, evidence, ordered)


def strange(measured: Measured, manifest: Manifest) -> str:
    """Why the rows cannot be what this release answers, as a sentence; "" when they can."""
    mode, wanted = measured.evidence.body.mode, manifest.route.mode
    if mode in ("extractive", "generative", "mixed") and mode != wanted:
        return f"The run was asked in mode {mode}, and the release answers in mode {wanted}."
    snapshots = {row.snapshot for rows in measured.rows.values() for row in rows if row.snapshot}
    if others := sorted(snapshots - {manifest.snapshot.id}):
        return (
            f"The run was answered from snapshot {others[0][:12]}, and the release pins {manifest.snapshot.id[:12]}: "
            "these are answers from another index."
        )
    return ""


@dataclass(frozen=True, slots=True)
class Weighing:
    """How scores are weighed so that their mean over all cases is the metric's number, and the shape of the result.

    A balanced metric is the mean of two halves' means: each score is weighed by what its half lacks. The spread between
    the halves then counts as spread too, which errs on the safe side. ``possible`` is False when a half is empty.
    """

    shape: MetricShape
    halves: Mapping[bool, float]
    possible: bool = True

    def weigh(self, score: CaseScore) -> float | None:
        return None if score.number is None else score.number * self.halves[score.case.answerable]


def weighing_of(metric: Metric, due: Sequence[Case], repeats: int) -> Weighing:
    """A score that is weighed is no yes or no any more."""
    if metric.aggregation == "mean":
        shape = MetricShape(metric.name, metric.scale, metric.direction, metric.binary_over(repeats))
        return Weighing(shape, {True: 1.0, False: 1.0})
    sizes = {half: sum(case.answerable == half for case in due) for half in (True, False)}
    weights = {half: len(due) / (2 * size) if size else 0.0 for half, size in sizes.items()}
    low, high = (end * max(weights.values(), default=1.0) for end in metric.scale)
    if not all(sizes.values()):
        return Weighing(MetricShape(metric.name, metric.scale, metric.direction), weights, possible=False)
    return Weighing(MetricShape(metric.name, (min(0.0, low), high), metric.direction), weights)


def values_of(scores: Sequence[CaseScore], metric: Metric, repeats: int) -> tuple[list[Value], Weighing]:
    """The values of the cases that the metric applies to, for a bound on their mean."""
    due = [each for each in scores if each.applies]
    weighing = weighing_of(metric, [each.case for each in due], repeats)
    return [Value(each.case.id, each.case.cluster, weighing.weigh(each)) for each in due], weighing


def pairs_of(new: Measured, old: Measured, metric: Metric) -> tuple[list[Pair], Weighing, int]:
    """Pairs of the cases that the metric applies to in both, and how many it applies to in one of them only."""
    both = list(zip(new.scores(metric), old.scores(metric), strict=True))
    due = [(mine, other) for mine, other in both if mine.applies and other.applies]
    lonely = sum(mine.applies != other.applies for mine, other in both)
    weighing = weighing_of(metric, [mine.case for mine, _ in due], max(new.repeats, old.repeats))
    pairs = [
        Pair(
            mine.case.id,
            mine.case.cluster,
            mine.slices,
            weighing.weigh(mine),
            weighing.weigh(other),
            same=new.output(mine.case.id) == old.output(mine.case.id),
        )
        for mine, other in due
    ]
    return pairs, weighing, lonely
