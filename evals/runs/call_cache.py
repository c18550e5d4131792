"""Model calls of a run: served from what was said before, counted, and never more than the budget allows."""

from __future__ import annotations

import hashlib
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from evals.runs.budget import CallBudget
from lockgate.errors import LockgateError
from lockgate.release import canonical_json
from lockgate.store.call_cache import call_keys, get_call, put_calls
from lockgate.store.database import Database

log = logging.getLogger(__name__)

GATHER = 0.05
"""A process that is killed loses the calls of so many seconds, and makes them again."""


def call_key(kind: str, **parts: Any) -> str:
    """SHA-256 over the canonical JSON of a call: of all that what is said depends on. Raises ValueError for NaN."""
    return hashlib.sha256(canonical_json({"kind": kind, **parts})).hexdigest()


class StoredCalls:
    """Texts by key, kept in the store.

    Writing happens in a thread of its own, all that came within ``GATHER`` seconds at once: a commit takes longer than
    the caller can wait. ``close`` waits for it. Only keys that were there at the start, or were put since, are found.
    """

    def __init__(self, db: Database, kind: str) -> None:
        self._db, self._kind = db, kind
        self._known = call_keys(db, kind)
        self._pending: dict[str, str] = {}
        self._writing: dict[str, str] = {}
        self._lock = threading.Lock()  # guards the two above
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lockgate-calls")
        self._last: Future[None] | None = None
        self._closing = threading.Event()

    def get(self, key: str) -> str | None:
        if key not in self._known:
            return None
        with self._lock:
            fresh = self._pending.get(key, self._writing.get(key))
        return fresh if fresh is not None else get_call(self._db, key)

    def put(self, key: str, value: str) -> None:
        with self._lock:
            self._pending[key] = value
        self._known.add(key)
        if self._last is None or self._last.done() or self._last.running():
            self._last = self._writer.submit(self._write)

    def close(self) -> None:
        """Wait until everything is written."""
        self._closing.set()
        self._writer.shutdown(wait=True)

    def __enter__(self) -> StoredCalls:
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        self.close()

    def _write(self) -> None:
        self._closing.wait(GATHER)
        with self._lock:
            self._writing, self._pending = self._pending, {}
            calls = self._writing
        try:
            if calls:
                put_calls(self._db, self._kind, calls)
        except Exception as error:
            # The run goes on without: what is not kept is only asked for again. Nobody asks this thread for its result,
            # so whatever goes wrong is told here or never.
            told = str(error) if isinstance(error, LockgateError) else f"{type(error).__name__}: {error}"
            log.warning("%d model calls could not be kept: %s", len(calls), told)
        finally:
            with self._lock:
                self._writing = {}


class CountedCalls:
    """What a judge keeps its calls in: a key that is not known is a call about to be made, and the budget's to allow.

    ``calls`` None serves nothing, as repeats and ``--no-cache`` want it.
    """

    def __init__(self, budget: CallBudget, calls: StoredCalls | None = None, *, fresh: bool = False) -> None:
        self._budget, self._calls, self._fresh = budget, calls, fresh
        self.served = 0

    @property
    def serves(self) -> bool:
        """Whether what a call said may stand for the same call made elsewhere."""
        return self._calls is not None and not self._fresh

    def get(self, key: str) -> str | None:
        """What was said. Raises BudgetSpent when it would have to be asked for and no call is left."""
        kept = self._calls.get(key) if self._calls is not None and self.serves else None
        if kept is None:
            self._budget.take()
        else:
            self.served += 1
        return kept

    def put(self, key: str, value: str) -> None:
        if self._calls is not None and self.serves:
            self._calls.put(key, value)
