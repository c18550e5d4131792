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
from collections import deque
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
    """Used by one event loop; first come, first served. ``clock`` and ``sleep`` are there for tests."""

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
        self._waiting: deque[asyncio.Future[None]] = deque()
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
            if well:
                self.limit = min(float(self.most), self.limit + 1 / self.limit)
            self._leave()

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
        """Take a place, and hold it until the server may be asked."""
        if self._waiting or self.running >= int(self.limit):
            await self._wait_for_place()
        else:
            self.running += 1
        try:
            while (wait := self._until - self._clock()) > 0:
                await self._sleep(wait)
        except BaseException:
            self._leave()
            raise

    async def _wait_for_place(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()  # it came together with the cancellation
            raise

    def _leave(self) -> None:
        """Give a place back: whoever waits longest gets it. Only as many are woken as there are places."""
        self.running -= 1
        while self._waiting and self.running < int(self.limit):
            place = self._waiting.popleft()
            if not place.done():
                self.running += 1
                place.set_result(None)
