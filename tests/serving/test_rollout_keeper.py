from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lockgate.actor import Actor
from lockgate.store.channels import ChannelRecord, Move, Rollout, get_channel, history, move_channel
from lockgate.store.database import Database, open_database
from serving.rollout_keeper import ANYWAY_SECONDS, RolloutKeeper
from serving.rollout_verdict import read_arms
from tests.serving.rollouts import NEW, OLD, asked, begin


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as database:
        yield database


def now(db: Database) -> ChannelRecord:
    return get_channel(db, "production", "docs")


def test_a_harmful_release_is_stopped_and_the_history_says_why(db: Database) -> None:
    record = begin(db)
    asked(db, record, "current", 100)
    asked(db, record, "candidate", 12)
    asked(db, record, "candidate", 18, status="error", error_code="unavailable")
    stopped = RolloutKeeper(db).check(record)
    assert stopped == now(db)
    assert (stopped.release, stopped.rollout, stopped.version) == (OLD, None, record.version + 1)
    [move] = history(db, "production", "docs", limit=1)
    assert (move.action, move.actor, move.verified) == ("stop", "lockgate", False)
    assert move.reason.startswith(
        f"The rollout of {NEW[:12]} stopped itself: the new release's error rate is 60.0 % (18 of 30)"
    )
    [evidence] = move.evidence
    assert evidence["metric"] == "error_rate"
    assert evidence["arms"]["candidate"]["errors"] == 18
    assert evidence["rollout"]["id"] == record.rollout.id if record.rollout else False


def test_a_good_release_goes_on(db: Database) -> None:
    record = begin(db)
    asked(db, record, "current", 60)
    asked(db, record, "candidate", 20)
    assert RolloutKeeper(db).check(record) is record
    assert now(db) == record


def test_bounds_of_the_rollout_hold_not_the_defaults(db: Database) -> None:
    record = begin(db, bounds={"error_rate": 0.9})
    asked(db, record, "current", 60)
    asked(db, record, "candidate", 10)
    asked(db, record, "candidate", 20, status="error", error_code="internal")
    assert RolloutKeeper(db).check(record) is record


def test_five_failures_stop_a_rollout_before_anything_can_be_compared(db: Database) -> None:
    record = begin(db)
    keeper = RolloutKeeper(db, clock=lambda: 0.0)
    asked(db, record, "candidate", 4, status="error", error_code="corrupt")
    assert keeper.check(record) is record
    asked(db, record, "candidate", 1, status="error", error_code="corrupt")
    assert keeper.check(record).rollout is None


def test_questions_that_a_policy_refuses_never_stop_a_rollout(db: Database) -> None:
    record = begin(db)
    asked(db, record, "current", 50)
    asked(db, record, "candidate", 50, status="error", error_code="policy_refused")
    assert RolloutKeeper(db).check(record) is record


def test_a_small_current_arm_is_stood_in_for_by_what_was_asked_before(db: Database) -> None:
    first = begin(db, share=95)
    asked(db, first, "current", 50, rollout="", arm="", created_at=datetime.now(UTC) - timedelta(hours=1))
    record = begin(db, share=95)
    asked(db, record, "current", 2)
    asked(db, record, "candidate", 20)
    asked(db, record, "candidate", 20, status="error", error_code="internal")
    assert RolloutKeeper(db).check(record).rollout is None
    assert (
        "the current one's before the rollout 0.0 % (0 of 50)" in history(db, "production", "docs", limit=1)[0].reason
    )


def test_a_shadow_that_used_up_its_budget_is_done(db: Database) -> None:
    record = begin(db, "shadow", budget=8)
    keeper = RolloutKeeper(db, clock=lambda: 0.0)
    asked(db, record, "current", 8)
    asked(db, record, "candidate", 7, origin="shadow")
    assert keeper.check(record) is record
    asked(db, record, "candidate", 1, origin="shadow", status="cancelled")
    assert keeper.check(record).rollout is None
    move = history(db, "production", "docs", limit=1)[0]
    assert "its budget is used up (8 requests repeated)" in move.reason
    assert move.evidence[0]["metric"] == "budget"


def test_a_harmful_shadow_is_stopped_for_its_harm(db: Database) -> None:
    record = begin(db, "shadow", budget=40)
    asked(db, record, "current", 40)
    asked(db, record, "candidate", 40, origin="shadow", abstained=True)
    RolloutKeeper(db).check(record)
    assert "abstention rate is 100.0 %" in history(db, "production", "docs", limit=1)[0].reason


def test_nothing_is_read_again_until_a_request_comes_or_time_has_passed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def counted(db: Database, rollout: Rollout, release: str, channel: str) -> Any:
        looks.append(rollout.id)
        return read_arms(db, rollout, release, channel)

    monkeypatch.setattr("serving.rollout_keeper.read_arms", counted)
    clock = [0.0]
    record = begin(db)
    keeper = RolloutKeeper(db, clock=lambda: clock[0])
    asked(db, record, "current")
    for _ in range(5):
        keeper.check(record)
    assert len(looks) == 1
    asked(db, record, "candidate")
    keeper.check(record)
    assert len(looks) == 2
    clock[0] += ANYWAY_SECONDS
    keeper.check(record)
    assert len(looks) == 3


def test_a_costly_look_is_followed_by_a_rest(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks = [0.0], [0]

    def slow(db: Database, rollout: Rollout, release: str, channel: str) -> Any:
        looks[0] += 1
        clock[0] += 0.5
        return read_arms(db, rollout, release, channel)

    monkeypatch.setattr("serving.rollout_keeper.read_arms", slow)
    record = begin(db)
    keeper = RolloutKeeper(db, clock=lambda: clock[0])
    for _ in range(20):
        asked(db, record, "candidate")
        clock[0] += 1.0
        keeper.check(record)
    assert looks[0] == 2  # of twenty: each is followed by ten seconds


def test_of_several_servers_one_writes_the_stop(db: Database) -> None:
    record = begin(db)
    asked(db, record, "candidate", 5, status="error", error_code="internal")
    stopped = [RolloutKeeper(db).check(record) for _ in range(3)]
    assert {each.version for each in stopped} == {record.version + 1}
    assert [move.action for move in history(db, "production", "docs")] == ["stop", "rollout", "promote"]


def test_what_a_person_decided_meanwhile_stands(db: Database) -> None:
    record = begin(db)
    asked(db, record, "candidate", 5, status="error", error_code="internal")
    promoted = move_channel(db, Move("production", "docs", "promote", NEW, record.version, Actor("ada")))
    assert RolloutKeeper(db).check(record) == promoted
    assert now(db) == promoted


def test_a_channel_that_is_forced_stays_marked_so_after_a_stop(db: Database) -> None:
    record = begin(db)
    asked(db, record, "candidate", 5, status="error", error_code="internal")
    assert RolloutKeeper(db).check(replace(record, forced=True)).forced


def test_a_database_that_is_away_is_said_once_and_watched_again_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "lockgate.db"
    with open_database(f"sqlite:///{file}") as db:
        record = begin(db)
        asked(db, record, "candidate", 5, status="error", error_code="internal")
        keeper = RolloutKeeper(db)
        with db.session() as session:
            connection = session.connection()
            connection.exec_driver_sql("ALTER TABLE traces RENAME TO hidden")
        with caplog.at_level(logging.WARNING):
            assert [keeper.check(record) for _ in range(3)] == [record] * 3
        assert [each.name for each in caplog.records].count("serving.rollout_keeper") == 1
        with db.session() as session:
            session.connection().exec_driver_sql("ALTER TABLE hidden RENAME TO traces")
        assert keeper.check(record).rollout is None


def test_a_rollout_that_cannot_be_read_does_not_end_the_loop(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    record = begin(db)
    assert record.rollout is not None
    broken = replace(record, rollout=replace(record.rollout, started_at="yesterday"))
    assert RolloutKeeper(db).check(broken) is broken
    assert "cannot be watched" in caplog.text


def test_a_channel_without_a_rollout_costs_nothing() -> None:
    record = ChannelRecord("production", "docs", OLD, 1)
    assert RolloutKeeper(None).check(record) is record  # type: ignore[arg-type]
