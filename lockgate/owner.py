"""Who has the index open: one process at a time, found by the others through two files in the state folder.

``owner.lock`` is locked (flock) for as long as the holder lives, so the kernel lets go of it whatever ends the holder.
``owner.json`` beside it says who that is and, for a server, where to reach it and with which token; it means nothing
while the lock is free.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from lockgate.atomic import disk_errors, write_atomic
from lockgate.errors import Conflict, Unavailable
from lockgate.settings import LOOPBACK_HOSTS

LOCK_FILE = "owner.lock"
CARD_FILE = "owner.json"
PROBE_SECONDS = 0.3
"""A reader that looks whether the lock is held takes it for an instant; an acquirer outwaits that."""


@dataclass(frozen=True, slots=True)
class OwnerCard:
    """What ``owner.json`` says. ``url`` is None for a holder that cannot be asked anything (a command)."""

    pid: int
    url: str | None
    token: str
    command: str
    started: str

    def describe(self) -> str:
        where = f" at {self.url}" if self.url else ""
        return f"`{self.command}`{where} (process {self.pid}, since {self.started})"


@dataclass(frozen=True, slots=True)
class ServerHandle:
    """A running server of this project: where it is and the token of its internal routes."""

    url: str
    token: str
    pid: int
    command: str


class Owner:
    """The held lock. Use as a context manager, or call ``release``."""

    def __init__(self, state_dir: Path, lock_fd: int, card: OwnerCard) -> None:
        self._state_dir = state_dir
        self._lock_fd: int | None = lock_fd
        self.card = card
        self._write()

    @property
    def token(self) -> str:
        return self.card.token

    def announce(self, url: str) -> None:
        """Say where this process can be reached, once it listens."""
        self.card = replace(self.card, url=url)
        self._write()

    def _write(self) -> None:
        write_atomic(self._state_dir / CARD_FILE, json.dumps(asdict(self.card), indent=1).encode(), mode=0o600)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._lock_fd is None:
            return
        fd, self._lock_fd = self._lock_fd, None
        with contextlib.suppress(OSError):
            (self._state_dir / CARD_FILE).unlink()
        os.close(fd)

    def __enter__(self) -> Owner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(state_dir: Path, command: str, url: str | None = None, *, wait: float = PROBE_SECONDS) -> Owner:
    """Take the index of ``state_dir`` for this process, waiting up to ``wait`` seconds for a holder to let go.

    Raises Conflict naming the holder's command, process and address.
    """
    with disk_errors(state_dir):
        state_dir.mkdir(parents=True, exist_ok=True)
        fd = os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + max(wait, PROBE_SECONDS)
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise _conflict(state_dir)
            time.sleep(0.02)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return Owner(state_dir, fd, OwnerCard(os.getpid(), url, secrets.token_urlsafe(32), command, started))
    except BaseException:
        os.close(fd)
        raise


def find_owner(state_dir: Path) -> OwnerCard | None:
    """The card of the process that holds the lock now; None when nobody does or it has not written one yet.

    Raises Unavailable when the files belong to somebody else.
    """
    card = _read_card(state_dir)
    return card if card is not None and _is_held(state_dir) else None


def find_server(state_dir: Path) -> ServerHandle | None:
    """The running server that owns the index of ``state_dir``, if there is one."""
    card = find_owner(state_dir)
    if card is None or card.url is None:
        return None
    return ServerHandle(card.url, card.token, card.pid, card.command)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(state_dir: Path) -> bool:
    try:
        fd = os.open(state_dir / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two readers do not take each other for the holder.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _read_card(state_dir: Path) -> OwnerCard | None:
    path = state_dir / CARD_FILE
    try:
        data: Any = json.loads(path.read_bytes())
        card = OwnerCard(**data)
        known = isinstance(card.pid, int) and isinstance(card.token, str) and isinstance(card.command, str)
        # The token goes to this address: never to another machine, whatever the file says.
        local = card.url is None or urlsplit(card.url).hostname in LOOPBACK_HOSTS
        return card if known and local else None
    except PermissionError:
        raise Unavailable(
            f"{path}: this project is in use by another user of the machine.",
            hint="Stop that process, or set LOCKGATE_STATE to a folder of your own.",
        ) from None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _conflict(state_dir: Path) -> Conflict:
    card = _read_card(state_dir)
    if card is None or not _is_alive(card.pid):
        return Conflict(
            f"{state_dir}: another process has the index open.", hint="Wait until it has finished, or stop it."
        )
    hint = "Stop it first, or use the address above." if card.url else "Wait until it has finished, or stop it."
    return Conflict(f"{state_dir}: the index is held by {card.describe()}.", hint=hint)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
