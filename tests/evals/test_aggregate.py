from __future__ import annotations

from typing import Any

import pytest

from evals.aggregate import ScoredCase, aggregate, aggregate_slices, scored_cases
from evals.metrics.catalogue import resolve_metric
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.runs.asking import Asked
from evals.runs.row import Row, make_row
from tests.evals.outcomes import answered, make_case


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


def test_proportions_get_the_exact_interval_and_means_one_with_the_effective_n() -> None:
    assert aggregate(resolve_metric("answered_rate"), scored(1.0, 1.0, 0.0)).method == "mid-P"
    assert aggregate(resolve_metric("token_f1"), scored(0.3, 0.2)).method == "Wilson, effective n"
    assert aggregate(resolve_metric("latency_seconds"), scored(0.3, 0.2)).method == "t, clustered"


def test_cases_that_share_a_page_widen_the_interval() -> None:
    def width(*clusters: str) -> float:
        cases = [ScoredCase(True, float(number // 2 % 2), cluster) for number, cluster in enumerate(clusters)]
        result = aggregate(resolve_metric("answered_rate"), cases)
        assert result.low is not None and result.high is not None
        return result.high - result.low

    assert width(*[f"p{number // 2}" for number in range(40)]) > 1.3 * width(*[f"p{number}" for number in range(40)])
    one_page = aggregate(resolve_metric("token_f1"), [ScoredCase(True, 0.5, "page")] * 3)
    assert (one_page.low, one_page.high, one_page.method) == (0.0, 1.0, "one cluster")


def test_a_balanced_interval_is_as_wide_as_its_smaller_half_makes_it() -> None:
    cases = scored(*[1.0, 0.0] * 50) + scored(*[1.0, 0.0] * 4, answerable=False)
    result = aggregate(resolve_metric("abstention_balanced"), cases)
    assert (result.value, result.method) == (0.5, "MOVER")
    assert result.low is not None and result.high is not None
    assert 0.25 < result.high - result.low < 0.45


def test_always_answering_is_half_right_when_balanced() -> None:
    cases = scored(*[1.0] * 9) + scored(0.0, answerable=False)
    assert aggregate(resolve_metric("abstention_accuracy"), cases).value == pytest.approx(0.9)
    assert aggregate(resolve_metric("abstention_balanced"), cases).value == pytest.approx(0.5)


def test_the_balanced_value_does_not_exist_when_one_half_is_missing() -> None:
    cases = scored(1.0, 1.0) + scored(Unscored("x"), answerable=False)
    result = aggregate(resolve_metric("abstention_balanced"), cases)
    assert result.value is None
    assert result.pessimistic == 0.5


def rows(*scores: tuple[str, int, Score], **keys: Any) -> list[Row]:
    made = []
    for case, repeat, score in scores:
        asked = Asked(answered("x", case=make_case(id=case)), None, "q")
        made.append(make_row(asked, keys.get("slices", {}), {"token_f1": score, "answered_rate": score}, repeat=repeat))
    return made


def test_repeats_of_a_case_are_one_case() -> None:
    metric = resolve_metric("answered_rate")
    found = scored_cases(metric, rows(("a", 0, 1.0), ("a", 1, 0.0), ("b", 0, 1.0), ("b", 1, 1.0)))
    assert [case.score for case in found] == [0.5, 1.0]
    result = aggregate(metric, found)
    assert (result.n, result.value) == (2, 0.75)


def test_a_case_with_an_unscored_repeat_is_unscored() -> None:
    lost = rows(("a", 0, 1.0), ("a", 1, Unscored("gone")), ("b", 0, 1.0), ("b", 1, 1.0))
    found = scored_cases(resolve_metric("token_f1"), lost)
    assert found[0].score == Unscored("1 of 2 repeats are unscored: gone")
    assert aggregate(resolve_metric("token_f1"), found).pessimistic == 0.5


def test_a_case_that_lacks_a_repeat_which_others_have_is_unscored() -> None:
    found = scored_cases(resolve_metric("token_f1"), rows(("a", 0, 1.0), ("b", 0, 1.0), ("b", 1, 1.0)))
    assert [each.score for each in found] == [Unscored("1 of 2 repeats are missing"), 1.0]


def test_slices_are_aggregated_on_their_own() -> None:
    near = rows(("a", 0, 1.0), slices={"kind": "near"})
    far = rows(("b", 0, 0.0), ("c", 0, Unscored("x")), slices={"kind": "far"})
    found = aggregate_slices([resolve_metric("token_f1")], [*near, *far])
    assert {
        value: (part["token_f1"]["value"], part["token_f1"]["unscored"]) for value, part in found["kind"].items()
    } == {
        "far": (0.0, 1),
        "near": (1.0, 0),
    }


def test_a_metric_where_lower_is_better_has_its_worst_at_the_top() -> None:
    result = aggregate(resolve_metric("pii_leaked"), scored(0.0, Unscored("x")))
    assert (result.value, result.pessimistic) == (0.0, 0.5)
    assert aggregate(resolve_metric("latency_seconds"), scored(2.0, Unscored("x"))).pessimistic == 1801.0
