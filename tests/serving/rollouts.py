"""A channel with a rollout, requests of both its arms, and an asker that leaves traces as a chain does."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from lockgate.actor import Actor
from lockgate.errors import LockgateError
from lockgate.store.channels import ChannelRecord, Move, get_channel, move_channel
from lockgate.store.database import Database
from lockgate.store.traces import TraceRecord, write_trace
from lockgate.types import AnswerEvent, AskRequest, Finished, Token
from serving.rollout import new_rollout
from tests.serving.fakes import ANSWER

OLD, NEW = "a" * 64, "b" * 64
_NUMBERS = itertools.count()


def begin(
    db: Database,
    kind: Literal["percent", "shadow"] = "percent",
    *,
    share: float = 20,
    budget: int | None = None,
    bounds: Mapping[str, float] | None = None,
    channel: str = "production",
) -> ChannelRecord:
    """``channel`` of the chain docs points at OLD, and NEW is rolled out beside it."""
    before = get_channel(db, channel, "docs")
    move = Move(channel, "docs", "promote", OLD, before.version, Actor("ada"), forced=False)
    before = move_channel(db, move)
    rollout = new_rollout(kind, NEW, share=share, budget=budget, bounds=bounds)
    return move_channel(db, replace(move, action="rollout", expected_version=before.version, rollout=rollout))


def asked(db: Database, record: ChannelRecord, side: str, count: int = 1, **values: Any) -> None:
    """``count`` requests that ``side`` of the record's rollout answered."""
    assert record.rollout is not None
    for _ in range(count):
        number = next(_NUMBERS)
        trace = TraceRecord(
            id=f"{side}-{number}",
            created_at=datetime.now(UTC) + timedelta(microseconds=number),
            origin="api",
            chain=record.chain,
            question="How do I rotate a key?",
            status="ok",
            release=NEW if side == "candidate" else OLD,
            channel=record.channel,
            rollout=record.rollout.id,
            arm=side,
            timings={"total": 90.0 + 20 * (number % 2)},
        )
        write_trace(db, replace(trace, **values))


@dataclass
class TracingAsker:
    """A release that answers, fails or takes its time, and writes its trace as a chain does."""

    db: Database
    release: str = NEW
    error: Exception | None = None
    delay: float = 0.0
    asked: list[AskRequest] = field(default_factory=list)
    running: int = 0
    most: int = 0

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        self.asked.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        trace = TraceRecord(
            id=uuid.uuid4().hex,
            created_at=datetime.now(UTC),
            origin=request.origin,
            chain="docs",
            question=request.question,
            status="ok",
            release=self.release,
            channel=request.served.channel,
            rollout=request.served.rollout,
            arm=request.served.arm,
            shadow_of=request.served.shadow_of,
            answer=ANSWER.text,
            timings={"total": 100.0},
        )
        try:
            await asyncio.sleep(self.delay)
            if self.error is not None:
                raise self.error
            write_trace(self.db, trace)
            yield Token(ANSWER.text)
            yield Finished(replace(ANSWER, trace_id=trace.id, channel=trace.channel, release=self.release))
        except asyncio.CancelledError:
            write_trace(self.db, replace(trace, status="cancelled"))
            raise
        except Exception as error:
            code = error.code if isinstance(error, LockgateError) else "internal"
            write_trace(self.db, replace(trace, status="error", error_code=code, error=str(error)))
            raise
        finally:
            self.running -= 1
