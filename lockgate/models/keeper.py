"""Runs a command and ends it, with all that it started, as soon as whoever asked for it is gone or says so.

    python keeper.py COMMAND...

Whoever asks holds the other end of the standard input: the command ends when that is closed, which the system does for
a process that was killed, too. This file is run by its path and needs nothing but the standard library.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 10.0
"""How long the command may take to end by itself."""

_LOOK = 0.5
_TIDY = 0.5  # Python's tracker of shared memory removes what is left when the others are gone


def main(command: list[str]) -> None:
    """Ends this process, too: by SIGKILL, with the rest of its group. It has to lead a group of its own."""
    asked_by = os.getppid()
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while child.poll() is None and not stopped and os.getppid() == asked_by:
        if select.select([0], [], [], _LOOK)[0] and not os.read(0, 1):
            break
    _end_group(child)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then make it: what the command started may outlive the command."""
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(_TIDY)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
