from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lockgate.store.arms import (
    ArmFigures,
    arm_figures,
    count_repeated,
    earlier_figures,
    newest_request,
    shadow_pairs,
)
from lockgate.store.database import Database
from lockgate.store.traces import TraceRecord, write_trace

START = datetime(2026, 1, 1, tzinfo=UTC)
TRACE = TraceRecord(
    id="",
    created_at=START,
    origin="api",
    chain="docs",
    question="How?",
    status="ok",
    release="old",
    channel="production",
    rollout="r1",
    arm="current",
    timings={"total": 100.0},
)


def write(db: Database, name: str, **values: Any) -> None:
    minutes = values.pop("minutes", 0)
    write_trace(db, replace(TRACE, id=name, created_at=START + timedelta(minutes=minutes), **values))


def test_each_arm_counts_its_own_requests_of_its_own_rollout(db: Database) -> None:
    write(db, "a")
    write(db, "b", arm="candidate", abstained=True, timings={"total": 300.0})
    write(db, "c", arm="candidate", status="error", error_code="unavailable")
    write(db, "d", arm="candidate", rollout="another")
    write(db, "e", arm="", rollout="")
    figures = arm_figures(db, "r1")
    assert figures["current"] == ArmFigures(n=1, latencies=(100.0,))
    assert figures["candidate"] == ArmFigures(n=2, errors=1, abstained=1, latencies=(300.0,))
    assert figures["candidate"].error_rate == 0.5
    assert figures["candidate"].abstention_rate == 1.0


def test_cancelled_requests_and_errors_of_the_user_say_nothing_about_a_release(db: Database) -> None:
    write(db, "a", status="cancelled")
    write(db, "b", status="error", error_code="invalid_input")
    write(db, "c", status="error", error_code="policy_refused")
    write(db, "d", status="error", error_code="internal")
    assert arm_figures(db, "r1")["current"] == ArmFigures(n=1, errors=1)


def test_only_the_newest_requests_of_each_arm_count(db: Database) -> None:
    for number in range(6):
        late = number >= 3
        write(db, f"n{number}", minutes=number, arm="candidate", status="error" if late else "ok", timings={})
    for number in range(50):
        write(db, f"o{number}", minutes=100 + number)
    figures = arm_figures(db, "r1", limit=3)
    assert figures["candidate"] == ArmFigures(n=3, errors=3)
    assert figures["current"].n == 3


@pytest.mark.parametrize("timings", [{}, {"total": None}, {"total": "soon"}, {"total": True}, {"total": float("nan")}])
def test_a_trace_without_a_time_still_counts(db: Database, timings: dict[str, Any]) -> None:
    write(db, "a", timings=timings)
    assert arm_figures(db, "r1")["current"] == ArmFigures(n=1)


def test_nothing_asked_gives_empty_figures(db: Database) -> None:
    figures = arm_figures(db, "r1")["candidate"]
    assert (figures.n, figures.error_rate, figures.abstention_rate, figures.p50, figures.p95) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert newest_request(db, "r1") is None


def test_percentiles_are_by_nearest_rank() -> None:
    figures = ArmFigures(n=20, latencies=tuple(float(number) for number in range(20, 0, -1)))
    assert (figures.p50, figures.p95) == (10.0, 19.0)


def test_earlier_figures_are_what_users_asked_that_release_in_that_channel_before(db: Database) -> None:
    write(db, "a", rollout="", arm="")
    write(db, "b", rollout="", arm="", minutes=10)
    write(db, "c", rollout="", arm="", channel="staging")
    write(db, "d", rollout="", arm="", origin="eval")
    write(db, "e", rollout="", arm="", origin="cli", status="error", error_code="internal")
    write(db, "f", rollout="", arm="", release="older")
    figures = earlier_figures(db, "old", "production", START + timedelta(minutes=5))
    assert figures == ArmFigures(n=2, errors=1, latencies=(100.0,), earlier=True)


def test_the_newest_request_is_that_of_the_rollout(db: Database) -> None:
    write(db, "a", minutes=1)
    write(db, "b", minutes=3, arm="candidate")
    write(db, "c", minutes=9, rollout="r2")
    assert newest_request(db, "r1") == START + timedelta(minutes=3)


def test_repeated_requests_are_counted_whatever_came_of_them(db: Database) -> None:
    for number, status in enumerate(("ok", "error", "cancelled")):
        write(db, f"s{number}", origin="shadow", arm="candidate", status=status)
    write(db, "user")
    assert count_repeated(db, "r1") == 3


def test_pairs_hold_both_answers_of_a_question_newest_first(db: Database) -> None:
    write(db, "u1", answer="One.")
    write(db, "u2", answer="Two.", question="And then?", minutes=1)
    write(db, "u3", answer="Three.")
    write(db, "s1", origin="shadow", arm="candidate", shadow_of="u1", answer=" One.\n", minutes=2)
    write(db, "s2", origin="shadow", arm="candidate", shadow_of="u2", answer="No.", abstained=True, minutes=3)
    write(db, "s3", origin="shadow", arm="candidate", shadow_of="u3", status="error", error_code="internal")
    write(db, "s4", origin="shadow", arm="candidate", shadow_of="gone", answer="x")
    second, first = shadow_pairs(db, "r1")
    assert (second.question, second.current, second.candidate) == ("And then?", "u2", "s2")
    assert not second.same_answer
    assert not second.same_abstention
    assert first.same_answer
    assert first.same_abstention
