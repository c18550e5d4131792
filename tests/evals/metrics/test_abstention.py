from __future__ import annotations

import pytest

from evals.metrics.score import NotApplicable, Unscored
from tests.evals.outcomes import answered, failed, make_answer, make_case, score


@pytest.mark.parametrize(
    ("answerable", "abstained", "accuracy", "answered_rate", "abstained_rate"),
    [
        (True, False, 1.0, 1.0, None),
        (True, True, 0.0, 0.0, None),
        (False, True, 1.0, None, 1.0),
        (False, False, 0.0, None, 0.0),
    ],
)
def test_abstention_is_a_two_by_two_decision(
    answerable: bool, abstained: bool, accuracy: float, answered_rate: float | None, abstained_rate: float | None
) -> None:
    outcome = answered("", case=make_case(answerable=answerable), answer=make_answer("x", abstained=abstained))
    assert score("abstention_accuracy", outcome) == accuracy
    assert score("abstention_balanced", outcome) == accuracy
    for name, expected in (("answered_rate", answered_rate), ("abstained_rate", abstained_rate)):
        got = score(name, outcome)
        assert isinstance(got, NotApplicable) if expected is None else got == expected


def test_a_failed_case_decided_nothing() -> None:
    assert score("abstention_accuracy", failed()) == Unscored("model gone")
