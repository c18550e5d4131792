"""Which cases fare otherwise in the newer of two runs, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from evals.aggregate import scored_cases
from evals.comparing.compare import Comparison
from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import Metric
from evals.metrics.score import Score, Unscored
from evals.reports.reported_run import ReportedRun
from evals.runs.row import Row

Kind = Literal["lost", "worse", "mixed", "better", "gained", "answer"]

KINDS: Mapping[Kind, str] = {
    "lost": "score lost",
    "worse": "worse",
    "mixed": "better and worse",
    "better": "better",
    "gained": "score gained",
    "answer": "other answer, same scores",
}
"""What became of a case, the worst first. ``lost``: it had a score and has none now."""

_ABSENT = Unscored("the case has no row")


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """One metric of one case; None is unscored, with the reason beside it. ``change`` is in parts of the scale, more is
    better, and None when a side lacks a score."""

    metric: str
    old: float | None
    new: float | None
    change: float | None
    why_old: str = ""
    why_new: str = ""


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
    metrics = [resolve_metric(each.metric) for each in comparison.metrics if each.group != "performance"]
    scores = {metric.name: (metric, scores_by_case(metric, old), scores_by_case(metric, new)) for metric in metrics}
    found = []
    for case in dict.fromkeys([*old.by_case, *new.by_case]):
        changed = tuple(
            change for metric, before, after in scores.values() if (change := _change(metric, case, before, after))
        )
        first, second = (_first(run, case) for run in (old, new))
        if changed or _output(first) != _output(second):
            found.append(CaseChange(case, _kind(changed), changed, first, second))
    return tuple(sorted(found, key=_order))


def count_kinds(changes: tuple[CaseChange, ...]) -> dict[Kind, int]:
    counts = Counter(change.kind for change in changes)
    return {kind: counts[kind] for kind in KINDS}


def kinds_in_words(changes: tuple[CaseChange, ...], cases: int) -> str:
    """Such as "2 worse, 1 better, 37 with the same scores"."""
    counts = count_kinds(changes)
    same = cases - sum(count for kind, count in counts.items() if kind != "answer")
    words = [f"{count} {KINDS[kind]}" for kind, count in counts.items() if count and kind != "answer"]
    return ", ".join([*words, f"{same} with the same scores"])


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


def _change(metric: Metric, case: str, before: Mapping[str, Score], after: Mapping[str, Score]) -> ScoreChange | None:
    old, new = before.get(case, _ABSENT), after.get(case, _ABSENT)
    if isinstance(old, float) and isinstance(new, float):
        if old == new:
            return None
        low, high = metric.scale
        sign = 1.0 if metric.direction == "higher" else -1.0
        return ScoreChange(metric.name, old, new, sign * (new - old) / (high - low))
    if isinstance(old, float) and isinstance(new, Unscored):
        return ScoreChange(metric.name, old, None, None, why_new=new.reason)
    if isinstance(old, Unscored) and isinstance(new, float):
        return ScoreChange(metric.name, None, new, None, why_old=old.reason)
    return None


def _kind(scores: tuple[ScoreChange, ...]) -> Kind:
    if any(each.new is None for each in scores):
        return "lost"
    ups, downs = (any(sign * (each.change or 0.0) > 0 for each in scores) for sign in (1, -1))
    if downs:
        return "mixed" if ups else "worse"
    if ups:
        return "better"
    return "gained" if scores else "answer"


def _order(change: CaseChange) -> tuple[int, float, str]:
    total = sum(each.change or 0.0 for each in change.scores)
    return list(KINDS).index(change.kind), -total if change.kind == "better" else total, change.case
