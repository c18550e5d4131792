"""Which cases fare otherwise in the newer of two runs, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from evals.aggregate import scored_cases
from evals.comparing.compare import Comparison
from evals.comparing.score_changes import (
    KINDS,
    Kind,
    ScoreChange,
    count_kinds,
    counts_as_change,
    kind_of,
    score_change,
)
from evals.metrics.metric import Metric
from evals.metrics.score import Score, Unscored
from evals.reports.reported_run import ReportedRun, known_metrics
from evals.runs.row import Row

_ABSENT = Unscored("the case has no row")


@dataclass(frozen=True, slots=True)
class CaseChange:
    """``old`` and ``new`` are the rows of the first repeat, None for a case that one run does not have."""

    case: str
    kind: Kind
    scores: tuple[ScoreChange, ...]
    old: Row | None
    new: Row | None

    @property
    def row(self) -> Row:
        """The newer one that there is."""
        return next(row for row in (self.new, self.old) if row is not None)

    def as_json(self) -> dict[str, Any]:
        return {"case": self.case, "kind": self.kind, "scores": [asdict(each) for each in self.scores]}


def find_changes(old: ReportedRun, new: ReportedRun, comparison: Comparison) -> tuple[CaseChange, ...]:
    """The cases that differ, the worst first. What an answer took differs in every run, so it makes no case differ."""
    metrics = [each for each in known_metrics([one.metric for one in comparison.metrics]) if counts_as_change(each)]
    scores = [(metric, scores_by_case(metric, old), scores_by_case(metric, new)) for metric in metrics]
    found = []
    for case in dict.fromkeys([*old.by_case, *new.by_case]):
        changed = tuple(
            change
            for metric, before, after in scores
            if (change := score_change(metric, before.get(case, _ABSENT), after.get(case, _ABSENT)))
        )
        first, second = (_first(run, case) for run in (old, new))
        if changed or _output(first) != _output(second):
            found.append(CaseChange(case, kind_of(changed), changed, first, second))
    return tuple(sorted(found, key=_order))


def counts_of(changes: Iterable[CaseChange]) -> dict[Kind, int]:
    return count_kinds(change.kind for change in changes)


def said(row: Row | None) -> str:
    """The answer in words, or what there is instead of one."""
    if row is None:
        return "(no row)"
    if row.answer is None:
        return f"(failed) {'; '.join(row.errors) or 'no answer is stored'}"
    return f"(abstains) {row.answer}" if row.abstained else row.answer


def scores_by_case(metric: Metric, run: ReportedRun) -> dict[str, Score]:
    found = scored_cases(metric, [row for rows in run.by_case.values() for row in rows])
    return {case: each.score for case, each in zip(run.by_case, found, strict=True)}


def _first(run: ReportedRun, case: str) -> Row | None:
    return run.by_case[case][0] if case in run.by_case else None


def _output(row: Row | None) -> tuple[object, ...]:
    return () if row is None else (row.answer, row.abstained, tuple(row.errors))


def _order(change: CaseChange) -> tuple[int, float, str]:
    total = sum(each.change or 0.0 for each in change.scores)
    return list(KINDS).index(change.kind), -total if change.kind == "better" else total, change.case
