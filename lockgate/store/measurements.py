"""What users' requests say about a release: how long answers took, how many tokens, abstentions and votes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from lockgate.store.database import Database
from lockgate.store.tables import Feedback, Trace

NEWEST = 2000
"""So many of a release's newest requests are looked at, so that a measurement costs the same after a year."""

USERS = ("api", "cli")
"""Origins that are somebody's question; eval runs and shadow requests are not."""


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """``seconds`` is until the whole answer, ``first_text`` until its first piece; None where a trace has no timing.
    ``vote`` is None when nobody voted."""

    at: datetime
    seconds: float | None
    first_text: float | None
    prompt_tokens: int
    completion_tokens: int
    abstained: bool
    vote: str | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """The newest requests to one release, newest first. ``failed`` of them ended in an error and measure nothing."""

    answered: tuple[AnsweredRequest, ...]
    failed: int


def read_traffic(db: Database, release: str, *, newest: int = NEWEST) -> Traffic:
    """What users asked ``release``, at most the ``newest`` requests. Those that a caller cancelled are left out."""
    query = (
        select(
            Trace.created_at,
            Trace.status,
            Trace.timings,
            Trace.prompt_tokens,
            Trace.completion_tokens,
            Trace.abstained,
            Feedback.vote,
        )
        .outerjoin(Feedback, Feedback.trace_id == Trace.id)
        .where(Trace.release == release, Trace.origin.in_(USERS), Trace.status != "cancelled")
        .order_by(Trace.created_at.desc(), Trace.id.desc())
        .limit(newest)
    )
    answered: list[AnsweredRequest] = []
    failed = 0
    with db.reading() as session:
        for at, status, timings, prompt_tokens, completion_tokens, abstained, vote in session.execute(query):
            if status != "ok":
                failed += 1
                continue
            seconds, first = _seconds(timings)
            answered.append(AnsweredRequest(at, seconds, first, prompt_tokens, completion_tokens, abstained, vote))
    return Traffic(tuple(answered), failed)


def _seconds(timings: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """(until the whole answer, until its first text), from the milliseconds of a trace's stages.

    ``first_token`` and ``answer`` are both counted from the moment the model was asked, so what came before it is
    the total less the answer. An answer that is not streamed from a model shows its first text when it is whole.
    """
    total, answer, first = (_number(timings.get(name)) for name in ("total", "answer", "first_token"))
    if total is None:
        return None, None
    if answer is None or first is None:
        return total / 1000, total / 1000
    return total / 1000, max(0.0, total - answer + first) / 1000


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
