from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lockgate.actor import Actor
from lockgate.errors import NotFound, Unavailable, UserError
from lockgate.store.arms import arm_figures, count_repeated
from lockgate.store.channels import ChannelRecord, Move, Rollout, move_channel
from lockgate.store.database import Database, open_database
from lockgate.store.traces import TraceRecord, list_traces
from lockgate.types import AskRequest, Message, Served
from serving.shadow import ShadowRunner
from tests.serving.fakes import ANSWER, FakeAsker
from tests.serving.rollouts import NEW, OLD, TracingAsker, begin

REQUEST = AskRequest(
    "And by hand?",
    history=(Message("user", "How do I rotate a key?"), Message("assistant", "So.")),
    mode="generative",
    max_tokens=50,
    temperature=0.3,
    seed=4,
    stop=("END",),
    conversation="c-1",
    served=Served("production", rollout="r", arm="current"),
)
USERS_ANSWER = replace(ANSWER, trace_id="users-trace", channel="production")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as database:
        yield database


def rollout_of(record: ChannelRecord) -> Rollout:
    assert record.rollout is not None
    return record.rollout


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


async def idle(runner: ShadowRunner) -> None:
    await until(lambda: runner.idle)


def shadows(db: Database) -> list[TraceRecord]:
    return [trace for trace in list_traces(db) if trace.origin == "shadow"]


async def test_the_new_release_is_asked_the_same_with_the_users_trace_beside_it(db: Database) -> None:
    rollout = rollout_of(begin(db, "shadow"))
    asker = TracingAsker(db)
    assert ShadowRunner(db).submit(rollout, lambda: asker, REQUEST, USERS_ANSWER)
    await until(lambda: len(shadows(db)) == 1)
    served = Served("production", False, rollout.id, "candidate", shadow_of="users-trace")
    assert asker.asked == [replace(REQUEST, origin="shadow", served=served)]
    assert arm_figures(db, rollout.id)["candidate"].n == 1


async def test_submitting_does_not_wait_even_for_a_release_that_takes_long_to_open(db: Database) -> None:
    def open_slowly() -> FakeAsker:
        time.sleep(0.3)
        return fake

    fake = FakeAsker()
    rollout = rollout_of(begin(db, "shadow"))
    started = time.perf_counter()
    ShadowRunner(db).submit(rollout, open_slowly, REQUEST, USERS_ANSWER)
    await asyncio.sleep(0)
    assert time.perf_counter() - started < 0.1
    assert fake.asked == []
    await until(lambda: len(fake.asked) == 1)


async def test_one_runs_at_a_time_and_what_is_too_much_is_dropped_and_counted(db: Database) -> None:
    rollout = rollout_of(begin(db, "shadow"))
    asker = TracingAsker(db, delay=0.02)
    runner = ShadowRunner(db, waiting=3)
    taken = [runner.submit(rollout, lambda: asker, REQUEST, USERS_ANSWER) for _ in range(10)]
    assert taken == [True] * 3 + [False] * 7
    assert runner.dropped == 7
    await until(lambda: len(shadows(db)) == 3)
    assert asker.most == 1
    assert runner.submit(rollout, lambda: asker, REQUEST, USERS_ANSWER)
    await until(lambda: len(shadows(db)) == 4)


async def test_no_more_than_the_budget_is_repeated_also_over_a_restart(db: Database) -> None:
    rollout = rollout_of(begin(db, "shadow", budget=5))
    asker = TracingAsker(db)
    for _ in range(2):
        runner = ShadowRunner(db)
        for _ in range(4):
            runner.submit(rollout, lambda: asker, REQUEST, USERS_ANSWER)
        await idle(runner)
    assert len(asker.asked) == count_repeated(db, rollout.id) == 5


async def test_what_waits_when_a_rollout_ends_is_not_repeated(db: Database) -> None:
    record = begin(db, "shadow")
    runner, asker = ShadowRunner(db), TracingAsker(db)
    move_channel(db, Move("production", "docs", "stop", OLD, record.version, Actor("ada")))
    runner.submit(rollout_of(record), lambda: asker, REQUEST, USERS_ANSWER)
    await idle(runner)
    assert asker.asked == []


@pytest.mark.parametrize("error", [UserError("no"), Unavailable("busy"), RuntimeError("broken"), TimeoutError()])
async def test_a_failing_release_is_in_its_traces_and_the_next_request_is_still_repeated(
    db: Database, error: Exception
) -> None:
    rollout = rollout_of(begin(db, "shadow"))
    runner, asker = ShadowRunner(db), TracingAsker(db, error=error)
    for _ in range(2):
        runner.submit(rollout, lambda: asker, REQUEST, USERS_ANSWER)
    await idle(runner)
    assert [trace.status for trace in shadows(db)] == ["error", "error"]


@pytest.mark.parametrize("error", [NotFound("The model is not here."), UserError("A bad manifest."), OSError("disk")])
async def test_a_release_that_cannot_be_opened_counts_as_failed(db: Database, error: Exception) -> None:
    def cannot_open() -> FakeAsker:
        raise error

    rollout = rollout_of(begin(db, "shadow"))
    runner = ShadowRunner(db)
    runner.submit(rollout, cannot_open, REQUEST, USERS_ANSWER)
    await idle(runner)
    [trace] = shadows(db)
    assert (trace.release, trace.chain, trace.shadow_of) == (NEW, "docs", "users-trace")
    assert str(error) in trace.error
    assert arm_figures(db, rollout.id)["candidate"].errors == 1


async def test_a_server_that_is_still_starting_is_not_the_releases_failure(db: Database) -> None:
    def not_yet() -> FakeAsker:
        raise Unavailable("The server is still starting.")

    runner = ShadowRunner(db)
    runner.submit(rollout_of(begin(db, "shadow")), not_yet, REQUEST, USERS_ANSWER)
    await idle(runner)
    assert shadows(db) == []


async def test_one_that_never_ends_is_given_up_and_counts_as_failed(db: Database) -> None:
    rollout = rollout_of(begin(db, "shadow"))
    runner, asker = ShadowRunner(db, seconds=0.05), TracingAsker(db, delay=60)
    runner.submit(rollout, lambda: asker, REQUEST, USERS_ANSWER)
    await idle(runner)
    assert asker.running == 0
    assert arm_figures(db, rollout.id)["candidate"].errors == 1


async def test_closing_ends_what_runs_at_once_and_takes_nothing_more(db: Database) -> None:
    rollout = rollout_of(begin(db, "shadow"))
    runner, asker = ShadowRunner(db), TracingAsker(db, delay=60)
    for _ in range(3):
        runner.submit(rollout, lambda: asker, REQUEST, USERS_ANSWER)
    await until(lambda: asker.running == 1)
    started = time.perf_counter()
    await asyncio.to_thread(runner.close)
    await until(lambda: asker.running == 0)
    assert time.perf_counter() - started < 1
    assert [trace.status for trace in shadows(db)] == ["cancelled"]
    assert not runner.submit(rollout, lambda: asker, REQUEST, USERS_ANSWER)
    assert len(asker.asked) == 1


def test_closing_after_the_servers_loop_has_ended_is_harmless(db: Database) -> None:
    rollout = rollout_of(begin(db, "shadow"))
    runner, asker = ShadowRunner(db), TracingAsker(db, delay=60)

    async def serve() -> None:
        runner.submit(rollout, lambda: asker, REQUEST, USERS_ANSWER)
        await until(lambda: asker.running == 1)

    asyncio.run(serve())
    runner.close()
    assert [trace.status for trace in shadows(db)] == ["cancelled"]


async def test_a_forced_rollout_stays_marked_as_such(db: Database) -> None:
    record = begin(db, "shadow")
    asker = FakeAsker()
    ShadowRunner(db).submit(replace(rollout_of(record), forced=True), lambda: asker, REQUEST, USERS_ANSWER)
    await until(lambda: len(asker.asked) == 1)
    assert asker.asked[0].served.forced
