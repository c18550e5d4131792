from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lockgate.file_lock import wait_for_lock


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield fd
    finally:
        os.close(fd)


def test_a_free_lock_is_had_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "lock") as fd:
        assert wait_for_lock(fd, time.monotonic())


def test_a_held_one_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    said: list[int] = []
    with opened(tmp_path / "lock") as first, opened(tmp_path / "lock") as second:
        assert wait_for_lock(first)
        assert not wait_for_lock(second, time.monotonic() + 0.15, lambda: said.append(1))
        assert said


def test_it_is_had_when_the_holder_closes_the_file(tmp_path: Path) -> None:
    with opened(tmp_path / "lock") as second:
        first = os.open(tmp_path / "lock", os.O_RDWR)
        assert wait_for_lock(first)
        held = [first]
        assert wait_for_lock(second, None, lambda: os.close(held.pop()))
        assert held == []


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import os, sys, time; from lockgate.file_lock import wait_for_lock;"
        f"wait_for_lock(os.open({str(path)!r}, os.O_RDWR | os.O_CREAT)); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        with opened(path) as fd:
            assert not wait_for_lock(fd, time.monotonic())
            holder.kill()
            assert wait_for_lock(fd, time.monotonic() + 30)
