"""The two arms of a rollout, as their traces tell: how many requests, errors and abstentions, how long answers took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import aliased

from lockgate.store.database import Database
from lockgate.store.tables import Trace

ArmName = Literal["current", "candidate"]
ARMS: tuple[ArmName, ArmName] = ("current", "candidate")

NEWEST = 1000
"""So many of an arm's newest requests are looked at: a look costs the same after a year, and what goes wrong late is
not hidden behind all that went well before."""

USERS_OWN = ("invalid_input", "policy_refused")
"""Errors that the question brought about, whichever release it meets: such requests say nothing about the release."""

USERS = ("api", "cli")


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """``n`` requests of which ``errors`` failed; ``abstained`` and ``latencies`` (milliseconds until the whole
    answer) are of the others. ``flagged`` is 0 while nothing flags traces. ``earlier`` says that these are the
    release's requests from before the rollout."""

    n: int = 0
    errors: int = 0
    abstained: int = 0
    latencies: tuple[float, ...] = ()
    flagged: int = 0
    earlier: bool = False

    @property
    def answered(self) -> int:
        return self.n - self.errors

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.n if self.n else None

    @property
    def abstention_rate(self) -> float | None:
        return self.abstained / self.answered if self.answered else None

    @property
    def p50(self) -> float | None:
        return self._percentile(0.50)

    @property
    def p95(self) -> float | None:
        return self._percentile(0.95)

    def _percentile(self, share: float) -> float | None:
        """By nearest rank, in milliseconds."""
        values = sorted(self.latencies)
        return values[math.ceil(share * len(values)) - 1] if values else None


@dataclass(frozen=True, slots=True)
class ShadowPair:
    """One question, the user's answer (trace ``current``) and the one made aside (trace ``candidate``)."""

    question: str
    current: str
    candidate: str
    current_answer: str
    candidate_answer: str
    current_abstained: bool
    candidate_abstained: bool

    @property
    def same_answer(self) -> bool:
        return self.current_answer.strip() == self.candidate_answer.strip()

    @property
    def same_abstention(self) -> bool:
        return self.current_abstained == self.candidate_abstained


def arm_figures(db: Database, rollout: str, *, limit: int = NEWEST) -> dict[ArmName, ArmFigures]:
    """Both arms of the rollout of that id, from at most the ``limit`` newest requests of each.

    Left out are requests that were cancelled and those whose error is the user's own.
    """
    with db.reading() as session:
        return {
            arm: _figures(session.execute(_newest(limit, Trace.rollout == rollout, Trace.arm == arm)).all())
            for arm in ARMS
        }


def earlier_figures(db: Database, release: str, channel: str, before: datetime, *, limit: int = NEWEST) -> ArmFigures:
    """What users' requests of ``channel`` said about ``release`` before a rollout began."""
    query = _newest(
        limit,
        Trace.release == release,
        Trace.channel == channel,
        Trace.origin.in_(USERS),
        Trace.created_at < before,
    )
    with db.reading() as session:
        return _figures(session.execute(query).all(), earlier=True)


def newest_request(db: Database, rollout: str) -> datetime | None:
    """When the newest trace of the rollout began; None without one. One step in an index, so cheap to ask often."""
    with db.reading() as session:
        return session.scalar(select(func.max(Trace.created_at)).where(Trace.rollout == rollout))


def count_repeated(db: Database, rollout: str) -> int:
    """How many requests the shadow rollout of that id has repeated, whatever came of them."""
    query = select(func.count()).where(Trace.rollout == rollout, Trace.arm == "candidate", Trace.origin == "shadow")
    with db.reading() as session:
        return session.scalar(query) or 0


def shadow_pairs(db: Database, rollout: str, *, limit: int = NEWEST) -> list[ShadowPair]:
    """The questions that both releases answered, newest first."""
    new, old = aliased(Trace), aliased(Trace)
    query = (
        select(old.question, old.id, new.id, old.answer, new.answer, old.abstained, new.abstained)
        .join(old, old.id == new.shadow_of)
        .where(new.rollout == rollout, new.arm == "candidate", new.status == "ok", old.status == "ok")
        .order_by(new.created_at.desc(), new.id.desc())
        .limit(limit)
    )
    with db.reading() as session:
        return [ShadowPair(*row) for row in session.execute(query)]


def _newest(limit: int, *conditions: ColumnElement[bool]) -> Any:
    return (
        select(Trace.status, Trace.abstained, Trace.timings)
        .where(*conditions, Trace.status != "cancelled", Trace.error_code.not_in(USERS_OWN))
        .order_by(Trace.created_at.desc(), Trace.id.desc())
        .limit(limit)
    )


def _figures(rows: Sequence[Any], *, earlier: bool = False) -> ArmFigures:
    answered = [(abstained, timings) for status, abstained, timings in rows if status == "ok"]
    times = [_milliseconds(timings) for _, timings in answered]
    return ArmFigures(
        n=len(rows),
        errors=len(rows) - len(answered),
        abstained=sum(bool(abstained) for abstained, _ in answered),
        latencies=tuple(time for time in times if time is not None),
        earlier=earlier,
    )


def _milliseconds(timings: Mapping[str, Any]) -> float | None:
    value = timings.get("total")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
