"""How the time of some work grows with its text, as ratios: to a tenth of the text, and to one plain pass over it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

LONG = 100_000
"""Characters."""

Work = Callable[[str], object]


def seconds(work: Work, text: str, times: int = 3) -> float:
    """Of this thread's computing, the least of several. What other tests left behind is not collected meanwhile."""
    taken = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(times):
            started = time.thread_time()
            work(text)
            taken.append(time.thread_time() - started)
    finally:
        if collecting:
            gc.enable()
    return min(taken)


def assert_grows_with_the_text(work: Work, text_of: Callable[[int], str], times: int = 3) -> None:
    """Ten times the text takes ten times as long, with room for noise; what is quadratic takes a hundred times."""
    seconds(work, text_of(1_000), 1)
    assert _least(
        lambda: seconds(work, text_of(LONG), times) / max(seconds(work, text_of(LONG // 10), times), 0.001), 30
    )


def assert_at_most_passes(work: Work, text: str, most: int, times: int = 1) -> None:
    """It takes at most as long as ``most`` plain passes over as much text."""
    plain = "x" * LONG
    assert _least(lambda: seconds(work, text, times) / seconds(lambda each: sum(map(ord, each)), plain, 5), most)


def _least(ratio: Callable[[], float], most: float) -> bool:
    """Whether the least of three ratios is under ``most``. Both sides of one are measured together: what else the
    machine does slows them alike, and what makes one of them slow for a moment does not do so three times."""
    return any(ratio() < most for _ in range(3))
