"""Waiting for a file's lock. The kernel lets go of a lock whatever ends its holder, so none is ever left behind."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable

POLL_SECONDS = 0.1


def wait_for_lock(fd: int, deadline: float | None = None, waiting: Callable[[], None] | None = None) -> bool:
    """Lock the open file ``fd`` for this process alone; closing it gives the lock back.

    Tries until ``deadline`` by time.monotonic(), for ever when it is None, and says ``waiting`` before each new try.
    False when somebody else held it all the time.
    """
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if deadline is not None and time.monotonic() > deadline:
                return False
        if waiting is not None:
            waiting()
        time.sleep(POLL_SECONDS)
