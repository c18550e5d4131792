from __future__ import annotations

import math

import numpy as np
import pytest

from evals.intervals import bootstrap_balanced, bootstrap_mean, paired_difference, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_matches_published_values(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_proportion(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(successes, n)


def test_the_bootstrap_is_repeatable_and_holds_the_mean() -> None:
    values = [0.0, 0.2, 0.4, 0.9, 1.0, 1.0]
    first, second = bootstrap_mean(values), bootstrap_mean(values)
    assert first == second
    assert first.low < sum(values) / len(values) < first.high


def test_the_bootstrap_agrees_with_the_normal_interval_on_many_values() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    interval = bootstrap_mean(list(values))
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.002)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.002)


def test_ninety_five_percent_intervals_cover_the_truth_about_that_often() -> None:
    random = np.random.default_rng(7)
    inside = 0
    for _ in range(200):
        interval = bootstrap_mean(list(random.beta(2, 2, 60)))
        inside += interval.low <= 0.5 <= interval.high
    assert 0.89 <= inside / 200 <= 0.99


def test_the_balanced_interval_resamples_each_half_within_itself() -> None:
    constant = bootstrap_balanced([1.0] * 50, [0.0] * 2)
    assert (constant.low, constant.high) == (0.5, 0.5)


def test_a_paired_difference_is_tighter_than_two_separate_means() -> None:
    random = np.random.default_rng(3)
    hard = random.uniform(0, 1, 50)
    better = list(np.clip(hard + 0.05 + random.normal(0, 0.01, 50), 0, 2))
    mean, interval = paired_difference(better, list(hard))
    assert mean == pytest.approx(0.05, abs=0.01)
    assert interval.low > 0
    assert interval.high - interval.low < 0.02


@pytest.mark.parametrize("values", [[], [math.nan, 1.0], [math.inf]])
def test_no_interval_comes_from_nothing_or_from_nan(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean(values)


def test_pairs_need_equal_lengths() -> None:
    with pytest.raises(ValueError, match="got 1 and 2"):
        paired_difference([1.0], [1.0, 2.0])
