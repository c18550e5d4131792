"""Traces: what was asked, what was found, what was answered, and how long each stage took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import and_, or_, select

from lockgate.errors import Conflict, NotFound, UserError
from lockgate.store.database import Database
from lockgate.store.tables import Trace
from lockgate.types import Origin

Status = Literal["ok", "error", "cancelled"]

MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One answered request, also one that failed. Texts are stored as given: who prints them neutralises them.

    ``passages`` hold chunk_id, path, heading, version, score and cosine; ``timings`` are milliseconds per stage.
    ``channel`` is "" when the release was asked by its id; ``rollout`` and ``arm`` say which side of one answered;
    ``shadow_of`` is the trace of the answer that the user got while this one was made aside. ``guardrails`` is in words
    what ``findings`` are as values: which check did what at which stage, and with which score. ``grounding`` is what
    each sentence of the answer rests on (lockgate/grounding.py), None when nothing judged it.
    """

    id: str
    created_at: datetime
    origin: Origin
    chain: str
    question: str
    status: Status
    model: str = ""
    mode: str = ""
    condensed_question: str = ""
    history: Sequence[Mapping[str, str]] = ()
    release: str = "unreleased"
    snapshot: str = ""
    prompt_hash: str = ""
    policy_hash: str = ""
    passages: Sequence[Mapping[str, Any]] = ()
    answer: str = ""
    abstained: bool = False
    citations: Sequence[Mapping[str, Any]] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    guardrails: Sequence[str] = ()
    findings: Sequence[Mapping[str, Any]] = ()
    grounding: Mapping[str, Any] | None = None
    error_code: str = ""
    error: str = ""
    channel: str = ""
    rollout: str = ""
    arm: str = ""
    shadow_of: str = ""


_FIELDS = tuple(item.name for item in fields(TraceRecord))
_SEQUENCES = ("history", "passages", "citations", "guardrails", "findings")


def write_trace(db: Database, record: TraceRecord) -> None:
    """Store ``record``; it is committed when this returns. Raises Conflict when the id is taken."""
    values: dict[str, Any] = {name: getattr(record, name) for name in _FIELDS}
    values |= {name: [_plain(item) for item in values[name]] for name in _SEQUENCES}
    values["timings"] = dict(record.timings)
    values["grounding"] = None if record.grounding is None else dict(record.grounding)
    with db.session() as session:
        if session.get(Trace, record.id) is not None:
            raise Conflict(f"A trace with the id {record.id!r} exists already.")
        session.add(Trace(**values))


def get_trace(db: Database, trace_id: str) -> TraceRecord:
    """The trace. Raises NotFound."""
    with db.reading() as session:
        row = session.get(Trace, trace_id)
    if row is None:
        raise NotFound(f"No trace has the id {trace_id!r}.")
    return _record(row)


def list_traces(db: Database, *, limit: int = 50, before: str | None = None) -> list[TraceRecord]:
    """Traces, newest first; with ``before``, those older than the trace of that id (the last one of a page)."""
    if not 1 <= limit <= MAX_LISTED:
        raise UserError(f"limit: {limit} is not between 1 and {MAX_LISTED}.")
    query = select(Trace).order_by(Trace.created_at.desc(), Trace.id.desc()).limit(limit)
    with db.reading() as session:
        if before is not None:
            last = session.get(Trace, before)
            if last is None:
                raise NotFound(f"No trace has the id {before!r}.")
            same_moment = and_(Trace.created_at == last.created_at, Trace.id < last.id)
            query = query.where(or_(Trace.created_at < last.created_at, same_moment))
        return [_record(row) for row in session.scalars(query)]


def _plain(item: object) -> object:
    return dict(item) if isinstance(item, Mapping) else item


def _record(row: Trace) -> TraceRecord:
    values = {name: getattr(row, name) for name in _FIELDS}
    values |= {name: tuple(values[name]) for name in _SEQUENCES}
    return TraceRecord(**values)
