"""Eval runs in the store: the plan and the rows of one that goes on, and the record of one that has finished."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from evals.metrics.metric import Tier
from evals.runs.row import Row, row_from_json, rows_from_json
from evals.runs.run import EvalRun
from evals.suite import SplitChoice, Suite
from lockgate.errors import Corrupt, NotFound, UserError
from lockgate.settings import Settings
from lockgate.store.database import Database
from lockgate.store.eval_rows import (
    EvalPlanRecord,
    begin_eval_run,
    discard_eval_plan,
    find_eval_plan,
    list_eval_plans,
    read_eval_rows,
    write_eval_row,
)
from lockgate.store.eval_runs import EvalRunRecord, get_eval_run, write_eval_run
from lockgate.store.objects import ObjectStore
from lockgate.types import AnswerMode


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run sets out to do; going on with it asks exactly that. ``fresh``: nothing is served from the cache."""

    id: str
    suite: str
    suite_hash: str
    release: str
    mode: AnswerMode | None
    split: SplitChoice
    limit: int | None
    repeats: int
    tier: Tier
    fresh: bool
    started_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)


_OWN_COLUMNS = ("id", "suite", "suite_hash", "release", "started_at")


def begin_run(db: Database, plan: RunPlan) -> None:
    """Keep the plan, so that the run can be resumed from now on."""
    body = {key: value for key, value in asdict(plan).items() if key not in _OWN_COLUMNS}
    begin_eval_run(db, EvalPlanRecord(plan.id, plan.suite, plan.suite_hash, plan.release, body, plan.started_at))


def resume_plan(db: Database, run_id: str, suite: Suite) -> RunPlan:
    """The plan of a run that has not finished.

    Raises NotFound that lists unfinished runs, UserError when it has finished or is of another suite, or when the suite
    has changed since: its rows and those to come would not measure the same.
    """
    try:
        kept = find_eval_plan(db, run_id)
    except NotFound:
        if _has_finished(db, run_id):
            raise UserError(f"The run {run_id} has finished: there is nothing to resume.") from None
        raise
    if kept.suite != suite.name:
        raise UserError(f"The run {run_id} is of the suite {kept.suite!r}, not {suite.name!r}.")
    if kept.suite_hash != suite.hash:
        raise UserError(
            f"The suite {suite.name!r} has changed since the run {run_id} began: its rows and new ones do not match.",
            hint="Begin a new run; answers that did not change come from the cache.",
        )
    return plan_of(kept)


def plan_of(kept: EvalPlanRecord) -> RunPlan:
    """Raises Corrupt for a plan of another version."""
    try:
        return RunPlan(kept.id, kept.suite, kept.suite_hash, kept.release, started_at=kept.started_at, **kept.plan)
    except TypeError:
        raise Corrupt(f"The plan of the run {kept.id} is of another version.", hint="Begin a new run.") from None


class RowKeeper:
    """Keeps rows in the store, one commit each, outside the event loop."""

    def __init__(self, db: Database, run_id: str) -> None:
        self._db, self._run_id = db, run_id
        self._lock = asyncio.Lock()  # SQLite has one writer: waiting here costs no thread
        self.kept = 0

    def rows(self) -> tuple[Row, ...]:
        """Those kept so far, by this process or an earlier one."""
        bodies = read_eval_rows(self._db, self._run_id)
        return tuple(row_from_json(body, where=f"run {self._run_id}") for body in bodies)

    async def keep(self, row: Row) -> None:
        async with self._lock:
            await asyncio.to_thread(write_eval_row, self._db, self._run_id, row.case, row.repeat, row.as_json())
        self.kept += 1


def finish_run(settings: Settings, db: Database, run: EvalRun) -> EvalRunRecord:
    """Write the run's record and its rows' object. ``auto`` reads the newest complete run of each mode from there.

    A run that has a record already keeps it: it was stopped between the record and what follows it.
    """
    if _has_finished(db, run.id):
        return get_eval_run(db, run.id)
    definition, snapshots = run.suite.definition, run.snapshots
    rows = [row.as_json() for row in run.rows]
    record = EvalRunRecord(
        id=run.id,
        suite=definition.name,
        suite_version=str(definition.version),
        suite_hash=run.suite.hash,
        chain=str(run.metadata["chain"]),
        mode=run.mode,
        # Quoting needs no chat model, so an extractive run stands for every one of them.
        model="" if run.mode == "extractive" else str(run.metadata["model"]),
        release=str(run.metadata["release"]),
        snapshot=snapshots[0] if len(snapshots) == 1 else ",".join(snapshots),
        started_at=run.started_at,
        finished_at=run.finished_at,
        aggregates=run.aggregates,
        rows_hash=ObjectStore(settings.state_dir / "objects").put(json.dumps(rows, ensure_ascii=False).encode()),
        metadata={
            **run.metadata,
            "split": run.split,
            "limit": run.limit,
            "repeats": run.repeats,
            "tier": run.tier,
        },
    )
    write_eval_run(db, record)
    return record


def forget_plan(db: Database, run_id: str) -> None:
    """The run's rows are in its record's object from now on."""
    discard_eval_plan(db, run_id)


def stored_rows(settings: Settings, db: Database, run_id: str) -> tuple[Row, ...]:
    """The rows of a run, finished or not. Raises NotFound and Corrupt."""
    try:
        record = get_eval_run(db, run_id)
    except NotFound:
        if run_id in {plan.id for plan in list_eval_plans(db)}:
            return RowKeeper(db, run_id).rows()
        raise
    return record_rows(settings, record)


def record_rows(settings: Settings, record: EvalRunRecord) -> tuple[Row, ...]:
    """The rows of a finished run, in the order of its suite. Raises NotFound and Corrupt."""
    data = ObjectStore(settings.state_dir / "objects").get(record.rows_hash)
    try:
        bodies = json.loads(data)
    except ValueError:
        raise Corrupt(f"The rows of the run {record.id} are not JSON.") from None
    return rows_from_json(bodies, where=f"run {record.id}")


def _has_finished(db: Database, run_id: str) -> bool:
    try:
        get_eval_run(db, run_id)
    except NotFound:
        return False
    return True
