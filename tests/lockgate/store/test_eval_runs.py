from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lockgate.errors import Conflict, NotFound
from lockgate.store.database import Database
from lockgate.store.eval_runs import EvalRunRecord, get_eval_run, list_eval_runs, recent_eval_runs, write_eval_run

START = datetime(2026, 1, 1, tzinfo=UTC)


def _run(name: str, *, hours: int = 0, mode: str = "extractive") -> EvalRunRecord:
    return EvalRunRecord(
        id=name,
        suite="docs-smoke",
        suite_version="1",
        suite_hash="h",
        chain="docs",
        mode=mode,
        model="",
        release="unreleased",
        snapshot="s",
        started_at=START + timedelta(hours=hours),
        finished_at=START + timedelta(hours=hours, minutes=1),
        aggregates={"recall@5": {"mean": 0.9, "n": 40}},
        rows_hash="0" * 64,
        metadata={"seed": 7},
    )


def test_gives_back_what_was_written(db: Database) -> None:
    write_eval_run(db, _run("a"))
    assert get_eval_run(db, "a") == _run("a")


def test_recent_runs_are_of_that_suite_chain_mode_and_model(db: Database) -> None:
    write_eval_run(db, _run("new", hours=2))
    write_eval_run(db, _run("old", hours=1))
    write_eval_run(db, _run("other", hours=3, mode="generative"))
    runs = recent_eval_runs(db, "docs-smoke", "docs", "extractive", "")
    assert runs == [_run("new", hours=2), _run("old", hours=1)]
    assert recent_eval_runs(db, "docs-smoke", "docs", "extractive", "another-model") == []
    assert [run.id for run in list_eval_runs(db)] == ["other", "new", "old"]
    assert [run.id for run in list_eval_runs(db, limit=1)] == ["other"]


def test_an_id_that_is_taken_or_unknown_is_an_error(db: Database) -> None:
    write_eval_run(db, _run("a"))
    with pytest.raises(Conflict, match="'a'"):
        write_eval_run(db, _run("a"))
    with pytest.raises(NotFound, match="'gone'"):
        get_eval_run(db, "gone")
