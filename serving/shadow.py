"""Shadow requests: after a user's answer is finished, the new release answers the same question aside, for comparison.

Nothing of it reaches a user: the results are traces with the origin ``shadow``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, cast

from lockgate.errors import LockgateError, Unavailable
from lockgate.ports import Asker
from lockgate.store.arms import count_repeated
from lockgate.store.channels import ChannelRecord, Rollout, list_channels
from lockgate.store.database import Database
from lockgate.types import Answer, AskRequest, Served
from serving.rollout_failure import record_failure

log = logging.getLogger(__name__)

WAITING = 8
"""Requests that may wait to be repeated; more are dropped, so that a busy server never builds up work aside."""

SECONDS = 300.0
"""A repeated request that takes longer is given up and counted as a failure."""


@dataclass(frozen=True, slots=True)
class _Repeat:
    rollout: Rollout
    open_candidate: Callable[[], Asker]
    request: AskRequest


class ShadowRunner:
    """Repeats requests one at a time, as a task on the server's own event loop, which is the loop that the chains' HTTP
    clients belong to. ``submit`` belongs to that loop, too; ``close`` may be called from any thread."""

    def __init__(self, db: Database, *, waiting: int = WAITING, seconds: float = SECONDS) -> None:
        self._db = db
        self._limit = waiting
        self._seconds = seconds
        self._lock = threading.Lock()  # guards everything below
        self._waiting: deque[_Repeat] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Requests that were sampled and not repeated, because too many waited."""
        return self._dropped

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        with self._lock:
            return not self._waiting and (self._task is None or self._task.done())

    def submit(
        self, rollout: Rollout, open_candidate: Callable[[], Asker], request: AskRequest, answer: Answer
    ) -> bool:
        """Have ``request``, whose finished ``answer`` the user has, repeated; False when it is dropped. Never waits.

        ``open_candidate`` is called in a thread, when it is this request's turn; what it raises counts as the new
        release's failure, but for Unavailable, which is about this server.
        """
        served = Served(answer.channel, rollout.forced, rollout.id, "candidate", shadow_of=answer.trace_id)
        repeat = _Repeat(rollout, open_candidate, replace(request, origin="shadow", served=served))
        with self._lock:
            if self._closed:
                return False
            if len(self._waiting) >= self._limit:
                self._dropped += 1
                return False
            self._waiting.append(repeat)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._work(), name="lockgate-shadow")
        return True

    def close(self) -> None:
        """Drop what waits and end what runs; its trace says that it was cancelled. Returns at once."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            task = self._task
        if task is not None and not task.done():
            with contextlib.suppress(RuntimeError):  # a loop that is closed has ended its tasks
                task.get_loop().call_soon_threadsafe(task.cancel)

    async def _work(self) -> None:
        while (repeat := self._next()) is not None:
            try:
                channel = await asyncio.to_thread(self._channel_of, repeat.rollout)
                if channel is not None:
                    await self._repeat(repeat, channel.chain)
            except LockgateError as error:
                log.info("A shadow request failed: %s", error)
            except Exception:
                log.exception("A shadow request failed.")

    def _next(self) -> _Repeat | None:
        with self._lock:
            if self._waiting and not self._closed:
                return self._waiting.popleft()
            # In the same breath as the look into the queue: whoever submits next starts a new task.
            self._task = None
            return None

    def _channel_of(self, rollout: Rollout) -> ChannelRecord | None:
        """Where the rollout runs; None when it has ended or its budget is used up. The database keeps the count, so it
        holds over restarts and for several servers together."""
        for record in list_channels(self._db):
            if record.rollout is not None and record.rollout.id == rollout.id:
                return record if count_repeated(self._db, rollout.id) < rollout.budget else None
        return None

    async def _repeat(self, repeat: _Repeat, chain: str) -> None:
        try:
            asker = await asyncio.to_thread(repeat.open_candidate)
        except Unavailable:
            raise
        except Exception as error:
            await self._record(repeat, chain, error)
            raise
        try:
            async with asyncio.timeout(self._seconds) as limit:
                async with aclosing(cast("Any", asker.ask(repeat.request))) as events:
                    async for _ in events:
                        pass
        except TimeoutError:
            if not limit.expired():
                raise  # the chain's own, and in its trace
            slow = Unavailable(f"A shadow request took longer than {self._seconds:g} s and was given up.")
            await self._record(repeat, chain, slow)
            raise slow from None

    async def _record(self, repeat: _Repeat, chain: str, error: Exception) -> None:
        release = repeat.rollout.release
        await asyncio.to_thread(record_failure, self._db, repeat.request, chain=chain, release=release, error=error)
