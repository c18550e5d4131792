"""Successive halving: all variants on a few cases, the better half on twice as many, until one is left.

Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016.
The prompt as it is runs in every round, so that the last one is also compared with it over the same cases.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from evals.case import Case
from evals.runs.budget import BudgetSpent
from evals.runs.row import Row
from evals.tuning.objective import Objective

FEWEST = 4
"""Cases of the first round."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``variants`` begin on the first ``rounds[0]`` cases; half of them go on to ``rounds[1]`` cases, and so on."""

    variants: int
    rounds: tuple[int, ...]
    calls: int


@dataclass(frozen=True, slots=True)
class Round:
    """Means over the first ``cases`` cases, by the place of the variant; 0 is the prompt as it is."""

    cases: int
    values: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Raced:
    """``winner`` 0: nothing was better than the prompt as it is. ``whole`` False: the budget ended the race."""

    winner: int
    rounds: tuple[Round, ...]
    whole: bool = True


Ask = Callable[[int, Case], Awaitable[Row]]
"""What the variant at a place makes of a case."""


def plan_race(calls: int, variants: int, cases: int) -> Plan:
    """The race of as many variants as ``calls`` model calls allow, none when they do not even allow one."""
    best = Plan(0, (), 0)
    for count in range(1, variants + 1):
        rounds, needed, standing, before = [], 0, count, 0
        size = min(FEWEST, cases)
        while True:
            needed += (standing + 1) * (size - before)
            rounds.append(size)
            if standing == 1 or size == cases:
                break
            standing, before, size = math.ceil(standing / 2), size, min(cases, 2 * size)
        if needed > calls:
            break
        best = Plan(count, tuple(rounds), needed)
    if best.variants and best.rounds[-1] < cases:  # what is left goes into more cases for the last two
        more = (calls - best.calls) // 2
        last = min(cases, best.rounds[-1] + more)
        if last > best.rounds[-1] and best.variants:
            standing = math.ceil(best.variants / 2 ** (len(best.rounds) - 1))
            if standing == 1:
                added = 2 * (last - best.rounds[-1])
                best = Plan(best.variants, (*best.rounds, last), best.calls + added)
    return best


async def race(
    plan: Plan, cases: Sequence[Case], objective: Objective, weights: Mapping[str, Mapping[str, float]], ask: Ask
) -> Raced:
    """The best of the plan's variants 1, 2, ... and of the prompt as it is, which wins when they are equal."""
    shares: dict[int, dict[str, float]] = {place: {} for place in range(plan.variants + 1)}
    standing = list(range(1, plan.variants + 1))
    rounds: list[Round] = []
    try:
        for size in plan.rounds:
            for place in (0, *standing):
                for case in cases[:size]:
                    if case.id not in shares[place]:
                        shares[place] |= objective.values([await ask(place, case)], weights)
            values = {place: _mean(shares[place], cases[:size]) for place in (0, *standing)}
            rounds.append(Round(size, values))
            standing = sorted(standing, key=lambda place: (-round(values[place], 9), place))
            standing = standing[: math.ceil(len(standing) / 2)]
    except BudgetSpent:
        return Raced(_winner(rounds), tuple(rounds), whole=False)
    return Raced(_winner(rounds), tuple(rounds))


def _winner(rounds: Sequence[Round]) -> int:
    if not rounds:
        return 0
    values = rounds[-1].values
    best = max(values, key=lambda place: (round(values[place], 9), -place))
    return best if values[best] > values[0] + 1e-9 else 0


def _mean(shares: Mapping[str, float], cases: Sequence[Case]) -> float:
    return math.fsum(shares[case.id] for case in cases) / len(cases)
