"""Calibrations: how far a judge agreed with labels. The signed body lies in the object folder, its name here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from lockgate.errors import UserError
from lockgate.signing import Signature
from lockgate.store.database import Database
from lockgate.store.tables import Calibration

MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """``id`` names the object with the body; ``judge`` is the id of the judge's identity, narrowed to ``metric``."""

    id: str
    judge: str
    metric: str
    source: str
    signature: Signature
    created_at: datetime


def write_calibration(db: Database, record: CalibrationRecord) -> None:
    """Store ``record``; it is committed when this returns. The same one again changes nothing."""
    with db.session() as session:
        if session.scalars(select(Calibration.seq).where(Calibration.id == record.id)).first() is not None:
            return
        session.add(
            Calibration(
                id=record.id,
                judge=record.judge,
                metric=record.metric,
                source=record.source,
                key=record.signature.key,
                signature=record.signature.value,
                created_at=record.created_at,
            )
        )


def list_calibrations(
    db: Database, *, judge: str | None = None, metric: str | None = None, limit: int = 100
) -> list[CalibrationRecord]:
    """Newest first, in the order in which they were written."""
    if not 1 <= limit <= MAX_LISTED:
        raise UserError(f"limit: {limit} is not between 1 and {MAX_LISTED}.")
    query = select(Calibration).order_by(Calibration.seq.desc()).limit(limit)
    if judge is not None:
        query = query.where(Calibration.judge == judge)
    if metric is not None:
        query = query.where(Calibration.metric == metric)
    with db.reading() as session:
        return [
            CalibrationRecord(
                row.id, row.judge, row.metric, row.source, Signature(row.key, row.signature), row.created_at
            )
            for row in session.scalars(query)
        ]
