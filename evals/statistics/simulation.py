"""Made-up pairs of releases, judged many times by the real decision: how often it is right and how often wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evals.statistics.clusters import ClusterSums, Floats, Imagined, lower_limit, upper_limit
from evals.statistics.decision import ALPHA

Draw = Callable[[np.random.Generator, tuple[int, int], float], Floats]
"""``(random, (runs, n), drop)``: differences, new minus old, whose true mean is minus ``drop``."""

_BATCH = 4_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of the verdicts over all runs."""

    passed: float
    failed: float

    @property
    def inconclusive(self) -> float:
        return max(0.0, 1 - self.passed - self.failed)


def binary_pairs(changed: float) -> Draw:
    """Yes or no per case; ``changed`` of the cases change between equal releases, half of them each way. A drop breaks
    further cases, or as many as there are left to break."""

    def draw(random: np.random.Generator, shape: tuple[int, int], drop: float) -> Floats:
        luck = random.random(shape)
        return np.where(luck < changed / 2, 1.0, np.where(luck > 1 - changed / 2 - drop, -1.0, 0.0))

    return draw


def skewed_pairs(zero: float = 0.3, alike: float = 0.6) -> Draw:
    """Scores like token F1: ``zero`` of them are 0, the others beta(4, 2); in ``alike`` of the cases both releases give
    the same answer. A drop comes from cases that break: their score becomes 0."""
    mean = (1 - zero) * 4 / 6

    def scores(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return np.where(random.random(shape) < zero, 0.0, random.beta(4, 2, shape))

    def draw(random: np.random.Generator, shape: tuple[int, int], drop: float) -> Floats:
        old = scores(random, shape)
        new = np.where(random.random(shape) < alike, old, scores(random, shape))
        return np.where(random.random(shape) < drop / mean, 0.0, new) - old

    return draw


def clustered(draw: Draw, size: int, shared: float) -> Draw:
    """Pairs in clusters of ``size``: with a chance of ``shared``, a case does as the first of its cluster does. The
    result holds the sum of each cluster."""

    def sums(random: np.random.Generator, shape: tuple[int, int], drop: float) -> Floats:
        runs, n = shape
        each = draw(random, (runs, n), drop).reshape(runs, n // size, size)
        copies = random.random(each.shape) < math.sqrt(shared)
        return np.asarray(np.where(copies, each[:, :, :1], each).sum(axis=2))

    return sums


def judge_drop(
    draw: Draw,
    n: int,
    margin: float,
    drop: float,
    *,
    size: int = 1,
    runs: int = 2000,
    seed: int = 1,
    alpha: float = ALPHA,
) -> Rates:
    """How often the rule passes and fails a release that truly is ``drop`` worse, over ``n`` cases of ``draw``."""
    return judge_gate([(draw, margin, drop)], n, size=size, runs=runs, seed=seed, alpha=alpha)


def judge_gate(
    metrics: list[tuple[Draw, float, float]],
    n: int,
    *,
    size: int = 1,
    runs: int = 2000,
    seed: int = 1,
    alpha: float = ALPHA,
) -> Rates:
    """The same for a gate over several independent metrics, each with its margin and its drop: PASS needs them all,
    FAIL one that stands after Holm's correction, whose first step tests at alpha / their number."""
    random = np.random.default_rng(seed)
    n -= n % size
    sizes = np.full(n // size, float(size))
    passed, failed = np.ones(runs, dtype=bool), np.zeros(runs, dtype=bool)
    block = max(1, min(runs, _BATCH // n))
    for draw, margin, drop in metrics:
        for start in range(0, runs, block):
            here = slice(start, min(runs, start + block))
            sums = draw(random, (here.stop - here.start, n), drop)
            low = lower_limit(ClusterSums(sums, sums, sizes), alpha, Imagined(-1.0))
            high = upper_limit(sums, sizes, alpha / len(metrics), Imagined(1.0))
            passed[here] &= low > -margin
            failed[here] |= (high <= 0) & (low <= -margin)
    return Rates(float(np.mean(passed)), float(np.mean(failed)))
