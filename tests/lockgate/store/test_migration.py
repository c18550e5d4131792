"""Upgrading a database that is in use: what was stored before is there after, and reads as if it was written now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from lockgate.store.channels import list_channels
from lockgate.store.database import HEAD, Database, open_database, upgrade
from lockgate.store.migration import alembic_config, known_revisions
from lockgate.store.tables import Base
from lockgate.store.traces import list_traces

TRACE: dict[str, Any] = {
    "id": "t1",
    "created_at": "2026-01-02 03:04:05.678901+00:00",
    "origin": "api",
    "chain": "docs",
    "model": "tiny",
    "mode": "extractive",
    "question": "Jak vyměnit klíč? \N{ROCKET}",
    "condensed_question": "",
    "history": json.dumps([{"role": "user", "content": "Hi"}]),
    "release": "unreleased",
    "snapshot": "s" * 64,
    "prompt_hash": "p",
    "policy_hash": "q",
    "passages": "[]",
    "answer": "Takto [1].",
    "abstained": False,
    "citations": "[]",
    "timings": json.dumps({"total": 0.25}),
    "prompt_tokens": 2**40,
    "completion_tokens": 7,
    "guardrails": "[]",
    "status": "ok",
    "error_code": "",
    "error": "",
}


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


def make_old(url: str, revision: str, traces: int) -> None:
    """A database as an older Lockgate left it."""
    engine = engine_of(url)
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        columns = ", ".join(TRACE)
        places = ", ".join(f":{name}" for name in TRACE)
        for number in range(traces):
            connection.execute(
                text(f"INSERT INTO traces ({columns}) VALUES ({places})"),  # noqa: S608 - fixed names
                TRACE | {"id": f"t{number}"},
            )
        connection.execute(
            text(
                "INSERT INTO feedback (trace_id, vote, comment, created_at, updated_at) "
                "VALUES ('t0', 'down', 'no', :at, :at)"
            ),
            {"at": TRACE["created_at"]},
        )
    engine.dispose()


def test_every_revision_leads_to_the_next() -> None:
    revisions = known_revisions()
    assert revisions == sorted(revisions, reverse=True)
    assert revisions[0] == HEAD


def test_an_upgrade_keeps_every_trace_and_vote(url: str) -> None:
    make_old(url, "0001", traces=50)
    done = upgrade(url)
    assert (done.before, done.after) == ("0001", HEAD)
    with open_database(url) as db:
        traces = list_traces(db, limit=100)
        assert len(traces) == 50
        trace = next(trace for trace in traces if trace.id == "t1")
        assert (trace.question, trace.answer, trace.release) == (TRACE["question"], TRACE["answer"], "unreleased")
        assert trace.created_at.isoformat() == "2026-01-02T03:04:05.678901+00:00"
        assert (trace.channel, trace.rollout, trace.arm, trace.shadow_of) == ("", "", "", "")
        assert list_channels(db) == []
        with db.reading() as session:
            assert session.execute(text("SELECT vote, comment FROM feedback")).all() == [("down", "no")]


def test_an_upgraded_database_has_exactly_the_tables_of_the_models(url: str) -> None:
    make_old(url, "0001", traces=1)
    upgrade(url)
    engine = engine_of(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_an_upgraded_database_has_the_schema_of_a_new_one(tmp_path: Path) -> None:
    """Also what alembic does not compare on SQLite: checks, defaults, AUTOINCREMENT."""
    old, new = f"sqlite:///{tmp_path / 'old.db'}", f"sqlite:///{tmp_path / 'new.db'}"
    make_old(old, "0001", traces=1)
    upgrade(old)
    upgrade(new)
    schemas = []
    for url in (old, new):
        engine = engine_of(url)
        with engine.connect() as connection:
            schemas.append(sorted(connection.execute(text("SELECT sql FROM sqlite_master WHERE sql != ''")).scalars()))
        engine.dispose()
    assert schemas[0] == schemas[1]


def test_history_and_channels_are_kept_unique_by_the_database(db: Database, url: str) -> None:
    engine = engine_of(url)
    keys = inspect(engine).get_unique_constraints("channel_moves")
    assert [key["column_names"] for key in keys] == [["channel", "chain", "version"]]
    assert inspect(engine).get_pk_constraint("channels")["constrained_columns"] == ["channel", "chain"]
    engine.dispose()


KILLED = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from lockgate.store.database import upgrade
left = int(sys.argv[2])
def after(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "after_cursor_execute", after)
upgrade(sys.argv[1])
"""


@pytest.mark.parametrize("statement", [6, 10, 14, 18])
def test_a_killed_upgrade_leaves_the_old_schema_and_can_be_run_again(sqlite_url: str, statement: int) -> None:
    make_old(sqlite_url, "0001", traces=3)
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, sqlite_url, str(statement)], env=environment, check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    engine = engine_of(sqlite_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["0001"]
        assert "releases" not in inspect(connection).get_table_names()
    engine.dispose()
    assert upgrade(sqlite_url).before == "0001"
    with open_database(sqlite_url) as db:
        assert len(list_traces(db, limit=10)) == 3
