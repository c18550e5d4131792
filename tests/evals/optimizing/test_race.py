from __future__ import annotations

import asyncio
import itertools

import pytest

from evals.case import Case
from evals.optimizing.race import plan_race, race
from evals.runs.budget import CallBudget
from evals.runs.row import Row
from evals.tuning.objective import read_objective
from tests.evals.compared import row

CASES = [
    Case(id=f"c{n}", question="q", reference="r", pages=("p.md",), answerable=True, split="dev") for n in range(40)
]
OBJECTIVE = read_objective(["token_f1"], CASES)
WEIGHTS = OBJECTIVE.weights([row(case.id, {"token_f1": 0.0}) for case in CASES])


@pytest.mark.parametrize(
    ("calls", "variants", "cases"), list(itertools.product((8, 20, 57, 400), (1, 3, 8, 64), (4, 7, 40)))
)
def test_a_race_makes_the_calls_that_its_plan_says_and_no_more(calls: int, variants: int, cases: int) -> None:
    plan = plan_race(calls, variants, cases)
    assert 1 <= plan.variants <= variants
    budget = CallBudget(calls)

    async def ask(place: int, case: Case) -> Row:
        budget.take()
        return row(case.id, {"token_f1": place / 100})

    raced = asyncio.run(race(plan, CASES[:cases], OBJECTIVE, WEIGHTS, ask))
    assert budget.made == plan.calls <= calls
    assert raced.winner == plan.variants
    assert raced.whole


def test_too_few_calls_are_no_race() -> None:
    assert plan_race(7, 5, 40).variants == 0


def test_what_fails_is_the_worst_and_a_tie_keeps_the_prompt() -> None:
    async def ask(place: int, case: Case) -> Row:
        if place == 1:
            return row(case.id, {}, unscored={"token_f1": "time-out"})
        return row(case.id, {"token_f1": 0.5})

    raced = asyncio.run(race(plan_race(100, 3, 8), CASES[:8], OBJECTIVE, WEIGHTS, ask))
    assert raced.winner == 0
    assert raced.rounds[0].values[1] == 0


def test_a_budget_that_ends_early_leaves_the_last_whole_round() -> None:
    budget = CallBudget(30)

    async def ask(place: int, case: Case) -> Row:
        budget.take()
        return row(case.id, {"token_f1": place / 100})

    raced = asyncio.run(race(plan_race(200, 4, 40), CASES, OBJECTIVE, WEIGHTS, ask))
    assert not raced.whole
    assert raced.winner == 4
    assert budget.made == 30
