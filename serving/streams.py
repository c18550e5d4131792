"""Responses that stream while work goes on, stop the work when the client leaves, and are never silent for long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

QUEUE_PIECES = 64
"""Pieces that wait for a client that reads slowly; beyond it the work waits too."""


class _End:
    """Marks the end of the events, with the error that ended them if one did."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class Silence:
    """Yielded by ``with_silences`` when nothing came for a while."""


SILENCE: Final = Silence()


async def with_silences(events: AsyncGenerator[T, None], seconds: float) -> AsyncGenerator[T | Silence, None]:
    """The same events, and SILENCE each time ``seconds`` pass without one.

    ``events`` runs in one task of its own from beginning to end; closing this generator cancels and closes it, and
    returns only when it is closed.
    """
    queue: asyncio.Queue[T | _End] = asyncio.Queue(QUEUE_PIECES)

    async def produce() -> None:
        end = _End()
        try:
            async with aclosing(events):
                async for event in events:
                    await queue.put(event)
        except Exception as error:  # raised again by the consumer
            end = _End(error)
        await queue.put(end)

    producer = asyncio.create_task(produce())
    try:
        while True:
            try:
                # Not wait_for: in Python 3.11 it can lose a cancellation that comes together with an item.
                async with asyncio.timeout(seconds):
                    item = await queue.get()
            except TimeoutError:
                yield SILENCE
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        producer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await producer


class EventStream(Response):
    """A response whose pieces come from a generator that is closed as soon as the client is gone.

    ``source`` is what ``pieces`` reads from: closed too, since a generator that never started closes nothing.
    Starlette's own StreamingResponse leaves a generator that is suspended at a ``yield`` to the garbage collector.
    """

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], *, media_type: str, source: AsyncGenerator[Any, None]
    ) -> None:
        self.pieces = pieces
        self.source = source
        self.status_code = 200
        self.background = None
        self.media_type = media_type
        # X-Accel-Buffering: nginx would otherwise hold the pieces back.
        self.init_headers({"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        sender = asyncio.create_task(self._send(send))
        watcher = asyncio.create_task(_wait_until_gone(receive))
        try:
            await asyncio.wait({sender, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            failed = sender.done() and not sender.cancelled() and sender.exception() is not None
            for task in (sender, watcher):
                task.cancel()
            await asyncio.gather(sender, watcher, return_exceptions=True)
            await self.pieces.aclose()
            await self.source.aclose()
        if failed:
            sender.result()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_unless_gone(work: AsyncIterator[T], receive: Receive) -> list[T] | None:
    """All of ``work``, or None when the client left before its end; ``work`` is then cancelled."""

    async def collect() -> list[T]:
        return [item async for item in work]

    collector = asyncio.create_task(collect())
    watcher = asyncio.create_task(_wait_until_gone(receive))
    try:
        await asyncio.wait({collector, watcher}, return_when=asyncio.FIRST_COMPLETED)
        return collector.result() if collector.done() else None
    finally:
        for task in (collector, watcher):
            task.cancel()
        await asyncio.gather(collector, watcher, return_exceptions=True)
