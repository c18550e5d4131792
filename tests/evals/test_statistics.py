from __future__ import annotations

import math

import pytest

from evals.statistics.difference import mean_interval, paired_difference
from evals.statistics.discordance import caught, changes, mcnemar_exact
from evals.statistics.multiplicity import holm
from evals.statistics.pairs import MetricShape, Pair, Value
from evals.statistics.student import student_below, student_quantile

F1 = MetricShape("token_f1", (0.0, 1.0), "higher")
RIGHT = MetricShape("exact_match", (0.0, 1.0), "higher", binary=True)
SECONDS = MetricShape("latency_seconds", (0.0, 3600.0), "lower")


def pair(number: int, new: float | None, old: float | None, cluster: str = "") -> Pair:
    return Pair(f"c{number}", cluster, {}, new, old)


@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    # From the tables of Student's t in any textbook.
    [
        (0.975, 1, 12.706),
        (0.95, 5, 2.015),
        (0.975, 39, 2.023),
        (0.95, 39, 1.685),
        (0.99, 120, 2.358),
        (0.025, 10, -2.228),
    ],
)
def test_knows_the_quantiles_of_t(probability: float, freedom: float, quantile: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(quantile, abs=6e-4)


@pytest.mark.parametrize("freedom", [1, 2.5, 17, 400, 50_000])
def test_the_tail_of_t_is_the_inverse_of_its_quantile(freedom: float) -> None:
    for probability in (0.001, 0.05, 0.4, 0.5, 0.8, 0.9999):
        assert student_below(student_quantile(probability, freedom), freedom) == pytest.approx(probability, abs=1e-9)
    assert student_below(-math.inf, freedom) == 0
    assert student_below(math.inf, freedom) == 1


@pytest.mark.parametrize(("probability", "freedom"), [(0.0, 3), (1.0, 3), (0.5, 0)])
def test_refuses_what_no_t_has(probability: float, freedom: float) -> None:
    with pytest.raises(ValueError, match=r"probability|degrees"):
        student_quantile(probability, freedom)


def test_holm_multiplies_the_smallest_by_the_number_of_tests_and_keeps_the_order() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
    with pytest.raises(ValueError, match="not a probability"):
        holm({"a": math.nan})


def test_mcnemar_counts_only_the_cases_that_changed() -> None:
    pairs = [
        pair(0, 1, 0),
        *(pair(n, 0, 1) for n in range(1, 9)),
        *(pair(n, 1, 1) for n in range(9, 40)),
        pair(40, None, 1),
    ]
    found = mcnemar_exact(pairs, RIGHT)
    assert (found.better, found.worse) == (1, 8)
    assert found.p == pytest.approx(2 * (1 + 9) / 2**9)
    assert found.mid_p == pytest.approx(2 * (1 + 9 / 2) / 2**9)
    assert found.p_worse == pytest.approx((1 + 9) / 2**9)


def test_mcnemar_of_no_change_says_nothing() -> None:
    assert changes(0, 0).p == changes(0, 0).mid_p == changes(0, 0).p_worse == 1.0
    assert changes(5, 5).p == 1.0


def test_a_five_point_drop_is_caught_as_often_as_the_docs_say() -> None:
    chances = [round(100 * caught(n, 0.05, 0.15)) for n in (50, 100, 200, 400, 800)]
    assert chances == [12, 28, 51, 80, 98]


def test_a_drop_needs_cases_that_change() -> None:
    with pytest.raises(ValueError, match="at least as many"):
        caught(100, 0.2, 0.1)


def test_a_difference_is_new_minus_old_and_reports_what_it_dropped() -> None:
    pairs = [pair(n, 0.5 + n / 100, 0.5) for n in range(10)]
    found = paired_difference([*pairs, pair(10, None, 0.5), pair(11, 0.5, math.nan), pair(12, None, None)], F1)
    assert found.value == pytest.approx(0.045)
    assert (found.n, found.clusters, found.dropped, found.without_new) == (10, 10, 3, 2)
    assert found.low is not None and found.high is not None
    assert found.low < 0.045 < found.high


def test_positive_is_better_where_lower_is_better() -> None:
    found = paired_difference([pair(n, 1.0, 2.0 + n % 2) for n in range(10)], SECONDS)
    assert found.value == pytest.approx(1.5)


def test_cases_of_one_page_count_as_one_cluster() -> None:
    scores = [(1.0, 0.0), (0.0, 1.0)] * 5
    alone = paired_difference([pair(n, *score) for n, score in enumerate(scores)], F1)
    together = paired_difference(
        [pair(2 * n + k, *score, f"p{n}") for n, score in enumerate(scores) for k in (0, 1)], F1
    )
    assert (alone.clusters, together.clusters, together.n) == (10, 10, 20)
    # Twice the cases on the same pages, all of a page alike: nothing more is known than before.
    assert together.se == pytest.approx(alone.se)


def test_without_two_clusters_there_is_no_interval() -> None:
    found = paired_difference([pair(n, 1.0, 0.5, "page") for n in range(9)], F1)
    assert (found.value, found.low, found.high, found.clusters) == (0.5, None, None, 1)
    assert paired_difference([], F1).value is None
    assert mean_interval([Value("a", "", None)], F1).value is None


def test_identical_scores_differ_by_exactly_nothing() -> None:
    found = paired_difference([pair(n, 0.3, 0.3) for n in range(20)], F1)
    assert (found.value, found.se, found.low, found.high) == (0.0, 0.0, 0.0, 0.0)


def test_the_interval_of_a_mean_stays_on_the_scale() -> None:
    all_right = mean_interval([Value(str(n), "", 1.0) for n in range(40)], F1)
    assert all_right.high == 1.0
    assert all_right.low is not None and 0.85 < all_right.low < 0.95
    rated = mean_interval(
        [Value(str(n), "", 1.0 + n % 5) for n in range(50)], MetricShape("rubric", (1.0, 5.0), "higher")
    )
    assert rated.value == 3.0
    assert rated.low is not None and rated.high is not None
    assert 2.5 < rated.low < 3.0 < rated.high < 3.5


def test_a_shape_needs_a_scale_with_a_width() -> None:
    with pytest.raises(ValueError, match="no width"):
        MetricShape("flat", (1.0, 1.0), "higher")
    with pytest.raises(ValueError, match="no width"):
        MetricShape("endless", (0.0, math.inf), "higher")
