"""A run as reports show it, whether it is fresh, out of the store, or has not finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import Metric
from evals.metrics.score import Unscored
from evals.runs.row import Row
from evals.runs.run import EvalRun, aggregates_of
from evals.runs.run_store import RunPlan
from lockgate.store.eval_runs import EvalRunRecord


@dataclass(frozen=True)
class ReportedRun:
    """``finished_at`` is None for a run that has not finished: its aggregates are then over the rows that are there.
    ``expected`` is how many rows it set out to have, None when that is not known any more."""

    id: str
    suite: str
    suite_version: str
    suite_hash: str
    chain: str
    mode: str
    release: str
    split: str
    limit: int | None
    repeats: int
    tier: str
    started_at: datetime
    finished_at: datetime | None
    snapshots: tuple[str, ...]
    metadata: Mapping[str, Any]
    aggregates: Mapping[str, Any]
    rows: tuple[Row, ...]
    expected: int | None = None

    @property
    def complete(self) -> bool:
        """Whether it has finished and asked the whole suite."""
        return self.finished_at is not None and bool(self.aggregates.get("complete"))

    @property
    def scored_anything(self) -> bool:
        return any(each["n"] for each in self.aggregates["metrics"].values())

    @property
    def missing_scores(self) -> int:
        """Scores that cases should have and do not have."""
        return sum(each["unscored"] for each in self.aggregates["metrics"].values())

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Those that this version of Lockgate still knows."""
        return known_metrics(self.aggregates["metrics"])

    @cached_property
    def by_case(self) -> Mapping[str, tuple[Row, ...]]:
        cases: dict[str, tuple[Row, ...]] = {}
        for row in self.rows:
            cases[row.case] = (*cases.get(row.case, ()), row)
        return cases

    def missing_reasons(self, row: Row) -> list[str]:
        """Why the row lacks scores: what failed, and what each metric says that is not that."""
        errors = row.errors
        scores = {metric.row_name: row.score(metric) for metric in self.metrics}
        reasons = [f"{name}: {each.reason}" for name, each in scores.items() if isinstance(each, Unscored)]
        return [*errors, *(reason for reason in reasons if not any(error in reason for error in errors))]

    def as_json(self) -> dict[str, Any]:
        """What ``EvalRun.as_json`` gives, and the release, its chain and whether the run is whole."""
        return {
            "run": self.id,
            "suite": self.suite,
            "suite_version": self.suite_version,
            "suite_hash": self.suite_hash,
            "release": self.release,
            "chain": self.chain,
            "mode": self.mode,
            "split": self.split,
            "limit": self.limit,
            "repeats": self.repeats,
            "tier": self.tier,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "complete": self.complete,
            "expected_rows": self.expected,
            "snapshots": list(self.snapshots),
            "metadata": dict(self.metadata),
            "aggregates": dict(self.aggregates),
            "cases": [row.as_json() for row in self.rows],
        }


def known_metrics(names: Mapping[str, Any] | list[str]) -> tuple[Metric, ...]:
    found = []
    for name in names:
        try:
            found.append(resolve_metric(name))
        except ValueError:  # of another version of Lockgate
            continue
    return tuple(found)


def reported_run(run: EvalRun) -> ReportedRun:
    """A run that has just ended."""
    definition = run.suite.definition
    return ReportedRun(
        id=run.id,
        suite=definition.name,
        suite_version=str(definition.version),
        suite_hash=run.suite.hash,
        chain=str(run.metadata.get("chain", "")),
        mode=run.mode,
        release=str(run.metadata.get("release", "")),
        split=run.split,
        limit=run.limit,
        repeats=run.repeats,
        tier=run.tier,
        started_at=run.started_at,
        finished_at=run.finished_at,
        snapshots=tuple(run.snapshots),
        metadata=run.metadata,
        aggregates=run.aggregates,
        rows=run.rows,
        expected=len(run.rows),
    )


def finished_run(record: EvalRunRecord, rows: tuple[Row, ...]) -> ReportedRun:
    """A run out of the store."""
    details = dict(record.metadata)
    split, limit, repeats, tier = (details.pop(key, None) for key in ("split", "limit", "repeats", "tier"))
    return ReportedRun(
        id=record.id,
        suite=record.suite,
        suite_version=record.suite_version,
        suite_hash=record.suite_hash,
        chain=record.chain,
        mode=record.mode,
        release=record.release,
        split=str(split or "all"),
        limit=limit,
        repeats=int(repeats or 1),
        tier=str(tier or ""),
        started_at=record.started_at,
        finished_at=record.finished_at,
        snapshots=tuple(part for part in record.snapshot.split(",") if part),
        metadata=details,
        aggregates=record.aggregates,
        rows=rows,
        expected=len(rows),
    )


def unfinished_run(plan: RunPlan, version: str, rows: tuple[Row, ...], expected: int | None) -> ReportedRun:
    """A run that was stopped, or is going on now, with the rows that it has."""
    names = dict.fromkeys(name for row in rows for part in (row.scores, row.unscored) for name in part)
    metrics = known_metrics(list(names))
    return ReportedRun(
        id=plan.id,
        suite=plan.suite,
        suite_version=version,
        suite_hash=plan.suite_hash,
        chain=str(plan.metadata.get("chain", "")),
        mode=plan.mode or "as the release says",
        release=plan.release,
        split=plan.split,
        limit=plan.limit,
        repeats=plan.repeats,
        tier=plan.tier,
        started_at=plan.started_at,
        finished_at=None,
        snapshots=tuple(sorted({row.snapshot for row in rows if row.snapshot})),
        metadata=plan.metadata,
        aggregates=aggregates_of(metrics, rows, complete=False),
        rows=rows,
        expected=expected,
    )
