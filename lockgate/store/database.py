"""Opening the database: engine, pragmas, sessions, and the check that its schema is the code's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from lockgate.atomic import disk_errors
from lockgate.errors import MissingExtra, Unavailable, UserError
from lockgate.store.columns import to_json
from lockgate.store.failures import database_errors, shown

HEAD = "0006"
"""The newest revision in migrations/versions; kept here so that opening a database need not import Alembic."""

BUSY_SECONDS = 10
"""How long a statement waits for another SQLite writer before it gives up."""

_READER = {"lockgate_begin": "BEGIN"}
"""Execution options of a transaction that does not take SQLite's write lock."""

_MIGRATION_LOCK = 0x10C6A7E  # any number: the key of the PostgreSQL advisory lock that upgrades take


class Database:
    """An open database whose schema is the code's. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def name(self) -> str:
        """What to call it in a message; no password in it."""
        return shown(self._engine.url)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction that may write: committed on success, rolled back on an error.

        On SQLite the write lock is taken at the first statement, so what was read cannot change before the write.
        Raises Unavailable, Conflict or Corrupt for what the database reports.
        """
        with (
            database_errors(self._engine.url),
            Session(self._engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads: on SQLite it waits for no writer and holds none up."""
        reader = self._engine.execution_options(**_READER)
        with database_errors(self._engine.url), Session(reader, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did; ``before`` is None for a database that was empty."""

    database: str
    before: str | None
    after: str


def open_database(url: str) -> Database:
    """The database at ``url``, ready for use.

    An SQLite file is created and migrated when needed. Raises UserError for a URL that makes no sense, a database
    that is not Lockgate's or is newer than the code, MissingExtra without the driver, Corrupt for a damaged file and
    Unavailable when it cannot be reached, is locked, cannot be written or, on a server, has an older schema.
    """
    engine = _create_engine(url)
    try:
        with database_errors(engine.url):
            revision = _read_revision(engine)
            if revision != HEAD:
                if not _is_sqlite(engine):
                    _refuse_behind(engine.url, revision)
                _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


def upgrade(url: str) -> Upgrade:
    """Bring the database at ``url`` to the code's schema; raises as ``open_database`` does, but never for "older"."""
    engine = _create_engine(url)
    try:
        with database_errors(engine.url):
            before = _read_revision(engine)
            if before != HEAD:
                _migrate(engine)
            return Upgrade(shown(engine.url), before, HEAD)
    finally:
        engine.dispose()


def _create_engine(raw: str) -> Engine:
    url = _parse(raw)
    options: dict[str, Any] = {"json_serializer": to_json}
    if url.get_backend_name() == "sqlite":
        _make_file(url)
        options["connect_args"] = {"timeout": BUSY_SECONDS}
    else:
        options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": 5}}
    try:
        engine = create_engine(url, **options)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"LOCKGATE_DATABASE_URL: the driver {error.name!r} is not installed.",
            hint="Install psycopg[binary] for PostgreSQL.",
        ) from None
    if _is_sqlite(engine):
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _parse(raw: str) -> URL:
    """The URL, checked: SQLite in a file, or PostgreSQL through psycopg."""
    accepted = "Accepted are sqlite:////absolute/path/to/file and postgresql://user:password@host/name."
    try:
        url = make_url(raw)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        scheme = raw.split(":", 1)[0][:40]
        raise UserError(f"LOCKGATE_DATABASE_URL: {scheme!r}... is not a database URL.", hint=accepted) from None
    except ModuleNotFoundError:
        pass  # a dialect that is known, its driver not installed: judged by its name below
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if url.database in (None, "", ":memory:"):
            raise UserError("LOCKGATE_DATABASE_URL: an SQLite database in memory would lose the state.", hint=accepted)
        return url
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise UserError(f"LOCKGATE_DATABASE_URL: {url.drivername!r} databases are not supported.", hint=accepted)


def _make_file(url: URL) -> None:
    """Make an empty file that only its owner can read: traces hold what people asked. SQLite copies its mode."""
    file = Path(str(url.database))
    folder = file.parent
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{folder}: is not a folder, so no database can be made in it.") from None
    with contextlib.suppress(OSError):  # SQLite says why, in its own words, a moment later
        file.touch(mode=0o600)


def _is_sqlite(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite"


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    # The driver's own transaction handling begins late and commits around DDL; SQLAlchemy's events begin instead.
    connection.isolation_level = None
    _set_wal(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    # FULL makes a commit survive a power cut, not only a killed process; it costs one fsync.
    connection.execute("PRAGMA synchronous = FULL")


def _set_wal(connection: Any) -> None:
    """Switch to WAL. SQLite does not wait for a lock here, so two processes that create a file need this loop."""
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _on_sqlite_begin(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later would fail at once, unwaited, if another wrote.
    connection.exec_driver_sql(connection.get_execution_options().get("lockgate_begin", "BEGIN IMMEDIATE"))


def _read_revision(engine: Engine) -> str | None:
    """The schema's revision, None for an empty database. Raises UserError for somebody else's database."""
    with engine.execution_options(**_READER).connect() as connection:
        try:
            rows = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
        except DBAPIError as error:
            if "no such table" not in str(error.orig) and "does not exist" not in str(error.orig):
                raise
            connection.rollback()
            rows = []
        if len(rows) > 1:
            raise UserError(f"{shown(engine.url)}: its schema has two revisions: {', '.join(map(str, rows))}.")
        if rows:
            return str(rows[0])
        tables = inspect(connection).get_table_names() if _is_sqlite(engine) else []
        # With the revision's table there by now, another process has just made this database.
        if tables and "alembic_version" not in tables:
            raise UserError(
                f"{shown(engine.url)}: is not Lockgate's: it holds {', '.join(tables[:5])} and no revision.",
                hint="Point LOCKGATE_DATABASE_URL at a new file.",
            )
        return None


def _refuse_behind(url: URL, revision: str | None) -> None:
    state = "is empty" if revision is None else f"has the schema {revision}, this Lockgate needs {HEAD}"
    _refuse_unknown(url, revision)
    raise Unavailable(f"{shown(url)}: {state}.", hint="Run: lockgate db upgrade")


def _refuse_unknown(url: URL, revision: str | None) -> None:
    """Raise UserError when no script of this code leads on from ``revision``."""
    if revision is None:
        return
    from lockgate.store.migration import known_revisions

    if revision not in known_revisions():
        raise UserError(
            f"{shown(url)}: its schema {revision!r} is newer than this Lockgate, which knows up to {HEAD}.",
            hint="Install the newer Lockgate, or restore a backup made with this one.",
        )


def _migrate(engine: Engine) -> None:
    """Run the missing revisions in one transaction that no second process can run beside."""
    from lockgate.store.migration import run_migrations

    with engine.begin() as connection:
        if not _is_sqlite(engine):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        _refuse_unknown(engine.url, _revision_inside(connection))
        run_migrations(connection)


def _revision_inside(connection: Connection) -> str | None:
    """The revision read under the migration lock: another process may have upgraded while this one waited."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
