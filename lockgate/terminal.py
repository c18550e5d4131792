"""What commands print with: text that cannot drive the terminal, and progress bars on standard error."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
from collections.abc import Iterator

from lockgate.ports import Progress

EVERY = 2.0
"""Seconds that no step stays silent longer than."""

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)


def plain(text: str) -> str:
    """``text`` without control, bidirectional and zero-width characters: documents and models are not trusted."""
    return _UNPRINTABLE.sub("", text)


def json_text(body: object) -> str:
    """``body`` as JSON for standard output: on a terminal in ASCII, so that no character of it can drive the screen."""
    return json.dumps(body, indent=2, ensure_ascii=sys.stdout.isatty())


@contextlib.contextmanager
def progress_bars(*, in_bytes: bool = False) -> Iterator[Progress]:
    """A Progress that draws a bar a stage on standard error, or a line every few seconds where that is no terminal.

    ``in_bytes`` says that what is counted are bytes, which are shown as MB.
    """
    if sys.stderr.isatty():
        with _bars(in_bytes) as progress:
            yield progress
    else:
        lines = _Lines(1_000_000 if in_bytes else 1, " MB" if in_bytes else "")
        with lines.heartbeat():
            yield lines


@contextlib.contextmanager
def _bars(in_bytes: bool) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                # A stage ends when the next one begins; one that never knew its total is then as long as it got.
                for task in bars.tasks:
                    if task.total is None:
                        bars.update(task.id, total=task.completed)
                    bars.stop_task(task.id)
                tasks[stage] = bars.add_task(plain(stage), total=None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield report


class _Lines:
    """Progress for logs: a line when a stage begins and ends, and one at least every few seconds between."""

    def __init__(self, scale: int, unit: str, *, every: float = EVERY) -> None:
        self._scale, self._unit, self._every = scale, unit, every
        self._lock = threading.Lock()  # guards everything below; the heartbeat is another thread
        self._last: dict[str, float] = {}
        self._ended: set[str] = set()
        self._line = ""
        self._said = self._began = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        with self._lock:
            now = time.monotonic()
            ends = bool(total) and done >= total and stage not in self._ended
            share = f" of {total // self._scale}{self._unit} ({100 * done // total} %)" if total else self._unit
            # A stage that counts nothing, such as loading a model, has no number to show.
            line = f"{plain(stage)}: {done // self._scale}{share}" if done or total else plain(stage)
            began = stage not in self._last
            if began:
                self._began = now
            if not began and not ends and now - self._last[stage] < self._every:
                self._line = line
                return
            self._last[stage] = now
            if ends:
                self._ended.add(stage)
            self._say(line, now)
            self._line = line

    @contextlib.contextmanager
    def heartbeat(self) -> Iterator[None]:
        """While this is open, a stage that reports nothing has its last line repeated, with the seconds it took."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._every / 10):
                with self._lock:
                    now = time.monotonic()
                    if self._line and now - self._said >= self._every:
                        self._say(f"{self._line}, {now - self._began:.0f} s", now)

        thread = threading.Thread(target=beat, name="lockgate-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _say(self, line: str, now: float) -> None:
        self._said = now
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
