"""Databases to test on: a new SQLite file for each test, and a PostgreSQL started from Debian's programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockgate.store.database import Database, open_database, upgrade


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("needs PostgreSQL's programs: apt-get install postgresql")
    return found[-1].parent


def _as_postgres(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    line = [str(part) for part in command]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *line] if os.getuid() == 0 else line


def _run(command: list[str], folder: Path) -> None:
    # Into nothing: the server inherits the output, so a pipe would never end.
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The host parameter of a PostgreSQL server that listens on a socket in its own folder, and nowhere else."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    programs = _programs()
    # Not under pytest's tmp_path: a socket's path may have no more than 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="lockgate-pg-"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    try:
        initdb = _as_postgres(programs / "initdb", "-D", data, "-U", "lockgate", "-A", "trust", "-E", "UTF8", "-N")
        _run(initdb, folder)
        start = _as_postgres(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        _run(start, folder)
        try:
            yield str(folder)
        finally:
            stop = _as_postgres(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
            _run(stop, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The URL of a new, empty PostgreSQL database."""
    import psycopg

    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"host={postgres_server} user=lockgate dbname=postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql://lockgate@/{name}?host={postgres_server}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'lockgate.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    """An open database of each kind, at the code's schema."""
    if not url.startswith("sqlite"):
        upgrade(url)
    with open_database(url) as database:
        yield database
