"""Runs checks so that none of them can hold up an answer: each has its time, and one that hangs is left behind.

A check is plain Python, so a thread that hangs cannot be stopped, only left behind. Once ``MAX_HANGING`` of a check's
threads have been, it is called broken at once, until one of them comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from guardrails.check import Found

MAX_HANGING = 4


class CheckFailed(Exception):
    """A check gave no result; the message says why in a few words."""


class Runner:
    """Runs the checks of one guard."""

    def __init__(self) -> None:
        self._hanging: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def run(self, name: str, look: Callable[[Any], Any], seen: Any, seconds: float) -> Found:
        """What ``look`` says, within ``seconds``. Raises CheckFailed when it raises, takes longer or says no number."""
        try:
            if inspect.iscoroutinefunction(look):
                return _checked(await asyncio.wait_for(look(seen), seconds))
            return _checked(await asyncio.wait_for(self._in_thread(name, look, seen), seconds))
        except TimeoutError:
            raise CheckFailed(f"took longer than {1000 * seconds:.0f} ms") from None
        except CheckFailed:
            raise
        except Exception as error:
            raise CheckFailed(_words(error)) from error

    async def _in_thread(self, name: str, look: Callable[[Any], Any], seen: Any) -> Any:
        """Like asyncio.to_thread, but in a daemon thread of its own: an left one must not fill the pool that
        everything else uses, nor keep the process from ending."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        left = threading.Event()  # by whichever of the two comes first: the thread, or who waits for it

        def settle(value: Any, error: BaseException | None) -> None:
            if not future.done():
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(value)

        def work() -> None:
            value, error = None, None
            try:
                value = look(seen)
            except BaseException as raised:
                error = raised if isinstance(raised, Exception) else RuntimeError(type(raised).__name__)
            with self._lock:
                if left.is_set():
                    self._hanging[name] -= 1
                left.set()
            with contextlib.suppress(RuntimeError):  # the loop was closed while this check hung; nobody waits any more
                loop.call_soon_threadsafe(settle, value, error)

        with self._lock:
            if self._hanging[name] >= MAX_HANGING:
                raise CheckFailed(f"hangs: {MAX_HANGING} earlier calls have not come back")
        threading.Thread(target=work, name=f"check-{name}", daemon=True).start()
        try:
            return await future
        finally:
            with self._lock:
                if not left.is_set():
                    left.set()
                    self._hanging[name] += 1


def _checked(found: Any) -> Found:
    """``found`` if it is a Found with a score in [0, 1]: NaN is not a number to decide on."""
    if not isinstance(found, Found):
        raise CheckFailed(f"gave {type(found).__name__} where a result was expected")
    if isinstance(found.score, bool) or not isinstance(found.score, (int, float)) or not 0 <= found.score <= 1:
        raise CheckFailed(f"gave the score {found.score!r}, not a number from 0 to 1")
    return found


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300] if str(error) else type(error).__name__
