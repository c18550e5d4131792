"""Evidence on record: which release was measured by which suite. The signed body lies in the object folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from lockgate.errors import NotFound, UserError
from lockgate.store.database import Database
from lockgate.store.tables import Evidence

MAX_LISTED = 1000
SHORTEST = 6
"""So many first characters of an id may name a piece of evidence."""


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """``id`` names the object that holds body and signature. What the other columns say counts only if it is there
    too."""

    id: str
    release: str
    suite: str
    suite_version: str
    suite_hash: str
    run: str
    created_at: datetime


def write_evidence(db: Database, record: EvidenceRecord) -> None:
    """Store ``record``; it is committed when this returns. The same one again changes nothing."""
    with db.session() as session:
        if session.scalars(select(Evidence.seq).where(Evidence.id == record.id)).first() is None:
            session.add(
                Evidence(
                    id=record.id,
                    release=record.release,
                    suite=record.suite,
                    suite_version=record.suite_version,
                    suite_hash=record.suite_hash,
                    run=record.run,
                    created_at=record.created_at,
                )
            )


def list_evidence(
    db: Database, *, release: str | None = None, suite: str | None = None, limit: int | None = 100
) -> list[EvidenceRecord]:
    """Newest first, in the order in which they were written; ``limit`` None gives all."""
    if limit is not None and not 1 <= limit <= MAX_LISTED:
        raise UserError(f"limit: {limit} is not between 1 and {MAX_LISTED}.")
    query = select(Evidence).order_by(Evidence.seq.desc()).limit(limit)
    if release is not None:
        query = query.where(Evidence.release == release)
    if suite is not None:
        query = query.where(Evidence.suite == suite)
    with db.reading() as session:
        return [_record(row) for row in session.scalars(query)]


def evidence_named(db: Database, name: str) -> EvidenceRecord:
    """By its id or the first characters of it. Raises NotFound, and UserError when several begin like that."""
    if len(name) < SHORTEST or not all(char in "0123456789abcdef" for char in name):
        raise UserError(f"{name[:80]!r} does not name evidence: at least {SHORTEST} characters of its id are needed.")
    query = select(Evidence).where(Evidence.id.startswith(name, autoescape=True)).limit(2)
    with db.reading() as session:
        found = [_record(row) for row in session.scalars(query)]
    if not found:
        raise NotFound(f"No evidence has the id {name[:80]!r}.", hint="See: lockgate evals evidence list")
    if len(found) > 1:
        raise UserError(f"Several pieces of evidence begin with {name!r}: give more characters.")
    return found[0]


def _record(row: Evidence) -> EvidenceRecord:
    return EvidenceRecord(
        id=row.id,
        release=row.release,
        suite=row.suite,
        suite_version=row.suite_version,
        suite_hash=row.suite_hash,
        run=row.run,
        created_at=row.created_at,
    )
