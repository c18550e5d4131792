"""Channels move one step at a time: whoever races, whoever is killed, the history is a line and ends at the pointer."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerContext
from typing import Any

import pytest
from sqlalchemy import update

from lockgate.actor import Actor
from lockgate.errors import Conflict, UserError
from lockgate.store.channels import (
    MAX_LISTED,
    ChannelRecord,
    Move,
    Rollout,
    get_channel,
    history,
    list_channels,
    move_channel,
    release_at,
)
from lockgate.store.database import Database, open_database
from lockgate.store.tables import ChannelMove
from tests.lockgate.store import channel_process
from tests.lockgate.store.channel_process import promote

ROLLOUT = Rollout("r1", "percent", "new", 12.5, "2026-01-02T03:04:05+00:00", bounds={"error_rate": 0.02})


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sqlalchemy.dialects.sqlite", "tests.lockgate.store.channel_process"])
    return context


def assert_linear(db: Database, *, chain: str = "docs") -> int:
    """The history is a line from the first move to where the channel points now; returns its length."""
    moves = history(db, "production", chain, limit=MAX_LISTED)[::-1]
    assert [move.version for move in moves] == list(range(1, len(moves) + 1))
    assert [move.from_release for move in moves] == ["", *(move.to_release for move in moves)][: len(moves)]
    record = get_channel(db, "production", chain)
    assert record.version == len(moves)
    assert record.release == (moves[-1].to_release if moves else None)
    return len(moves)


def move(db: Database, release: str, *, channel: str = "production", version: int = 0, **changes: Any) -> ChannelRecord:
    values: dict[str, Any] = {"action": "promote", "actor": Actor("ada")}
    return move_channel(
        db, Move(channel=channel, chain="docs", release=release, expected_version=version, **(values | changes))
    )


def test_a_channel_that_was_never_set_points_nowhere(db: Database) -> None:
    assert get_channel(db, "production", "docs") == ChannelRecord("production", "docs")
    assert list_channels(db) == []
    assert history(db, "production", "docs") == []
    assert release_at(db, "production", "docs", datetime.now(UTC)) is None


def test_a_move_writes_pointer_and_history_together(db: Database) -> None:
    before = datetime.now(UTC)
    evidence = [{"kind": "run", "id": "e1", "score": 0.5}]
    actor = Actor("ada", verified=True)
    record = move(db, "one", reason="first", forced=True, evidence=evidence, rollout=ROLLOUT, actor=actor)
    assert record == get_channel(db, "production", "docs")
    assert (record.release, record.version, record.forced, record.rollout) == ("one", 1, True, ROLLOUT)
    assert record.updated_at is not None
    assert before <= record.updated_at <= datetime.now(UTC)
    (line,) = history(db, "production", "docs")
    assert (line.version, line.action, line.from_release, line.to_release) == (1, "promote", "", "one")
    assert (line.actor, line.verified, line.reason, line.forced) == ("ada", True, "first", True)
    assert (line.evidence, line.rollout, line.created_at) == (tuple(evidence), ROLLOUT, record.updated_at)


def test_a_later_move_clears_what_it_does_not_say(db: Database) -> None:
    move(db, "one", forced=True, rollout=ROLLOUT)
    record = move(db, "two", version=1)
    assert (record.forced, record.rollout) == (False, None)


def test_each_chain_has_channels_of_its_own(db: Database) -> None:
    for chain in ("docs", "support"):
        move_channel(db, Move("production", chain, "promote", chain, 0, Actor("ada")))
    move(db, "staged", channel="staging")
    assert [(r.channel, r.chain, r.release) for r in list_channels(db)] == [
        ("production", "docs", "docs"),
        ("production", "support", "support"),
        ("staging", "docs", "staged"),
    ]
    assert [line.to_release for line in history(db, "production", "support")] == ["support"]


@pytest.mark.parametrize("expected", [0, 2, -1, 99])
def test_a_decision_made_on_an_old_record_is_refused_and_writes_nothing(db: Database, expected: int) -> None:
    move(db, "0123456789abcdef")
    with pytest.raises(Conflict, match=r"ada moved it to 0123456789ab at 20\d\d-.* UTC.*lockgate release history"):
        move(db, "two", version=expected)
    assert assert_linear(db) == 1


def test_a_first_move_that_expects_more_is_refused(db: Database) -> None:
    with pytest.raises(Conflict):
        move(db, "one", version=3)
    assert assert_linear(db) == 0
    assert list_channels(db) == []


@pytest.mark.parametrize("name", ["", "Production", "pro duction", "a" * 65, "1st", "a/b", "a\n", "../x", "naïve"])
def test_what_cannot_name_a_channel_is_refused(db: Database, name: str) -> None:
    with pytest.raises(UserError, match="is not the name of a channel"):
        move(db, "one", channel=name)


def test_history_is_newest_first_and_bounded(db: Database) -> None:
    for number in range(4):
        move(db, f"r{number}", version=number)
    assert [line.to_release for line in history(db, "production", "docs", limit=2)] == ["r3", "r2"]
    for limit in (0, MAX_LISTED + 1):
        with pytest.raises(UserError, match="limit"):
            history(db, "production", "docs", limit=limit)


def test_says_what_was_served_at_any_moment(db: Database) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(3):
        move(db, f"r{number}", version=number)
        with db.session() as session:
            moved_at = start + timedelta(hours=number)
            session.execute(update(ChannelMove).where(ChannelMove.version == number + 1).values(created_at=moved_at))

    def served(**after: float) -> str | None:
        found = release_at(db, "production", "docs", start + timedelta(**after))
        return found.to_release if found else None

    assert served(microseconds=-1) is None
    assert served() == "r0"
    assert served(minutes=59, seconds=59.999999) == "r0"
    assert served(hours=1) == "r1"
    assert served(days=400) == "r2"


def test_two_hundred_promotes_at_once_leave_a_line(db: Database) -> None:
    barrier = threading.Barrier(200)
    outcomes: list[str] = []
    failures: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            promote(db, f"release-{number}", get_channel(db, "production", "docs"))
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(outcomes) == 200
    assert assert_linear(db) == outcomes.count("won") > 0


def test_of_two_hundred_promotes_on_one_record_one_wins(db: Database) -> None:
    move(db, "before")
    seen = get_channel(db, "production", "docs")
    outcomes: list[object] = []

    def run(number: int) -> None:
        try:
            outcomes.append(promote(db, f"release-{number}", seen))
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, ChannelRecord)]
    assert len(winners) == 1
    assert {type(outcome) for outcome in outcomes} == {ChannelRecord, Conflict}
    assert get_channel(db, "production", "docs") == winners[0]
    assert assert_linear(db) == 2


def test_promotes_of_several_processes_leave_a_line(db: Database, url: str, processes: ForkServerContext) -> None:
    results: multiprocessing.Queue[tuple[int, int]] = processes.Queue()
    start_at = time.time() + 1.0
    racers = [
        processes.Process(target=channel_process.race, args=(url, f"p{number}", 50, start_at, results))
        for number in range(4)
    ]
    for racer in racers:
        racer.start()
    counts = [results.get(timeout=120) for _ in racers]
    for racer in racers:
        racer.join()
    won, lost = (sum(column) for column in zip(*counts, strict=True))
    assert won + lost == 200
    assert assert_linear(db) == won > 0


def _run_and_kill(db: Database, processes: ForkServerContext, arguments: Sequence[object], after: float) -> None:
    """Let a process promote without end, and kill it ``after`` seconds from its first move."""
    before = get_channel(db, "production", "docs").version
    process = processes.Process(target=channel_process.promote_for_ever, args=tuple(arguments))
    process.start()
    deadline = time.monotonic() + 60
    while get_channel(db, "production", "docs").version == before and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(after)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def test_promotes_killed_at_random_moments_leave_the_old_or_the_new_pointer(
    db: Database, url: str, processes: ForkServerContext
) -> None:
    rng = random.Random(3)
    for round_ in range(25):
        before = assert_linear(db)
        _run_and_kill(db, processes, (url, f"round{round_}"), after=rng.uniform(0, 0.05))
        assert assert_linear(db) > before
        # Whoever comes next is not held up by what the killed process held.
        promote(db, f"after{round_}", get_channel(db, "production", "docs"))
        assert_linear(db)


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_promote_killed_after_any_of_its_statements_leaves_the_old_pointer(
    sqlite_url: str, processes: ForkServerContext, first: bool
) -> None:
    """Nothing is there before the commit, everything after it."""
    with open_database(sqlite_url) as db:
        old = None if first else move(db, "old").release
        before = 0 if first else 1
        for statement in range(8):
            process = processes.Process(
                target=channel_process.promote_and_die, args=(sqlite_url, f"new{statement}", statement)
            )
            process.start()
            process.join(60)
            assert process.exitcode == -signal.SIGKILL
            length = assert_linear(db)
            if length > before:
                assert statement >= 2, "the promote ended with fewer statements than it needs"
                assert get_channel(db, "production", "docs").release == f"new{statement}"
                return
            assert get_channel(db, "production", "docs").release == old
    pytest.fail("the promote never ended")


def test_a_row_of_history_without_its_pointer_cannot_be_written(db: Database) -> None:
    """The version is unique in the history, so even a writer that goes around move_channel cannot fork it."""
    move(db, "one")
    with pytest.raises(Conflict), db.session() as session:
        session.add(
            ChannelMove(
                channel="production",
                chain="docs",
                version=1,
                action="promote",
                from_release="",
                to_release="two",
                actor="mallory",
                verified=False,
                reason="",
                forced=False,
                evidence=[],
                rollout={},
                created_at=datetime.now(UTC),
            )
        )
    assert assert_linear(db) == 1
