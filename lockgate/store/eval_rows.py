"""Eval runs that go on: what each set out to do, and its rows, each kept the moment that it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select

from lockgate.errors import Conflict, NotFound
from lockgate.store.database import Database
from lockgate.store.tables import EvalPlan, EvalRow

_LISTED = 20


@dataclass(frozen=True, slots=True)
class EvalPlanRecord:
    """``plan`` is what is needed to go on with the run exactly as it began."""

    id: str
    suite: str
    suite_hash: str
    release: str
    plan: Mapping[str, Any]
    started_at: datetime


def begin_eval_run(db: Database, record: EvalPlanRecord) -> None:
    """Keep the plan of a run before its first case. Raises Conflict when the id is taken."""
    with db.session() as session:
        if session.get(EvalPlan, record.id) is not None:
            raise Conflict(f"An eval run with the id {record.id!r} has begun already.")
        session.add(
            EvalPlan(
                id=record.id,
                suite=record.suite,
                suite_hash=record.suite_hash,
                release=record.release,
                plan=dict(record.plan),
                started_at=record.started_at,
            )
        )


def find_eval_plan(db: Database, run_id: str) -> EvalPlanRecord:
    """The plan of a run that has not finished. Raises NotFound that lists those there are."""
    with db.reading() as session:
        row = session.get(EvalPlan, run_id)
    if row is None:
        known = ", ".join(each.id for each in list_eval_plans(db)) or "none"
        raise NotFound(f"No unfinished eval run has the id {run_id[:80]!r}.", hint=f"Unfinished runs: {known}.")
    return _plan(row)


def list_eval_plans(db: Database) -> list[EvalPlanRecord]:
    """The newest runs that have not finished, newest first; one of them may be going on now."""
    query = select(EvalPlan).order_by(EvalPlan.started_at.desc(), EvalPlan.id.desc()).limit(_LISTED)
    with db.reading() as session:
        return [_plan(row) for row in session.scalars(query)]


def write_eval_row(db: Database, run_id: str, case_id: str, repeat: int, body: Mapping[str, Any]) -> bool:
    """Keep a row; it is committed when this returns. False when there is one already, which stays.

    Raises NotFound when the run has finished or never began.
    """
    with db.session() as session:
        if session.get(EvalPlan, run_id) is None:
            raise NotFound(f"No unfinished eval run has the id {run_id[:80]!r}.")
        if session.get(EvalRow, (run_id, case_id, repeat)) is not None:
            return False
        session.add(EvalRow(run=run_id, case_id=case_id, repeat=repeat, body=dict(body), created_at=datetime.now(UTC)))
        return True


def read_eval_rows(db: Database, run_id: str) -> list[Mapping[str, Any]]:
    """The rows kept so far, in no order that means anything."""
    query = select(EvalRow.body).where(EvalRow.run == run_id).order_by(EvalRow.case_id, EvalRow.repeat)
    with db.reading() as session:
        return list(session.scalars(query))


def discard_eval_plan(db: Database, run_id: str) -> None:
    """Forget an unfinished run with its rows; nothing happens when it is not there."""
    with db.session() as session:
        session.execute(delete(EvalRow).where(EvalRow.run == run_id))
        session.execute(delete(EvalPlan).where(EvalPlan.id == run_id))


def _plan(row: EvalPlan) -> EvalPlanRecord:
    return EvalPlanRecord(row.id, row.suite, row.suite_hash, row.release, row.plan, row.started_at)
