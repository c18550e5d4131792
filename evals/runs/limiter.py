"""How many questions are asked at once: as many as allowed while all goes well, fewer when the server is full.

Additive increase, multiplicative decrease: a "busy" halves the number, once for all that were under way at the time,
and everybody waits as long as the server said; each answer after that brings it up again by a share, so that it grows
by about one for every full round. Source: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance in Computer Networks", 1989.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

LONGEST_PAUSE = 60.0
"""No server is waited for longer than that before it is asked again."""


@dataclass(slots=True)
class Slot:
    """The right to ask once. ``began`` is when it was given."""

    began: float
    busy: bool = False


class AdaptiveLimit:
    """Used by one event loop. ``clock`` and ``sleep`` are there for tests."""

    def __init__(
        self,
        most: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.most = max(1, most)
        self.limit = float(self.most)
        self.running = 0
        self._clock, self._sleep = clock, sleep
        self._changed = asyncio.Condition()
        self._until = float("-inf")
        self._lowered = float("-inf")

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a place and hold it; leaving well lets the limit grow, unless the slot was told "busy"."""
        await self._enter()
        slot = Slot(self._clock())
        well = False
        try:
            yield slot
            well = not slot.busy
        finally:
            self.running -= 1
            if well:
                self.limit = min(float(self.most), self.limit + 1 / self.limit)
            async with self._changed:
                self._changed.notify_all()

    def busy(self, slot: Slot, retry_after: float) -> None:
        """The server was too full to answer this slot's question; nobody asks it for ``retry_after`` seconds."""
        slot.busy = True
        now = self._clock()
        self._until = max(self._until, now + min(max(retry_after, 0.0), LONGEST_PAUSE))
        # Everybody who was under way when the limit fell was told the same thing; it falls once for that.
        if slot.began > self._lowered:
            self.limit = max(1.0, self.limit / 2)
            self._lowered = now

    async def _enter(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self.running < int(self.limit))
                wait = self._until - self._clock()
                if wait <= 0:
                    self.running += 1
                    return
            await self._sleep(wait)
