from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, select, text

from lockgate.errors import Conflict, Corrupt, LockgateError, Unavailable, UserError
from lockgate.store.database import HEAD, Database, open_database, upgrade
from lockgate.store.migration import known_revisions
from lockgate.store.tables import OPEN, Base, Document, Pointer, Snapshot, Sync


def _sync(name: str, **changes: object) -> Sync:
    values: dict[str, object] = {"id": name, "source": "docs", "state": "running", "started_at": datetime.now(UTC)}
    return Sync(**(values | changes))


def _snapshot(name: str) -> Snapshot:
    return Snapshot(
        id=name,
        kind="bm25",
        parent=None,
        manifest="m",
        lexicon="l",
        embedder="",
        chunking={"max_tokens": 200},
        documents=1,
        chunks=2,
        created_at=datetime.now(UTC),
    )


def test_head_is_the_newest_script() -> None:
    assert known_revisions()[0] == HEAD


def test_migrations_make_exactly_the_tables_of_the_metadata(db: Database, url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_opening_a_current_database_does_not_import_alembic(sqlite_url: str) -> None:
    open_database(sqlite_url).close()
    program = (
        "import sys; from lockgate.store.database import open_database\n"
        f"open_database({sqlite_url!r}).close()\n"
        "assert not [name for name in sys.modules if name.startswith('alembic')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_sqlite_runs_in_wal_mode_with_foreign_keys(sqlite_url: str) -> None:
    with open_database(sqlite_url) as db, db.session() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA foreign_keys")) == 1


def test_only_the_owner_can_read_an_sqlite_database(sqlite_url: str, tmp_path: Path) -> None:
    with open_database(sqlite_url) as db, db.session() as session:
        session.add(_sync("a"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["lockgate.db"] == 0o600
    assert set(modes.values()) == {0o600}


def _open_when_told(url: str, start_at: float, results: multiprocessing.Queue[str]) -> None:
    time.sleep(max(0.0, start_at - time.time()))
    try:
        with open_database(url) as db, db.session() as session:
            session.add(_sync(f"{os.getpid()}"))
        results.put("ok")
    except LockgateError as error:
        results.put(str(error))


def test_processes_that_create_a_database_at_once_all_succeed(sqlite_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    start_at = time.time() + 4
    processes = [context.Process(target=_open_when_told, args=(sqlite_url, start_at, results)) for _ in range(4)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["ok"] * 4
    for process in processes:
        process.join()
    with open_database(sqlite_url) as db, db.reading() as session:
        assert len(session.scalars(select(Sync)).all()) == 4


def test_threads_that_create_a_database_at_once_all_succeed(tmp_path: Path) -> None:
    for round_number in range(10):
        url = f"sqlite:///{tmp_path / str(round_number)}.db"
        barrier = threading.Barrier(6)
        failures: list[BaseException] = []

        def create(url: str = url, barrier: threading.Barrier = barrier, into: list[BaseException] = failures) -> None:
            barrier.wait()
            try:
                open_database(url).close()
            except BaseException as error:
                into.append(error)

        threads = [threading.Thread(target=create) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


def test_upgrade_says_from_where_to_where(url: str) -> None:
    first, second = upgrade(url), upgrade(url)
    assert (first.before, first.after) == (None, HEAD)
    assert (second.before, second.after) == (HEAD, HEAD)


@pytest.mark.postgres
def test_a_server_database_that_is_behind_names_the_command(postgres_url: str) -> None:
    with pytest.raises(Unavailable, match="lockgate db upgrade"):
        open_database(postgres_url)


@pytest.mark.postgres
def test_upgrades_of_one_server_database_at_once_all_succeed(postgres_url: str) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            upgrade(postgres_url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    open_database(postgres_url).close()


def test_refuses_a_database_newer_than_the_code(db: Database, url: str) -> None:
    with db.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for action in (open_database, upgrade):
        with pytest.raises(UserError, match="'9999' is newer than this Lockgate"):
            action(url)


def test_refuses_an_sqlite_file_that_is_not_lockgates(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (id)")
    connection.close()
    with pytest.raises(UserError, match=r"other\.db: is not Lockgate's: it holds bookmarks"):
        open_database(f"sqlite:///{path}")


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "lockgate.db"
    path.write_bytes(b"these bytes are no SQLite database at all" * 100)
    with pytest.raises(Corrupt, match=r"lockgate\.db"):
        open_database(f"sqlite:///{path}")


def test_a_damaged_database_is_corrupt(sqlite_url: str, tmp_path: Path) -> None:
    with open_database(sqlite_url) as db, db.session() as session:
        session.add_all(_sync(str(number)) for number in range(500))
    path = tmp_path / "lockgate.db"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    with pytest.raises(Corrupt), open_database(sqlite_url) as db, db.session() as session:
        session.scalars(select(Sync)).all()


def test_a_locked_database_is_unavailable(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockgate.store.database.BUSY_SECONDS", 0.1)
    with open_database(sqlite_url) as db:
        holder = sqlite3.connect(tmp_path / "lockgate.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(Unavailable, match="another process holds the database locked") as caught,
            db.session() as session,
        ):
            session.add(_sync("a"))
        assert caught.value.retry_after
        with db.reading() as session:
            assert session.scalars(select(Sync)).all() == []
        holder.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is not a database URL"),
        ("nonsense", "is not a database URL"),
        ("postgres://user:secret@host/name", "is not a database URL"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://user:secret@host/name", "'mysql' databases are not supported"),
        ("sqlite+aiosqlite:///x.db", "databases are not supported"),
        ("postgresql://user:secret@host:port/name", "is not a database URL"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_showing_a_password(url: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)
    assert "sqlite:////absolute" in str(caught.value)


@pytest.mark.postgres
def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        open_database("postgresql://user:secret@127.0.0.1:1/name")
    assert "secret" not in str(caught.value)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(UserError, match="is not a folder"):
        open_database(f"sqlite:///{tmp_path / 'state' / 'lockgate.db'}")


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    if os.getuid() == 0:
        with pytest.raises(Unavailable, match="/proc"):
            open_database("sqlite:////proc/lockgate.db")
        return
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable, match="Check its owner and mode"):
        open_database(f"sqlite:///{tmp_path / 'lockgate.db'}")


def test_a_transaction_that_fails_leaves_nothing(db: Database) -> None:
    with pytest.raises(RuntimeError), db.session() as session:
        session.add(_sync("a"))
        session.flush()
        raise RuntimeError
    with db.reading() as session:
        assert session.scalars(select(Sync)).all() == []


def test_a_row_that_refers_to_nothing_is_a_conflict(db: Database) -> None:
    with pytest.raises(Conflict), db.session() as session:
        session.add(Pointer(name="current", snapshot_seq=7))


def test_what_one_writer_read_cannot_change_before_it_writes(sqlite_url: str) -> None:
    with open_database(sqlite_url) as db:
        with db.session() as session:
            session.add(_sync("counter", seq=0))

        def count() -> None:
            for _ in range(25):
                with db.session() as session:
                    row = session.get_one(Sync, "counter")
                    row.seq = (row.seq or 0) + 1

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with db.reading() as session:
            assert session.get_one(Sync, "counter").seq == 100


def test_moments_come_back_in_utc(db: Database) -> None:
    local = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=5)))
    with db.session() as session:
        session.add(_sync("a", started_at=local))
    with db.reading() as session:
        stored = session.get_one(Sync, "a").started_at
    assert stored == local
    assert stored.tzinfo == UTC


def test_a_moment_without_a_timezone_is_refused(db: Database) -> None:
    with pytest.raises(LockgateError, match="has no timezone"), db.session() as session:
        session.add(_sync("a", started_at=datetime(2026, 1, 2)))


def test_text_that_a_database_cannot_hold_is_stored_with_replacement_characters(db: Database) -> None:
    with db.session() as session:
        session.add(
            _sync("a", source="nul \0 half \ud800 pair \ud83d\ude00", report={"x": "\0\ud800", "y": float("nan")})
        )
    with db.reading() as session:
        row = session.get_one(Sync, "a")
    assert row.source == "nul � half � pair \N{GRINNING FACE}"
    assert row.report == {"x": "\0\ud800", "y": None}


def test_the_number_of_a_deleted_snapshot_is_not_used_again(db: Database) -> None:
    with db.session() as session:
        session.add(_snapshot("a"))
        session.add(second := _snapshot("b"))
        session.flush()
        session.delete(second)
    with db.session() as session:
        session.add(third := _snapshot("c"))
        session.flush()
        assert third.seq == second.seq + 1


def test_a_document_is_current_until_said_otherwise(db: Database) -> None:
    with db.session() as session:
        session.add(
            Document(
                source="docs",
                path="a.md",
                version="v",
                title="A",
                format="markdown",
                size=2**40,
                mtime_ns=1_700_000_000_000_000_001,
                chunk_ids=["c1", "c2"],
                from_seq=1,
            )
        )
    with db.reading() as session:
        row = session.scalars(select(Document)).one()
    assert (row.until_seq, row.size, row.mtime_ns) == (OPEN, 2**40, 1_700_000_000_000_000_001)
