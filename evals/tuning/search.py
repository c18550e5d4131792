"""A search that moves along one respect at a time, and starts anew elsewhere while its budget lasts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evals.tuning.setting import Coordinate, Setting

RESTARTS = 4

LEAST = 1e-9
"""What a setting must be better by; less is the order in which floats were added."""


class _Spent(Exception):
    """The budget is spent."""


@dataclass(slots=True)
class _Memory:
    """What each setting was worth; each is tried once, and at most ``budget`` are."""

    worth: Callable[[Setting], float]
    budget: int
    tried: Callable[[int], None] = lambda _done: None
    known: dict[Setting, float] = field(default_factory=dict)

    def value(self, setting: Setting) -> float:
        if setting not in self.known:
            if len(self.known) >= self.budget:
                raise _Spent
            self.known[setting] = self.worth(setting)
            self.tried(len(self.known))
        return self.known[setting]


@dataclass(frozen=True, slots=True)
class Found:
    """``value`` is what ``best`` is worth; ``tried`` counts settings."""

    best: Setting
    value: float
    start: float
    tried: int


def search(
    start: Setting,
    along: Sequence[Coordinate],
    worth: Callable[[Setting], float],
    *,
    budget: int,
    seed: int,
    tried: Callable[[int], None] = lambda _done: None,
) -> Found:
    """The best setting that was seen; ``start`` unless another is better.

    First from ``start``: along each respect to the best value on it, round after round, until a round finds nothing
    better. Then the same from settings drawn by ``seed``, while the budget lasts. Of equal ones the one that changes
    the fewest parameters wins, then the one seen first.
    """
    memory: _Memory = _Memory(worth, budget, tried)
    first = memory.value(start)
    draw = random.Random(seed)  # noqa: S311 - chooses where to look, hides nothing
    try:
        _climb(start, along, memory)
        for _ in range(RESTARTS if along else 0):
            _climb(_drawn(start, along, draw), along, memory)
    except _Spent:
        pass
    # Dictionaries keep the order of tries, and min the first of equals.
    best = min(memory.known, key=lambda each: (-round(memory.known[each], 9), len(each.changes(start))))
    if memory.known[best] <= first + LEAST:
        best = start
    return Found(best, memory.known[best], first, len(memory.known))


def _climb(here: Setting, along: Sequence[Coordinate], memory: _Memory) -> None:
    best = memory.value(here)
    moved = True
    while moved:
        moved = False
        for neighbours in along:
            for each in list(neighbours(here)):
                if (value := memory.value(each)) > best + LEAST:
                    here, best, moved = each, value, True


def _drawn(start: Setting, along: Sequence[Coordinate], draw: random.Random) -> Setting:
    here = start
    for neighbours in along:
        here = draw.choice([here, *neighbours(here)])
    return here
