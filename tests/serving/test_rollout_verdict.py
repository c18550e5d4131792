"""Bounds and statistics: what stops a rollout, what does not, and how often it is wrong."""

from __future__ import annotations

import math
import random

import pytest

from bench.rollout import SCENES, stopped_after
from evals.statistics.student import student_quantile
from lockgate.store.arms import ArmFigures, ArmName
from serving.rollout import BOUNDS
from serving.rollout_statistics import difference_of_rates, ratio_of_times
from serving.rollout_verdict import Comparison, StopReason, compare_arms, judge_rollout

Z95 = 1.959963984540054


def arm(n: int = 100, errors: int = 0, abstained: int = 0, ms: float = 100.0) -> ArmFigures:
    # Alternating, so that there is some scatter around the mean of the logarithms, which is that of ``ms``.
    times = tuple(ms * (1.1 if index % 2 else 1 / 1.1) for index in range(n - errors))
    return ArmFigures(n, errors, abstained, times)


def judge(new: ArmFigures, old: ArmFigures) -> StopReason | None:
    figures: dict[ArmName, ArmFigures] = {"current": old, "candidate": new}
    return judge_rollout(figures, BOUNDS)


@pytest.mark.parametrize(
    ("new", "old", "limits"),
    [  # Newcombe 1998, table II, method 10
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ],
)
def test_the_difference_of_rates_has_newcombes_published_limits(
    new: tuple[int, int], old: tuple[int, int], limits: tuple[float, float]
) -> None:
    assert difference_of_rates(new, old, Z95) == pytest.approx(limits, abs=5e-5)


@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [(0.975, 1, 12.7062), (0.975, 4, 2.7764), (0.995, 4, 4.6041), (0.995, 30, 2.7500), (0.975, 10**6, 1.9600)],
)
def test_students_quantiles_are_those_of_the_tables(probability: float, freedom: float, quantile: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(quantile, abs=5e-5)


def test_the_ratio_of_times_covers_the_true_one_as_often_as_it_says() -> None:
    rng = random.Random(7)
    covered = 0
    for _ in range(400):
        new = [rng.lognormvariate(math.log(150), 0.8) for _ in range(12)]
        old = [rng.lognormvariate(math.log(100), 0.3) for _ in range(30)]
        _, low, high = ratio_of_times(new, old, Z95)
        covered += low <= 1.5 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_times_that_do_not_scatter_are_compared_as_they_are() -> None:
    assert ratio_of_times([20.0] * 5, [10.0] * 5) == pytest.approx((2.0, 2.0, 2.0))
    assert ratio_of_times([0.0] * 5, [0.0] * 5) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("new", "metric", "said"),
    [
        (arm(errors=30), "error_rate", "error rate is 30.0 % (30 of 100)"),
        (arm(abstained=45), "abstention_rate", "abstention rate is 45.0 % (45 of 100)"),
        (arm(ms=400.0), "latency_ratio", "time to answer is 4.00 times"),
    ],
)
def test_a_new_release_that_is_clearly_worse_is_stopped_with_its_figures(
    new: ArmFigures, metric: str, said: str
) -> None:
    reason = judge(new, arm())
    assert reason is not None
    assert reason.evidence["metric"] == metric
    assert said in reason.text
    assert f"the bound is {BOUNDS[metric] if metric == 'latency_ratio' else 100 * BOUNDS[metric]:g}" in reason.text


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (arm(), arm()),
        (arm(errors=12), arm(errors=5)),  # worse, but 7 points of 100 requests may be chance
        (arm(errors=60), arm(errors=58)),  # bad, but so is the current one
        (arm(abstained=12), arm()),  # beyond the bound, not with confidence
        (arm(ms=150.0), arm()),
        (arm(), arm(errors=50, abstained=50, ms=900.0)),  # better
        (arm(4, errors=4), arm()),  # too few
        (ArmFigures(), arm()),
        (ArmFigures(), ArmFigures()),
    ],
)
def test_what_may_be_chance_or_is_no_harm_goes_on(new: ArmFigures, old: ArmFigures) -> None:
    assert judge(new, old) is None


@pytest.mark.parametrize("old", [ArmFigures(), arm(4), arm(50)])
def test_five_failures_and_nothing_else_stop_it_at_once_whatever_the_other_arm_did(old: ArmFigures) -> None:
    reason = judge(arm(5, errors=5), old)
    assert reason is not None
    assert reason.text == "all 5 requests to the new release failed"


def test_two_small_arms_are_not_comparable_yet() -> None:
    figures: dict[ArmName, ArmFigures] = {"current": arm(4), "candidate": arm(50, errors=40)}
    assert judge_rollout(figures, BOUNDS) is None
    assert compare_arms(figures, BOUNDS)[0] == Comparison("error_rate", BOUNDS["error_rate"])


def test_a_wider_bound_lets_more_pass() -> None:
    figures: dict[ArmName, ArmFigures] = {"current": arm(), "candidate": arm(errors=30)}
    assert judge_rollout(figures, {"error_rate": 0.5}) is None


# Rollouts simulated request by request, as bench/rollout.py does


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_two_equal_releases_are_hardly_ever_stopped(share: float) -> None:
    stops = [stopped_after(seed, SCENES["equal"], share, requests=500, every=20) for seed in range(200)]
    # 1.0 % at a share of 10 % and 0.0 % at 50 %, with these seeds.
    assert sum(stop is not None for stop in stops) / len(stops) < 0.05


@pytest.mark.parametrize("scene", ["errors + 20 points", "abstentions + 40 points", "three times as slow"])
def test_a_harmful_release_is_stopped_within_a_thousand_requests(scene: str) -> None:
    assert all(stopped_after(seed, SCENES[scene], 0.2, requests=1000, every=20) is not None for seed in range(20))
