"""Feedback: a reader's vote on an answer, with a comment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import select

from lockgate.errors import NotFound, UserError
from lockgate.store.database import Database
from lockgate.store.tables import Feedback, Trace

Vote = Literal["up", "down"]

MAX_COMMENT = 4000
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    trace_id: str
    vote: Vote
    comment: str
    created_at: datetime
    updated_at: datetime


def write_feedback(db: Database, trace_id: str, vote: str, comment: str | None = None) -> FeedbackRecord:
    """Store the vote on a trace; a second one replaces the first. A comment of None leaves an earlier one as it is.

    Raises NotFound when the trace does not exist, UserError for another vote or a comment that is too long.
    """
    if vote not in ("up", "down"):
        raise UserError(f"vote: {vote!r} is not one of 'up', 'down'.")
    if comment is not None and len(comment) > MAX_COMMENT:
        raise UserError(f"comment: {len(comment)} characters; at most {MAX_COMMENT} are kept.")
    now = datetime.now(UTC)
    with db.session() as session:
        # Locking the trace's row makes two votes at once wait for each other on PostgreSQL too.
        if session.get(Trace, trace_id, with_for_update=True) is None:
            raise NotFound(f"No trace has the id {trace_id!r}.")
        row = session.get(Feedback, trace_id)
        if row is None:
            row = Feedback(trace_id=trace_id, created_at=now, comment="")
            session.add(row)
        row.vote, row.updated_at = vote, now
        if comment is not None:
            row.comment = comment
        session.flush()
        session.refresh(row)  # as stored: what a database cannot hold is replaced
    return _record(row)


def get_feedback(db: Database, trace_id: str) -> FeedbackRecord | None:
    """The vote on one trace, None when nobody voted."""
    with db.reading() as session:
        row = session.get(Feedback, trace_id)
    return None if row is None else _record(row)


def list_feedback(db: Database, *, limit: int = 100) -> list[FeedbackRecord]:
    """Votes, the one changed last first."""
    if not 1 <= limit <= MAX_LISTED:
        raise UserError(f"limit: {limit} is not between 1 and {MAX_LISTED}.")
    query = select(Feedback).order_by(Feedback.updated_at.desc(), Feedback.trace_id).limit(limit)
    with db.reading() as session:
        return [_record(row) for row in session.scalars(query)]


def _record(row: Feedback) -> FeedbackRecord:
    return FeedbackRecord(
        trace_id=row.trace_id,
        vote=cast("Vote", row.vote),
        comment=row.comment,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
