"""A child process that is watched: progress while it works, killed when it stalls or when we stop."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lockgate.errors import Unavailable

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    returncode: int
    output: str
    errors: str


def run_watched(
    command: Sequence[str],
    *,
    work: Path,
    measure: Callable[[], int],
    report: Callable[[int], None],
    environment: Mapping[str, str] | None = None,
    stall_seconds: float | None = None,
) -> Outcome:
    """Run ``command``, calling ``report(measure())`` several times a second.

    Its output goes through files in ``work``, so that no pipe can fill up. The child never outlives this call.
    Raises Unavailable when ``measure()`` does not change for ``stall_seconds``.
    """
    output, errors = work / "output.txt", work / "errors.txt"
    with output.open("wb") as out, errors.open("wb") as err:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **(environment or {})},
        )
        try:
            _watch(child, measure, report, stall_seconds)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
    return Outcome(child.returncode, _read(output), _read(errors))


def folder_bytes(folder: Path) -> int:
    """Bytes of the files under ``folder``; files that vanish meanwhile count as nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - polled: os calls are cheaper
            except OSError:
                continue
    return total


def _watch(
    child: subprocess.Popen[bytes],
    measure: Callable[[], int],
    report: Callable[[int], None],
    stall_seconds: float | None,
) -> None:
    last, since = -1, time.monotonic()
    while True:
        try:
            child.wait(timeout=POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            now = measure()
        if now != last:
            last, since = now, time.monotonic()
        elif stall_seconds is not None and time.monotonic() - since > stall_seconds:
            raise Unavailable(f"No data arrived for {stall_seconds:.0f} s.", hint="Check the network and try again.")
        report(now)


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")
