"""``kill -9`` at random moments of sync: the snapshot before stays whole, and the next sync makes the right one."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from tests.ingestion import sync_process
from tests.ingestion.fakes import write_pages


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Forks of a process that has imported everything and opened nothing: a sync starts within milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["qdrant_edge", "sqlalchemy", "tests.ingestion.sync_process", "ingestion.index_edge"]
    )
    return context


def test_a_sync_killed_at_any_moment_is_repaired(tmp_path: Path, processes: ForkServerContext) -> None:
    _kill_at_random_points(tmp_path, processes, points=20, seed=7)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sync_killed_at_two_hundred_moments_is_repaired(tmp_path: Path, processes: ForkServerContext) -> None:
    _kill_at_random_points(tmp_path, processes, points=200, seed=8)


def _kill_at_random_points(tmp_path: Path, processes: ForkServerContext, *, points: int, seed: int) -> None:
    rng = random.Random(seed)
    docs = tmp_path / "docs"
    write_pages(docs, {f"page{i}.md": _page(i, "first") for i in range(40)})
    duration = _timed(processes, tmp_path)
    before = _inspect(processes, tmp_path)
    killed = 0
    for round_ in range(points):
        if round_ % 4 == 3:
            # A project that was never indexed: the first sync is killed, with and without a BM25-only snapshot.
            before = _start_over(tmp_path)
        bm25_first = round_ % 2 == 1
        _edit(docs, rng, round_)
        killed += _run_and_kill(processes, tmp_path, bm25_first, after=rng.uniform(0, duration * 1.2))
        left = _inspect(processes, tmp_path)
        _assert_whole(left, hybrid=False)
        if left["snapshot"] != before["snapshot"]:
            _assert_pages(left, docs)
        _join(processes.Process(target=sync_process.sync_once, args=(tmp_path, False)))
        before = _inspect(processes, tmp_path)
        _assert_whole(before, hybrid=True)
        _assert_pages(before, docs)
    assert killed >= points // 2, "most syncs ended before they were killed: the test tests little"


def _page(number: int, word: str) -> str:
    body = "\n\n".join(f"## Part {part}\n\nPage {number} part {part} says {word} about keys." for part in range(4))
    return f"# Page {number}\n\n{body}\n"


def _edit(docs: Path, rng: random.Random, round_: int) -> None:
    """Change, remove and add some pages, so that every sync has points to close, to write and to embed."""
    for path in rng.sample(sorted(docs.iterdir()), 5):
        path.write_text(path.read_text() + f"\n## Edit {round_}\n\nEdited in round {round_}, with words of its own.\n")
    rng.choice(sorted(docs.iterdir())).unlink()
    write_pages(docs, {f"new{round_}.md": _page(1000 + round_, "new")})


def _timed(processes: ForkServerContext, project: Path) -> float:
    _join(processes.Process(target=sync_process.sync_once, args=(project, False)))
    _edit(project / "docs", random.Random(0), -1)
    start = time.perf_counter()
    _join(processes.Process(target=sync_process.sync_once, args=(project, False)))
    return time.perf_counter() - start


def _run_and_kill(processes: ForkServerContext, project: Path, bm25_first: bool, *, after: float) -> bool:
    """Whether the sync was still running when it was killed."""
    process = processes.Process(target=sync_process.sync_once, args=(project, bm25_first))
    process.start()
    time.sleep(after)
    running = process.is_alive()
    if running and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _inspect(processes: ForkServerContext, project: Path) -> dict[str, Any]:
    report = project / "report.json"
    report.unlink(missing_ok=True)
    _join(processes.Process(target=sync_process.inspect, args=(project, report)))
    body: dict[str, Any] = json.loads(report.read_text())
    return body


def _join(process: Any) -> None:
    process.start()
    process.join(60)
    assert process.exitcode == 0


def _start_over(project: Path) -> dict[str, Any]:
    import shutil

    shutil.rmtree(project / ".lockgate")
    return {"snapshot": None}


def _assert_whole(body: dict[str, Any], *, hybrid: bool) -> None:
    if body["snapshot"] is None:
        assert not hybrid
        return
    counts: Callable[[str], int] = body.__getitem__
    assert {counts(name) for name in ("wanted", "distinct", "counted", "found", "points", "lexicon")} == {
        body["wanted"]
    }
    if hybrid or body["kind"] == "hybrid":
        assert body["kind"] == "hybrid"
        assert body["bare"] == 0


def _assert_pages(body: dict[str, Any], docs: Path) -> None:
    assert body["paths"] == sorted(path.name for path in docs.iterdir())
