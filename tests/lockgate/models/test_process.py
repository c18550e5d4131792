from __future__ import annotations

import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from lockgate.errors import Unavailable
from lockgate.models.process import folder_bytes, run_watched


def sleepers() -> list[psutil.Process]:
    """Children of this process that the tests here started; other tests may have started others."""
    return [child for child in psutil.Process().children() if "time.sleep(60)" in " ".join(child.cmdline())]


def test_reports_while_it_runs_and_gives_output_back(tmp_path: Path) -> None:
    seen: list[int] = []
    code = "import sys, time; time.sleep(1); print('out'); print('err', file=sys.stderr); sys.exit(3)"
    outcome = run_watched([sys.executable, "-c", code], work=tmp_path, measure=lambda: 7, report=seen.append)
    assert (outcome.returncode, outcome.output, outcome.errors) == (3, "out\n", "err\n")
    assert len(seen) >= 3 and set(seen) == {7}


def test_child_that_stalls_is_killed(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No data arrived"):
        run_watched(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            work=tmp_path,
            measure=lambda: 0,
            report=lambda _: None,
            stall_seconds=0.3,
        )
    assert not sleepers()


def test_child_does_not_outlive_an_interrupted_caller(tmp_path: Path) -> None:
    def interrupt(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_watched(
            [sys.executable, "-c", "import time; time.sleep(60)"], work=tmp_path, measure=lambda: 0, report=interrupt
        )
    assert not sleepers()


def test_folder_bytes_counts_every_file_and_survives_a_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"123")
    (tmp_path / "y").write_bytes(b"4567")
    assert folder_bytes(tmp_path) == 7
    assert folder_bytes(tmp_path / "absent") == 0
