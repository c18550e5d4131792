"""Run a suite: ask every case, rank pages for it, score both. A case that fails is recorded, never dropped."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from evals.aggregate import ScoredCase, abstention_table, aggregate
from evals.asking import CaseRow, run_case
from evals.case import Case
from evals.metrics.catalogue import resolve_metric
from evals.suite import SplitChoice, Suite
from lockgate.errors import UserError
from lockgate.ports import Asker, Progress, Retriever
from lockgate.types import AnswerMode


@dataclass(frozen=True, slots=True)
class EvalRun:
    """One execution of a suite."""

    id: str
    suite: Suite
    mode: str
    split: SplitChoice
    limit: int | None
    started_at: datetime
    finished_at: datetime
    rows: tuple[CaseRow, ...]
    aggregates: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def snapshots(self) -> list[str]:
        """Snapshots that answered; more than one means that a sync moved the index during the run."""
        found = {row.outcome.answer.snapshot for row in self.rows if row.outcome.answer}
        found |= {row.retrieval.snapshot for row in self.rows if row.retrieval}
        return sorted(found)

    @property
    def scored_anything(self) -> bool:
        return any(each["n"] for each in self.aggregates["metrics"].values())

    def as_json(self) -> dict[str, Any]:
        definition = self.suite.definition
        return {
            "run": self.id,
            "suite": definition.name,
            "suite_version": definition.version,
            "suite_hash": self.suite.hash,
            "mode": self.mode,
            "split": self.split,
            "limit": self.limit,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "snapshots": self.snapshots,
            "metadata": dict(self.metadata),
            "aggregates": dict(self.aggregates),
            "cases": [row.as_json() for row in self.rows],
        }


async def run_suite(
    suite: Suite,
    asker: Asker,
    retriever: Retriever,
    *,
    mode: AnswerMode | None = None,
    split: SplitChoice = "all",
    limit: int | None = None,
    concurrency: int = 2,
    progress: Progress | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> EvalRun:
    """Ask the chosen cases, at most ``concurrency`` at once; ``mode`` None takes what the chain definition says.

    Raises UserError when the choice holds no case. What goes wrong within a case ends up in its row.
    """
    cases = suite.select(split, limit)
    if not cases:
        raise UserError(f"The suite {suite.name!r} has no case in split {split!r} (limit {limit}).")
    run_id = new_run_id()
    started = datetime.now(UTC)
    gate = asyncio.Semaphore(max(1, concurrency))
    done = 0

    async def one(case: Case) -> CaseRow:
        nonlocal done
        async with gate:
            row = await run_case(
                case,
                asker,
                retriever,
                metrics=suite.definition.metrics,
                timeout=suite.definition.timeout_s,
                mode=mode,
            )
        done += 1
        if progress:
            progress("cases", done, len(cases))
        return row

    if progress:
        progress("cases", 0, len(cases))
    rows = tuple(await asyncio.gather(*(one(case) for case in cases)))
    return EvalRun(
        id=run_id,
        suite=suite,
        mode=mode or _mode_seen(rows),
        split=split,
        limit=limit,
        started_at=started,
        finished_at=datetime.now(UTC),
        rows=rows,
        aggregates=aggregate_rows(suite, rows, complete=len(rows) == len(suite.cases)),
        metadata=dict(metadata or {}),
    )


def new_run_id() -> str:
    """Sorts by time; safe as a folder name."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def aggregate_rows(suite: Suite, rows: Sequence[CaseRow], *, complete: bool) -> dict[str, Any]:
    """Every metric of the suite over all rows and per split, the abstention table, and the answer score.

    ``answer_score`` decides between the modes, so it exists only for a run over the whole suite.
    """
    by_split = {
        split: part for split in ("dev", "test") if (part := [row for row in rows if row.outcome.case.split == split])
    }
    metrics = _aggregate_all(suite, rows)
    return {
        "metrics": metrics,
        "by_split": {split: _aggregate_all(suite, part) for split, part in by_split.items()},
        "abstention": abstention_table([row.outcome for row in rows]),
        "abstention_by_split": {s: abstention_table([row.outcome for row in part]) for s, part in by_split.items()},
        "cases": len(rows),
        "failed": sum(bool(row.errors) for row in rows),
        "complete": complete,
        "answer_score": _answer_score(rows) if complete else None,
    }


def mode_score(aggregates: Mapping[str, Any]) -> float | None:
    """The number by which ``auto`` compares modes: mean token F1 over answerable cases, abstentions and errors as 0.

    None for a run over a part of the suite: its cases are not those of the run it would be compared with.
    """
    score = aggregates.get("answer_score")
    return float(score) if isinstance(score, int | float) else None


def _answer_score(rows: Sequence[CaseRow]) -> float | None:
    metric = resolve_metric("token_f1")
    scored = [ScoredCase(row.outcome.case.answerable, metric.score(row.outcome)) for row in rows]
    total = aggregate(metric, scored)
    # A run in which nothing answered says nothing of a mode; as a zero it would make the other one look better.
    return total.pessimistic if total.n else None


def _aggregate_all(suite: Suite, rows: Sequence[CaseRow]) -> dict[str, Any]:
    return {
        name: asdict(
            aggregate(resolve_metric(name), [ScoredCase(row.outcome.case.answerable, row.scores[name]) for row in rows])
        )
        for name in suite.definition.metrics
    }


def _mode_seen(rows: Sequence[CaseRow]) -> str:
    modes = {row.outcome.answer.mode for row in rows if row.outcome.answer}
    return modes.pop() if len(modes) == 1 else "mixed" if modes else "unknown"
