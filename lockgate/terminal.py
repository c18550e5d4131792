"""What commands print with: text that cannot drive the terminal, and progress bars on standard error."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator

from lockgate.ports import Progress

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)


def plain(text: str) -> str:
    """``text`` without control, bidirectional and zero-width characters: documents and models are not trusted."""
    return _UNPRINTABLE.sub("", text)


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """A Progress that draws a bar a stage on standard error, or a line every few seconds where that is no terminal."""
    if sys.stderr.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield _Lines()


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(plain(stage), total=None)
            bars.update(tasks[stage], completed=done, total=total or None)  # type: ignore[arg-type]

        yield report


class _Lines:
    """Progress for logs: the first and last report of a stage, and one every few seconds between."""

    EVERY = 5.0

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        import time

        now = time.monotonic()
        finished = bool(total) and done >= total
        if stage not in self._last or finished or now - self._last[stage] > self.EVERY:
            self._last[stage] = now
            share = f" of {total} ({100 * done // total} %)" if total else ""
            print(f"{plain(stage)}: {done}{share}", file=sys.stderr, flush=True)  # noqa: T201 - this is the printer
