"""Nominal 95 % intervals cover the truth in 93 to 97 % of 1,000 samples, also of clustered and of skewed scores."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from evals.statistics.clusters import Floats
from evals.statistics.difference import adjusted_limits, score_limits, t_limits
from evals.statistics.share import share_limits

RUNS = 1000
SEED = 4

Luck = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def alone(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return random.random(shape)


def f1_like(luck: Floats, zero: float) -> Floats:
    """0 in a share of the cases, else skewed towards 1 (the density 3 x^2 on [0, 1])."""
    return np.where(luck < zero, 0.0, np.cbrt(np.maximum(0.0, luck - zero) / (1 - zero)))


def in_clusters(random: np.random.Generator, clusters: int, size: int, shared: float) -> Floats:
    """Uniform numbers that are correlated within a cluster."""
    normal = math.sqrt(shared) * random.standard_normal((RUNS, clusters, 1))
    normal = normal + math.sqrt(1 - shared) * random.standard_normal((RUNS, clusters, size))
    grid = np.linspace(-6, 6, 2401)
    return np.interp(normal, grid, [NormalDist().cdf(x) for x in grid])


def covers(limits: tuple[Floats, Floats], truth: float) -> bool:
    low, high = limits
    share = float(np.mean((low <= truth) & (truth <= high)))
    sys.stdout.write(f"covered {100 * share:.1f} %" + "\n")
    return 0.93 <= share <= 0.97


@pytest.mark.parametrize("n", [40, 100, 200, 400, 800])
@pytest.mark.parametrize("zero", [0.1, 0.4, 0.7])
def test_means_of_skewed_scores_with_many_zeros(n: int, zero: float) -> None:
    random = np.random.default_rng(SEED)
    scores = f1_like(random.random((RUNS, n)), zero)
    assert covers(score_limits(scores, np.ones(n), 0.95), (1 - zero) * 0.75)


@pytest.mark.parametrize("n", [40, 100, 200, 400, 800])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_shares(n: int, share: float) -> None:
    random = np.random.default_rng(SEED)
    scores = (random.random((RUNS, n)) < share).astype(float)
    assert covers(score_limits(scores, np.ones(n), 0.95), share)


@pytest.mark.parametrize("n", [40, 50, 60, 80, 100, 200, 400, 800])
def test_shares_exactly(n: int) -> None:
    """Without luck: over all numbers of right answers that there can be, each with its chance."""
    right = np.arange(n + 1)
    low, high = score_limits((np.arange(n) < right[:, None]).astype(float), np.ones(n), 0.95)
    log_ways = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in right]
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        chances = np.exp(log_ways + right * math.log(share) + (n - right) * math.log(1 - share))
        assert 0.93 <= chances[(low <= share) & (share <= high)].sum() <= 0.97


@pytest.mark.parametrize("n", [40, 100, 200, 400, 800])
@pytest.mark.parametrize(("size", "shared"), [(2, 0.5), (4, 0.3), (4, 0.6)])
def test_means_of_scores_that_come_in_clusters(n: int, size: int, shared: float) -> None:
    random = np.random.default_rng(SEED)
    luck = in_clusters(random, n // size, size, shared)
    sizes = np.full(n // size, float(size))
    assert covers(score_limits(f1_like(luck, 0.4).sum(axis=2), sizes, 0.95), 0.45)
    assert covers(score_limits((luck < 0.7).sum(axis=2).astype(float), sizes, 0.95), 0.7)


@pytest.mark.parametrize("n", [100, 200, 400, 800])
def test_means_of_scores_in_clusters_of_different_sizes(n: int) -> None:
    random = np.random.default_rng(SEED)
    sizes = np.array(([1.0] * 5 + [2.0] * 2 + [3.0, 6.0]) * (n // 18))
    here = np.arange(6) < sizes[:, None]
    right = (in_clusters(random, len(sizes), 6, 0.5) < 0.7) & here
    assert covers(score_limits(right.sum(axis=2).astype(float), sizes, 0.95), 0.7)


@pytest.mark.parametrize("n", [40, 100, 200, 400, 800])
@pytest.mark.parametrize("broken", [0.0, 0.2])
def test_differences_of_skewed_scores(n: int, broken: float) -> None:
    random = np.random.default_rng(SEED)
    old = f1_like(random.random((RUNS, n)), 0.3)
    new = np.where(random.random((RUNS, n)) < 0.6, old, f1_like(random.random((RUNS, n)), 0.3))
    new = np.where(random.random((RUNS, n)) < broken, 0.0, new)
    assert covers(t_limits(new - old, np.ones(n), 0.95), -broken * 0.7 * 0.75)


@pytest.mark.parametrize("n", [40, 100, 200, 400, 800])
@pytest.mark.parametrize(("better", "worse"), [(0.1, 0.1), (0.1, 0.25), (0.15, 0.2)])
def test_differences_of_binary_scores(n: int, better: float, worse: float) -> None:
    random = np.random.default_rng(SEED)
    luck = random.random((RUNS, n))
    changed = (luck < better).astype(float) - (luck > 1 - worse)
    assert covers(adjusted_limits(changed, np.ones(n), 0.95, 1.0), better - worse)


@pytest.mark.parametrize("n", [80, 200, 400, 800])
@pytest.mark.parametrize("size", [2, 4])
def test_differences_that_come_in_clusters(n: int, size: int) -> None:
    random = np.random.default_rng(SEED)
    luck = in_clusters(random, n // size, size, 0.4)
    changed = (luck < 0.15).astype(float) - (luck > 0.75)
    sizes = np.full(n // size, float(size))
    assert covers(t_limits(changed.sum(axis=2), sizes, 0.95), -0.1)
    assert covers(adjusted_limits(changed.sum(axis=2), sizes, 0.95, 1.0), -0.1)


@pytest.mark.parametrize(("right", "n"), [(0, 40), (40, 40), (1, 1), (32, 40), (399, 400)])
def test_a_share_lies_within_its_limits_and_its_mirror_image_has_mirrored_ones(right: int, n: int) -> None:
    low, high = share_limits(right, n)
    assert 0 <= low <= right / n <= high <= 1
    assert share_limits(n - right, n) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("right", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_is_refused(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="is not a proportion"):
        share_limits(right, n)
