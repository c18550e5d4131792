from __future__ import annotations

from typing import Any

import pytest

from evals.case import Case, Outcome, ToolCall
from evals.metrics.score import NotApplicable, Unscored
from tests.evals.outcomes import answered, failed, make_answer, make_case, score

SEARCH = {"name": "search", "arguments": {"q": "port", "n": 1}}
READ = {"name": "read"}


def case(*expected: dict[str, Any], **keys: Any) -> Case:
    return make_case(tool_calls=expected or (SEARCH, READ), **keys)


def called(*calls: tuple[str, dict[str, Any]], of: Case | None = None) -> Outcome:
    return answered("done", case=of or case(), tool_calls=tuple(ToolCall(*call) for call in calls))


GOOD = ("search", {"n": 1, "q": "port"})


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ((GOOD, ("read", {"page": 1})), 1.0),
        ((("read", {}), GOOD), 1.0),
        ((GOOD,), 0.5),
        ((), 0.0),
        ((("search", {"q": "host", "n": 1}), ("read", {})), 0.5),
        ((("search", {"q": "port", "n": True}), ("read", {})), 0.5),
        ((GOOD, ("read", {}), ("read", {}), ("delete", {})), 0.5),
        ((GOOD, GOOD), 0.5),
    ],
)
def test_accuracy_matches_name_and_arguments_one_to_one(calls: Any, expected: float) -> None:
    assert score("tool_call_accuracy", called(*calls)) == expected


def test_accuracy_by_name_alone_when_asked_for() -> None:
    outcome = called(("search", {"q": "host"}), ("read", {}))
    assert score("tool_call_accuracy[arguments=any]", outcome) == 1.0


def test_a_loose_expectation_does_not_take_the_call_that_a_strict_one_needs() -> None:
    of = case({"name": "search"}, SEARCH)
    assert score("tool_call_accuracy", called(GOOD, ("search", {"q": "other"}), of=of)) == 1.0


def test_arguments_that_json_cannot_hold_match_nothing() -> None:
    assert score("tool_call_accuracy", called(("search", {"q": object()}), ("read", {}))) == 0.5


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("search", "read"), 1.0), (("read", "search"), 0.5), (("search", "x", "read", "x"), 1.0), ((), 0.0)],
)
def test_order_is_that_of_the_expected_names(names: tuple[str, ...], expected: float) -> None:
    assert score("tool_order", called(*((name, {}) for name in names))) == expected


def test_steps_are_counted() -> None:
    assert score("steps", called(GOOD, GOOD, GOOD)) == 3.0
    assert isinstance(score("steps", called(*[GOOD] * 1001)), Unscored)


@pytest.mark.parametrize(("text", "reached"), [("Ticket  DONE: 42 closed", 1.0), ("done", 0.0), ("", 0.0)])
def test_the_goal_is_reached_when_the_answer_holds_all_of_it(text: str, reached: float) -> None:
    assert score("goal_reached", answered(text, case=case(goal=("done", "42 closed")))) == reached


def test_giving_up_reaches_no_goal_and_a_failure_says_nothing() -> None:
    of = case(goal=("done",))
    assert score("goal_reached", answered("", case=of, answer=make_answer("done", abstained=True))) == 0.0
    assert score("goal_reached", failed(case=of, answer_code="policy_refused")) == 0.0
    assert score("goal_reached", failed(case=of)) == Unscored("model gone")


def test_calls_that_nobody_recorded_are_unscored() -> None:
    outcome = answered("done", case=case())
    for name in ("tool_call_accuracy", "tool_order", "steps"):
        assert isinstance(score(name, outcome), Unscored)
    for name in ("tool_call_accuracy", "tool_order", "goal_reached"):
        assert isinstance(score(name, answered("done")), NotApplicable)
