"""Database errors, turned into ours at this one door."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lockgate.errors import Conflict, Corrupt, LockgateError, Unavailable

_CORRUPT = ("malformed", "not a database", "file is encrypted", "unsupported file format")
_LOCKED = ("database is locked", "database table is locked", "database schema is locked")
_READ_ONLY = ("readonly", "read-only", "unable to open database file", "permission denied")
_FULL = ("disk is full", "no space left")


def shown(url: URL) -> str:
    """The database as an error may show it: a path for SQLite, else the URL without its password."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    return url.render_as_string(hide_password=True)


@contextlib.contextmanager
def database_errors(url: URL) -> Iterator[None]:
    """Raise Corrupt, Conflict or Unavailable, naming the database, for what SQLAlchemy raises inside."""
    try:
        yield
    except SQLAlchemyError as error:
        raise translate(error, url) from error


def translate(error: SQLAlchemyError, url: URL) -> LockgateError:
    """Our error for ``error``, by what the driver's text says."""
    where = shown(url)
    if isinstance(error, PoolTimeout):
        return Unavailable(f"{where}: every database connection is in use.", hint="Try again.", retry_after=2)
    if not isinstance(error, DBAPIError):
        return LockgateError(f"{where}: {error}")
    cause = str(error.orig).strip()
    lowered = cause.lower()
    if isinstance(error, IntegrityError):
        return Conflict(f"{where}: another writer came first, or a row refers to one that is gone ({cause}).")
    if any(word in lowered for word in _CORRUPT):
        return Corrupt(
            f"{where}: is damaged or not an SQLite database ({cause}).",
            hint="Restore a backup, or move the file away to begin with an empty one.",
        )
    if any(word in lowered for word in _LOCKED):
        return Unavailable(
            f"{where}: another process holds the database locked.", hint="Wait for it and try again.", retry_after=2
        )
    if any(word in lowered for word in _FULL):
        return Unavailable(f"{where}: the disk is full.", hint="Free some space and run the command again.")
    if any(word in lowered for word in _READ_ONLY):
        return Unavailable(f"{where}: cannot be opened for writing ({cause}).", hint="Check its owner and mode.")
    if error.connection_invalidated or type(error).__name__ == "OperationalError":
        return Unavailable(
            f"{where}: the database cannot be reached ({cause}).",
            hint="Check LOCKGATE_DATABASE_URL and that the server runs.",
            retry_after=5,
        )
    return LockgateError(f"{where}: the database refused a statement ({cause}).")
