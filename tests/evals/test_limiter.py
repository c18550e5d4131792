from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from evals.runs.limiter import LONGEST_PAUSE, AdaptiveLimit


@dataclass
class Clock:
    """Time that passes only by sleeping."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def make_limit(most: int) -> tuple[AdaptiveLimit, Clock]:
    clock = Clock()
    return AdaptiveLimit(most, clock=clock, sleep=clock.sleep), clock


async def ask(limit: AdaptiveLimit, clock: Clock, busy: float | None = None) -> None:
    async with limit.slot() as slot:
        clock.now += 0.01
        await asyncio.sleep(0)
        if busy is not None:
            limit.busy(slot, busy)


async def test_never_more_at_once_than_the_limit() -> None:
    limit, clock = make_limit(3)
    peak = 0

    async def one() -> None:
        nonlocal peak
        async with limit.slot():
            peak = max(peak, limit.running)
            await asyncio.sleep(0)

    await asyncio.gather(*(one() for _ in range(20)))
    assert (peak, limit.running, clock.slept) == (3, 0, [])


async def test_busy_halves_the_limit_and_makes_everybody_wait() -> None:
    limit, clock = make_limit(8)
    await ask(limit, clock, busy=5)
    assert limit.limit == 4
    await ask(limit, clock)
    assert clock.slept == [pytest.approx(5)]


async def test_those_who_were_under_way_together_lower_it_once() -> None:
    limit, clock = make_limit(8)

    async def busy() -> None:
        async with limit.slot() as slot:
            await asyncio.sleep(0)
            clock.now += 0.001
            limit.busy(slot, 0)

    await asyncio.gather(*(busy() for _ in range(8)))
    assert limit.limit == 4
    await ask(limit, clock, busy=0)
    assert limit.limit == 2


async def test_recovers_by_about_one_a_round_and_never_beyond_the_most() -> None:
    limit, clock = make_limit(8)
    await ask(limit, clock, busy=0)
    for _ in range(4):
        await ask(limit, clock)
    assert 4.8 < limit.limit < 5.1
    for _ in range(200):
        await ask(limit, clock)
    assert limit.limit == 8


async def test_one_question_at_least_is_always_asked() -> None:
    limit, clock = make_limit(2)
    for _ in range(10):
        await ask(limit, clock, busy=0)
    assert limit.limit == 1
    await ask(limit, clock)


@pytest.mark.parametrize(("asked", "waited"), [(1e9, LONGEST_PAUSE), (-5.0, 0.0)])
async def test_no_server_decides_to_be_waited_for_for_ever(asked: float, waited: float) -> None:
    limit, clock = make_limit(1)
    await ask(limit, clock, busy=asked)
    await ask(limit, clock)
    assert sum(clock.slept) == pytest.approx(waited)


async def test_a_question_that_breaks_or_is_cancelled_gives_its_place_back() -> None:
    limit, _ = make_limit(1)
    with pytest.raises(RuntimeError):
        async with limit.slot():
            raise RuntimeError("broken")

    async def hang() -> None:
        async with limit.slot():
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    waiting = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    waiting.cancel()
    await asyncio.gather(task, waiting, return_exceptions=True)
    assert limit.running == 0
    async with limit.slot():
        pass


async def test_a_server_that_takes_three_at_once_is_found_out() -> None:
    limit, clock = make_limit(16)
    refused = 0

    async def one() -> None:
        nonlocal refused
        while True:
            async with limit.slot() as slot:
                full = limit.running > 3
                await asyncio.sleep(0)
                clock.now += 0.01
                if not full:
                    return
                refused += 1
                limit.busy(slot, 1)

    await asyncio.gather(*(one() for _ in range(300)))
    assert refused < 150
    assert limit.limit < 8
