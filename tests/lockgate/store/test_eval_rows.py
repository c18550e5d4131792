from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lockgate.errors import Conflict, NotFound
from lockgate.store.database import Database
from lockgate.store.eval_rows import (
    EvalPlanRecord,
    begin_eval_run,
    discard_eval_plan,
    find_eval_plan,
    list_eval_plans,
    read_eval_rows,
    write_eval_row,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def plan(name: str, *, hours: int = 0) -> EvalPlanRecord:
    return EvalPlanRecord(name, "tiny", "h", "r", {"repeats": 2}, START + timedelta(hours=hours))


def test_gives_back_the_plan_and_the_rows_kept_so_far(db: Database) -> None:
    begin_eval_run(db, plan("a"))
    assert write_eval_row(db, "a", "port", 0, {"answer": "8000\0"})
    assert write_eval_row(db, "a", "port", 1, {"answer": "80"})
    assert find_eval_plan(db, "a") == plan("a")
    assert [row["answer"] for row in read_eval_rows(db, "a")] == ["8000\0", "80"]


def test_a_row_that_is_there_stays(db: Database) -> None:
    begin_eval_run(db, plan("a"))
    assert write_eval_row(db, "a", "port", 0, {"answer": "first"})
    assert not write_eval_row(db, "a", "port", 0, {"answer": "second"})
    assert read_eval_rows(db, "a") == [{"answer": "first"}]


def test_a_run_that_is_forgotten_takes_its_rows_along_and_no_others(db: Database) -> None:
    for name in ("a", "b"):
        begin_eval_run(db, plan(name))
        write_eval_row(db, name, "port", 0, {"run": name})
    discard_eval_plan(db, "a")
    discard_eval_plan(db, "a")
    assert read_eval_rows(db, "a") == []
    assert read_eval_rows(db, "b") == [{"run": "b"}]
    with pytest.raises(NotFound, match="'a'"):
        write_eval_row(db, "a", "port", 0, {})


def test_an_unknown_run_names_the_unfinished_ones_newest_first(db: Database) -> None:
    begin_eval_run(db, plan("old"))
    begin_eval_run(db, plan("new", hours=1))
    assert [each.id for each in list_eval_plans(db)] == ["new", "old"]
    with pytest.raises(NotFound, match="Unfinished runs: new, old"):
        find_eval_plan(db, "gone")
    with pytest.raises(Conflict, match="'old'"):
        begin_eval_run(db, plan("old"))
