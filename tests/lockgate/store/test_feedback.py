from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from lockgate.errors import NotFound, UserError
from lockgate.store.database import Database
from lockgate.store.feedback import MAX_COMMENT, get_feedback, list_feedback, write_feedback
from lockgate.store.traces import TraceRecord, write_trace


@pytest.fixture(autouse=True)
def _two_traces(db: Database) -> None:
    for name in ("a", "b"):
        write_trace(
            db,
            TraceRecord(
                id=name, created_at=datetime.now(UTC), origin="api", chain="docs", question="Why?", status="ok"
            ),
        )


def test_a_second_vote_replaces_the_first(db: Database) -> None:
    first = write_feedback(db, "a", "up")
    second = write_feedback(db, "a", "down", "The page is old.")
    assert second.created_at == first.created_at
    assert second.updated_at >= first.updated_at
    assert list_feedback(db) == [second]
    assert (second.vote, second.comment) == ("down", "The page is old.")


def test_a_second_vote_without_a_comment_keeps_the_first_ones(db: Database) -> None:
    write_feedback(db, "a", "down", "The page is old.")
    assert write_feedback(db, "a", "down").comment == "The page is old."
    assert write_feedback(db, "a", "up").comment == "The page is old."
    assert write_feedback(db, "a", "up", "").comment == ""


def test_the_vote_changed_last_is_listed_first(db: Database) -> None:
    write_feedback(db, "a", "up")
    write_feedback(db, "b", "up")
    write_feedback(db, "a", "down")
    assert [record.trace_id for record in list_feedback(db)] == ["a", "b"]


def test_a_trace_without_a_vote_has_none(db: Database) -> None:
    assert get_feedback(db, "a") is None
    assert write_feedback(db, "a", "up") == get_feedback(db, "a")


def test_a_vote_on_an_unknown_trace_is_not_found(db: Database) -> None:
    with pytest.raises(NotFound, match="'gone'"):
        write_feedback(db, "gone", "up")


@pytest.mark.parametrize(
    ("vote", "comment", "says"), [("sideways", "", "'sideways'"), ("up", "x" * (MAX_COMMENT + 1), "4001 characters")]
)
def test_a_vote_or_comment_that_is_wrong_is_refused(db: Database, vote: str, comment: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        write_feedback(db, "a", vote, comment)
    assert list_feedback(db) == []


def test_votes_at_once_leave_one_row(db: Database) -> None:
    failures: list[BaseException] = []

    def vote(way: str) -> None:
        try:
            write_feedback(db, "a", way)
        except BaseException as error:  # shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=vote, args=(way,)) for way in ("up", "down") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list_feedback(db)) == 1
