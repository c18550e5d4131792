"""95 % intervals: how far a number could move with other cases of the same kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 4000
SEED = 20240229  # fixed, so that a report computed twice shows the same numbers
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float
    method: str


def wilson(successes: int, n: int, z: float = Z95) -> Interval:
    """Wilson score interval of a proportion; well behaved at 0, at n and for small n. ``z`` is how many standard
    errors it reaches to each side.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    Raises ValueError when n is not positive or successes is not within 0 to n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a proportion")
    share = successes / n
    scale = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, "wilson")


def bootstrap_mean(values: Sequence[float]) -> Interval:
    """Percentile bootstrap of the mean, over cases.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    Raises ValueError without values or when one is not finite.
    """
    return _percentiles([values], lambda means: means[0])


def bootstrap_balanced(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Percentile bootstrap of the mean of two group means, each group resampled within itself."""
    return _percentiles([first, second], lambda means: (means[0] + means[1]) / 2)


def paired_difference(new: Sequence[float], old: Sequence[float]) -> tuple[float, Interval]:
    """(mean of new - old over the same cases, its bootstrap interval). Raises ValueError when the lengths differ."""
    if len(new) != len(old):
        raise ValueError(f"paired values need equal lengths, got {len(new)} and {len(old)}")
    differences = [a - b for a, b in zip(new, old, strict=True)]
    return math.fsum(differences) / max(1, len(differences)), bootstrap_mean(differences)


def _percentiles(
    groups: Sequence[Sequence[float]],
    combine: Callable[[list[NDArray[np.float64]]], NDArray[np.float64]],
) -> Interval:
    import numpy as np

    random = np.random.default_rng(SEED)
    means = []
    for group in groups:
        values = np.asarray(group, dtype=np.float64)
        if values.size == 0 or not np.isfinite(values).all():
            raise ValueError("an interval needs at least one value, all of them finite")
        means.append(_resampled_means(values, random))
    low, high = np.percentile(combine(means), [2.5, 97.5])
    return Interval(float(low), float(high), "bootstrap")


def _resampled_means(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    import numpy as np

    # In blocks of at most about two million draws: a suite of 100,000 cases must not need gigabytes.
    block = max(1, min(RESAMPLES, 2_000_000 // values.size))
    parts = []
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        parts.append(values[random.integers(0, values.size, (rows, values.size))].mean(axis=1))
    return np.concatenate(parts)
