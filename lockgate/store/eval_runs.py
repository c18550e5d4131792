"""Eval runs: one execution of a suite, its aggregates here and its rows in the object folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from lockgate.errors import Conflict, NotFound, UserError
from lockgate.store.database import Database
from lockgate.store.tables import EvalRun

MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class EvalRunRecord:
    """``rows_hash`` names the object that holds the rows; ``metadata`` is what a reader needs to run it again."""

    id: str
    suite: str
    suite_version: str
    suite_hash: str
    chain: str
    mode: str
    model: str
    release: str
    snapshot: str
    started_at: datetime
    finished_at: datetime
    aggregates: Mapping[str, Any]
    rows_hash: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def write_eval_run(db: Database, record: EvalRunRecord) -> None:
    """Store ``record``; it is committed when this returns. Raises Conflict when the id is taken."""
    with db.session() as session:
        if session.get(EvalRun, record.id) is not None:
            raise Conflict(f"An eval run with the id {record.id!r} exists already.")
        session.add(
            EvalRun(
                id=record.id,
                suite=record.suite,
                suite_version=record.suite_version,
                suite_hash=record.suite_hash,
                chain=record.chain,
                mode=record.mode,
                model=record.model,
                release=record.release,
                snapshot=record.snapshot,
                started_at=record.started_at,
                finished_at=record.finished_at,
                aggregates=dict(record.aggregates),
                rows_hash=record.rows_hash,
                details=dict(record.metadata),
            )
        )


def get_eval_run(db: Database, run_id: str) -> EvalRunRecord:
    """The run. Raises NotFound."""
    with db.reading() as session:
        row = session.get(EvalRun, run_id)
    if row is None:
        raise NotFound(f"No eval run has the id {run_id!r}.")
    return _record(row)


def recent_eval_runs(db: Database, suite: str, chain: str, mode: str, model: str) -> list[EvalRunRecord]:
    """The last twenty runs of ``suite`` on that chain, mode and model, newest first."""
    query = (
        select(EvalRun)
        .where(EvalRun.suite == suite, EvalRun.chain == chain, EvalRun.mode == mode, EvalRun.model == model)
        .order_by(EvalRun.started_at.desc(), EvalRun.id.desc())
        .limit(20)
    )
    with db.reading() as session:
        return [_record(row) for row in session.scalars(query)]


def list_eval_runs(db: Database, *, limit: int = 100) -> list[EvalRunRecord]:
    """Runs, newest first."""
    if not 1 <= limit <= MAX_LISTED:
        raise UserError(f"limit: {limit} is not between 1 and {MAX_LISTED}.")
    query = select(EvalRun).order_by(EvalRun.started_at.desc(), EvalRun.id.desc()).limit(limit)
    with db.reading() as session:
        return [_record(row) for row in session.scalars(query)]


def list_release_runs(db: Database, release: str, *, limit: int = 100) -> list[EvalRunRecord]:
    """The newest runs of one release, newest first."""
    query = (
        select(EvalRun)
        .where(EvalRun.release == release)
        .order_by(EvalRun.started_at.desc(), EvalRun.id.desc())
        .limit(limit)
    )
    with db.reading() as session:
        return [_record(row) for row in session.scalars(query)]


def _record(row: EvalRun) -> EvalRunRecord:
    return EvalRunRecord(
        id=row.id,
        suite=row.suite,
        suite_version=row.suite_version,
        suite_hash=row.suite_hash,
        chain=row.chain,
        mode=row.mode,
        model=row.model,
        release=row.release,
        snapshot=row.snapshot,
        started_at=row.started_at,
        finished_at=row.finished_at,
        aggregates=row.aggregates,
        rows_hash=row.rows_hash,
        metadata=row.details,
    )
