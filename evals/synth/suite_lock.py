"""One process at a time changes the files of a suite."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lockgate.errors import Conflict
from lockgate.file_lock import wait_for_lock

WAIT = 10.0


@contextlib.contextmanager
def suite_lock(folder: Path, *, wait: float = WAIT) -> Iterator[None]:
    """Locks the folder itself, so that no file is left behind; the kernel lets go of it whatever ends the holder.

    Raises Conflict when another process holds it for longer than ``wait`` seconds.
    """
    fd = os.open(folder, os.O_RDONLY)
    try:
        if not wait_for_lock(fd, time.monotonic() + wait):
            raise Conflict(f"{folder}: another process is changing this suite.", hint="Wait until it has finished.")
        yield
    finally:
        os.close(fd)
