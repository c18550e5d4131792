"""What models said, by the SHA-256 of everything that they were asked with: the same call is made once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select

from lockgate.store.database import Database
from lockgate.store.tables import ModelCall

KEPT = timedelta(days=90)

_AT_ONCE = 500
"""Rows of one statement: databases bound the number of its parameters."""


def call_keys(db: Database, kind: str) -> set[str]:
    """The keys of every call of ``kind`` that is known."""
    with db.reading() as session:
        return set(session.scalars(select(ModelCall.key).where(ModelCall.kind == kind)))


def get_call(db: Database, key: str) -> str | None:
    """What was said, None when the call was never made."""
    with db.reading() as session:
        return session.scalar(select(ModelCall.value).where(ModelCall.key == key))


def put_calls(db: Database, kind: str, calls: Mapping[str, str]) -> None:
    """Keep calls by their keys, replacing what is there, in one transaction."""
    now = datetime.now(UTC)
    rows = [{"key": key, "kind": kind, "value": value, "created_at": now} for key, value in calls.items()]
    with db.session() as session:
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            session.execute(delete(ModelCall).where(ModelCall.key.in_([row["key"] for row in part])))
            session.execute(insert(ModelCall), part)


def prune_calls(db: Database, *, older_than: timedelta = KEPT) -> int:
    """Forget calls made longer ago than that; how many they were."""
    with db.session() as session:
        gone = session.execute(delete(ModelCall).where(ModelCall.created_at < datetime.now(UTC) - older_than))
        return int(gone.rowcount)  # type: ignore[attr-defined]
