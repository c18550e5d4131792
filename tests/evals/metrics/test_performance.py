from __future__ import annotations

from evals.metrics.performance import Prices
from evals.metrics.score import Unscored
from lockgate.types import Usage
from tests.evals.outcomes import answered, failed, make_answer, score

PRICED = "cost[prompt_price=2,completion_price=10]"


def test_time_and_tokens_are_what_was_measured() -> None:
    outcome = answered("x", milliseconds=1500.0)
    assert score("latency_seconds", outcome) == 1.5
    assert (score("prompt_tokens", outcome), score("completion_tokens", outcome)) == (10.0, 5.0)


def test_what_nobody_measured_is_unscored_and_not_0() -> None:
    silent = answered("", answer=make_answer("x", usage=Usage()))
    for name in ("latency_seconds", "prompt_tokens", "completion_tokens", PRICED):
        assert isinstance(score(name, silent), Unscored)
        assert isinstance(score(name, failed()), Unscored)
    assert isinstance(score("latency_seconds", answered("x", milliseconds=float("nan"))), Unscored)
    assert isinstance(score("latency_seconds", answered("x", milliseconds=-1.0)), Unscored)


def test_there_is_no_cost_without_both_prices() -> None:
    outcome = answered("", answer=make_answer("x", mode="generative", usage=Usage(1000, 100)))
    assert score(PRICED, outcome) == (1000 * 2 + 100 * 10) / 1_000_000
    for name in ("cost", "cost[prompt_price=2]", "cost[completion_price=2]"):
        got = score(name, outcome)
        assert isinstance(got, Unscored)
        assert "no prices are configured" in got.reason


def test_a_quoted_answer_costs_nothing() -> None:
    assert score(PRICED, answered("x")) == 0.0


def test_a_price_of_nothing_is_a_price() -> None:
    assert Prices(prompt_price=0, completion_price=0).of(5, 5) == 0.0
    assert Prices(prompt_price=0).of(5, 5) is None
