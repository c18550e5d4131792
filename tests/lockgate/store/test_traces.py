from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.errors import Conflict, NotFound, UserError
from lockgate.store.database import Database, open_database
from lockgate.store.traces import TraceRecord, get_trace, list_traces, write_trace

START = datetime(2026, 1, 1, tzinfo=UTC)


def _trace(name: str, minutes: int = 0) -> TraceRecord:
    return TraceRecord(
        id=name,
        created_at=START + timedelta(minutes=minutes),
        origin="api",
        chain="docs",
        question="How do I rotate a key?",
        status="ok",
        model="smollm2-135m",
        mode="extractive",
        condensed_question="How do I rotate a key?",
        history=({"role": "user", "content": "Hello"},),
        snapshot="s",
        prompt_hash="p",
        policy_hash="q",
        passages=({"chunk_id": "c", "path": "a.md", "heading": ["A"], "version": "v", "score": 0.5, "cosine": None},),
        answer="Press the button [1].",
        citations=({"number": 1, "chunk_id": "c"},),
        timings={"retrieve": 12.5, "answer": 3.25},
        prompt_tokens=10,
        completion_tokens=5,
        guardrails=("removed 1 image",),
    )


def test_gives_back_what_was_written(db: Database) -> None:
    write_trace(db, _trace("a"))
    assert get_trace(db, "a") == _trace("a")


def test_a_trace_is_committed_when_write_returns(sqlite_url: str) -> None:
    with open_database(sqlite_url) as db, open_database(sqlite_url) as other:
        write_trace(db, _trace("a"))
        assert get_trace(other, "a").id == "a"


def test_a_failed_request_is_stored_with_its_error(db: Database) -> None:
    failed = replace(_trace("a"), status="error", error_code="unavailable", error="The queue is full.", answer="")
    write_trace(db, failed)
    assert get_trace(db, "a").error_code == "unavailable"


def test_texts_of_any_length_and_content_are_kept_as_given(db: Database) -> None:
    question = "\x1b[31mred\x1b[0m " + "long " * 200_000
    write_trace(db, replace(_trace("a"), question=question))
    assert get_trace(db, "a").question == question


def test_a_score_that_is_not_a_number_does_not_stop_the_trace(db: Database) -> None:
    write_trace(db, replace(_trace("a"), passages=({"chunk_id": "c", "score": float("nan")},)))
    assert get_trace(db, "a").passages == ({"chunk_id": "c", "score": None},)


def test_the_same_id_twice_is_a_conflict(db: Database) -> None:
    write_trace(db, _trace("a"))
    with pytest.raises(Conflict, match="'a'"):
        write_trace(db, _trace("a"))


def test_pages_of_the_list_hold_every_trace_once_newest_first(db: Database) -> None:
    # Three share each moment: the order within it must hold across pages.
    for number in range(9):
        write_trace(db, _trace(f"t{number}", minutes=number // 3))
    seen: list[str] = []
    page = list_traces(db, limit=2)
    while page:
        seen += [record.id for record in page]
        page = list_traces(db, limit=2, before=page[-1].id)
    assert seen == [f"t{number}" for number in reversed(range(9))]


def test_an_unknown_trace_is_not_found(db: Database) -> None:
    with pytest.raises(NotFound, match="'gone'"):
        get_trace(db, "gone")
    with pytest.raises(NotFound, match="'gone'"):
        list_traces(db, before="gone")


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_an_absurd_limit_is_refused(db: Database, limit: int) -> None:
    with pytest.raises(UserError, match="limit"):
        list_traces(db, limit=limit)
