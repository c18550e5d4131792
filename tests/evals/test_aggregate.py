from __future__ import annotations

import pytest

from evals.aggregate import ScoredCase, aggregate
from evals.metrics.catalogue import resolve_metric
from evals.metrics.score import NotApplicable, Score, Unscored


def scored(*scores: Score, answerable: bool = True) -> list[ScoredCase]:
    return [ScoredCase(answerable, score) for score in scores]


def test_unscored_cases_stay_visible_and_count_as_worst_in_the_pessimistic_value() -> None:
    result = aggregate(resolve_metric("token_f1"), scored(1.0, Unscored("timed out"), NotApplicable("other"), 0.5))
    assert (result.value, result.pessimistic) == (0.75, 0.5)
    assert (result.n, result.unscored, result.not_applicable) == (2, 1, 1)


def test_a_metric_without_any_score_has_no_value_and_so_passes_nothing() -> None:
    result = aggregate(resolve_metric("token_f1"), scored(Unscored("a"), Unscored("b")))
    assert result.value is None
    assert result.low is None
    assert result.pessimistic == 0.0


def test_no_cases_at_all_give_no_value() -> None:
    result = aggregate(resolve_metric("mrr"), [])
    assert (result.value, result.pessimistic, result.n) == (None, None, 0)


def test_proportions_get_a_wilson_interval_and_means_a_bootstrap_one() -> None:
    assert aggregate(resolve_metric("answered_rate"), scored(1.0, 1.0, 0.0)).method == "wilson"
    assert aggregate(resolve_metric("token_f1"), scored(0.3, 0.2)).method == "bootstrap"


def test_always_answering_is_half_right_when_balanced() -> None:
    cases = scored(*[1.0] * 9) + scored(0.0, answerable=False)
    assert aggregate(resolve_metric("abstention_accuracy"), cases).value == pytest.approx(0.9)
    assert aggregate(resolve_metric("abstention_balanced"), cases).value == pytest.approx(0.5)


def test_the_balanced_value_does_not_exist_when_one_half_is_missing() -> None:
    cases = scored(1.0, 1.0) + scored(Unscored("x"), answerable=False)
    result = aggregate(resolve_metric("abstention_balanced"), cases)
    assert result.value is None
    assert result.pessimistic == 0.5
