"""Timings and counters. One place names every metric, so that dashboards do not depend on call sites."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stages:
    """Wall-clock milliseconds per stage of one request, in the order they ended."""

    milliseconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, start)

    def add(self, stage: str, start: float) -> None:
        """Add the time since ``start`` (a ``time.perf_counter`` reading) to ``stage``."""
        elapsed = (time.perf_counter() - start) * 1000
        self.milliseconds[stage] = round(self.milliseconds.get(stage, 0.0) + elapsed, 3)
