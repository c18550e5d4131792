"""One process at a time changes the files of a suite."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lockgate.errors import Conflict

WAIT = 10.0


@contextlib.contextmanager
def suite_lock(folder: Path, *, wait: float = WAIT) -> Iterator[None]:
    """Locks the folder itself, so that no file is left behind; the kernel lets go of it whatever ends the holder.

    Raises Conflict when another process holds it for longer than ``wait`` seconds.
    """
    fd = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Conflict(
                        f"{folder}: another process is changing this suite.", hint="Wait until it has finished."
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)
