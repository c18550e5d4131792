from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lockgate.store.database import Database
from lockgate.store.feedback import write_feedback
from lockgate.store.measurements import read_traffic
from lockgate.store.traces import TraceRecord, write_trace

START = datetime(2026, 1, 1, tzinfo=UTC)


def trace(db: Database, name: str, *, minutes: int = 0, **changes: Any) -> None:
    values: dict[str, Any] = {
        "origin": "api",
        "chain": "docs",
        "question": "?",
        "status": "ok",
        "release": "r1",
        "timings": {"total": 1500.0},
        "prompt_tokens": 10,
        "completion_tokens": 20,
    }
    write_trace(db, TraceRecord(id=name, created_at=START + timedelta(minutes=minutes), **(values | changes)))


def test_only_what_users_asked_that_release_counts(db: Database) -> None:
    trace(db, "api", minutes=1)
    trace(db, "cli", minutes=2, origin="cli", abstained=True)
    trace(db, "eval", origin="eval")
    trace(db, "shadow", origin="shadow")
    trace(db, "other", release="r2")
    trace(db, "left", status="cancelled")
    trace(db, "broke", status="error")
    write_feedback(db, "api", "up")
    write_feedback(db, "other", "down")
    traffic = read_traffic(db, "r1")
    assert [(each.abstained, each.vote) for each in traffic.answered] == [(True, None), (False, "up")]
    assert traffic.answered[0].at == START + timedelta(minutes=2)
    assert traffic.failed == 1


def test_looks_at_the_newest_requests_only(db: Database) -> None:
    for minute in range(5):
        trace(db, f"t{minute}", minutes=minute, prompt_tokens=minute)
    assert [each.prompt_tokens for each in read_traffic(db, "r1", newest=3).answered] == [4, 3, 2]


@pytest.mark.parametrize(
    ("timings", "seconds", "first"),
    [
        # 400 ms before the model was asked, 100 ms until its first token, 1000 ms until its last.
        ({"total": 1450.0, "answer": 1000.0, "first_token": 100.0}, 1.45, 0.55),
        ({"total": 1450.0, "answer": 1000.0}, 1.45, 1.45),
        ({"total": 0, "answer": 5.0, "first_token": 1.0}, 0.0, 0.0),
        ({}, None, None),
        ({"total": "1 s"}, None, None),
        ({"total": True}, None, None),
        ({"total": None, "answer": 3.0, "first_token": 1.0}, None, None),
    ],
)
def test_seconds_come_from_the_stages_of_a_trace(
    db: Database, timings: dict[str, Any], seconds: float | None, first: float | None
) -> None:
    trace(db, "t", timings=timings)
    (answer,) = read_traffic(db, "r1").answered
    assert answer.seconds == pytest.approx(seconds)
    assert answer.first_text == pytest.approx(first)


def test_a_release_that_nobody_asked_has_no_traffic(db: Database) -> None:
    traffic = read_traffic(db, "' OR 1=1 --")
    assert (traffic.answered, traffic.failed) == ((), 0)
