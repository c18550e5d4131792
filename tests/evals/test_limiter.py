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


async def test_places_go_to_those_who_wait_longest_and_only_they_are_woken() -> None:
    limit, _ = make_limit(2)
    order: list[int] = []

    async def one(number: int) -> None:
        async with limit.slot():
            order.append(number)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(one(number)) for number in range(50)]
    await asyncio.sleep(0)
    tasks[10].cancel()
    tasks[49].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [number for number in range(49) if number != 10]


async def test_a_place_that_comes_together_with_a_cancellation_goes_to_the_next() -> None:
    limit, _ = make_limit(1)

    async def enter() -> None:
        async with limit.slot():
            pass

    async with limit.slot():
        waiting = [asyncio.create_task(enter()) for _ in range(2)]
        await asyncio.sleep(0)
    waiting[0].cancel()  # it has its place, and has not run yet
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (waiting[0].cancelled(), waiting[1].cancelled(), limit.running) == (True, False, 0)


async def test_nobody_keeps_a_place_that_was_cancelled_during_a_pause() -> None:
    limit = AdaptiveLimit(2)
    async with limit.slot() as slot:
        limit.busy(slot, 30)
    paused = asyncio.create_task(ask(limit, Clock()))
    await asyncio.sleep(0)
    assert limit.running == 1
    paused.cancel()
    await asyncio.gather(paused, return_exceptions=True)
    assert limit.running == 0


async def test_a_server_that_takes_three_at_once_is_found_out() -> None:
    limit, clock = make_limit(16)
    refused = asking = 0

    async def one() -> None:
        nonlocal refused, asking
        while True:
            async with limit.slot() as slot:
                asking += 1
                full = asking > 3
                await asyncio.sleep(0)
                clock.now += 0.01
                asking -= 1
                if not full:
                    return
                refused += 1
                limit.busy(slot, 1)

    await asyncio.gather(*(one() for _ in range(300)))
    assert refused < 150
    assert limit.limit < 8
