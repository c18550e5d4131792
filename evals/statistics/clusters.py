"""The mean of scores that come in clusters, how far it may be off, and what unscored ones could make of it.

A case that is not scored could have had any score of the scale, so its cluster's sum is known as a range. Whatever is
computed here holds for every score that the case could have had: a limit is the most cautious of all of them. That is
why a case that loses its score can never make a release look better.

The standard error is the cluster-robust one of a mean, with the factor G / (G - 1), and is used with the t
distribution. Sources: Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73,
1986; Cameron and Miller, "A practitioner's guide to cluster-robust inference", Journal of Human Resources 50, 2015 (t
with G - 1 degrees of freedom for few clusters); Carter, Schnepel and Steigerwald, "Asymptotic behavior of a t-test
robust to cluster heterogeneity", Review of Economics and Statistics 99, 2017 (the effective number of clusters).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.statistics.student import student_below, student_quantile

Floats = NDArray[np.float64]

IMAGINED = 1.35
"""How many imagined clusters a decision adds on the side that speaks against it: half the square of 1.645, by which a
one-sided 95 % Wilson limit of a share moves its count."""

_GOLDEN = (math.sqrt(5) - 1) / 2
_ROUNDS = 90


@dataclass(frozen=True, slots=True)
class Imagined:
    """Clusters that nobody saw, all of whose cases score ``value``.

    The t distribution trusts the spread that the sample shows, but the cases that went wrong may be too rare to be in
    a sample. A few imagined ones on the bad side keep the limit honest for skewed scores, as the added successes and
    failures of Agresti and Coull ("Approximate is better than exact", American Statistician 52, 1998) do for shares.
    """

    value: float
    count: float = IMAGINED


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """The sum of scores of each cluster: between ``low`` and ``high``, which are equal where every case is scored.

    ``low`` and ``high`` may have leading axes, one entry for each of many samples with the same ``sizes``.
    """

    low: Floats
    high: Floats
    sizes: Floats

    @property
    def n(self) -> float:
        return float(self.sizes.sum())

    @property
    def effective(self) -> float:
        """The number of equal clusters that would tell as much: fewer than there are when a few hold most cases."""
        return self.n**2 / float((self.sizes**2).sum())

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error; 0 when there are not two clusters to compare."""
        return max(0.0, self.effective - 1)


def cluster_sums(ranges: Sequence[tuple[str, float, float]]) -> ClusterSums:
    """Sums of ``(cluster, lowest, highest)`` scores; a cluster named "" holds that case alone."""
    places: dict[str, int] = {}
    where = [places.setdefault(name or f"\0{index}", len(places)) for index, (name, _, _) in enumerate(ranges)]
    index = np.asarray(where, dtype=np.intp)
    low, high = (np.asarray([each[side] for each in ranges], dtype=np.float64) for side in (1, 2))
    ones = np.ones(len(ranges))
    return ClusterSums(*(_summed(index, weights, len(places)) for weights in (low, high, ones)))


def _summed(index: NDArray[np.intp], weights: Floats, count: int) -> Floats:
    sums = np.zeros(count)
    np.add.at(sums, index, weights)
    return sums


def mean_and_error(sums: Floats, sizes: Floats, imagined: Imagined | None = None) -> tuple[Floats, Floats]:
    """(mean, its standard error) of fully scored clusters, over the last axis; with ``imagined`` clusters if given."""
    parts = _Parts.of(sizes, imagined)
    mean = (sums.sum(axis=-1) + parts.added) / parts.n
    gaps = sums - mean[..., None] * sizes
    return mean, parts.error((gaps**2).sum(axis=-1), mean)


def lower_limit(sums: ClusterSums, alpha: float, imagined: Imagined) -> Floats:
    """The one-sided lower limit of the mean, the lowest for any score that the unscored cases could have had.

    For a given mean, the spread is largest when each cluster's sum is at the end of its range that is further away;
    mean minus t standard errors is then concave in the mean, so the lowest is at an end of the mean's own range. The
    sums of all clusters are chosen apart from that mean, so the limit may be below the true lowest, and never above.
    """
    reach = student_quantile(1 - alpha, sums.freedom)
    parts = _Parts.of(sums.sizes, imagined)
    limits = []
    for total in (sums.low.sum(axis=-1), sums.high.sum(axis=-1)):
        mean = (total + parts.added) / parts.n
        expected = mean[..., None] * sums.sizes
        gaps = np.maximum((sums.low - expected) ** 2, (sums.high - expected) ** 2)
        limits.append(mean - reach * parts.error(gaps.sum(axis=-1), mean))
    return np.asarray(np.minimum(*limits))


def upper_limit(sums: Floats, sizes: Floats, alpha: float, imagined: Imagined) -> Floats:
    """The one-sided upper limit of the mean of fully scored clusters."""
    mean, error = mean_and_error(sums, sizes, imagined)
    return mean + student_quantile(1 - alpha, ClusterSums(sums, sums, sizes).freedom) * error


def below_p(sums: ClusterSums, threshold: float, imagined: Imagined) -> float:
    """The p-value of "the mean is not below ``threshold``", the smallest for any score that the unscored cases could
    have had. One sample only.

    t = (mean - threshold) / error is quasi-convex in the sums while it is negative, so the smallest is found by a
    golden-section search over the mean, with the spread that is smallest for that mean. A p-value over 0.5 may be
    larger than the smallest.
    """
    search = _Search(sums, _Parts.of(sums.sizes, imagined), threshold)
    return student_below(search.lowest(), sums.freedom)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What does not depend on the scores: sizes with the imagined clusters, and what these add to the sums."""

    n: float
    added: float
    factor: float
    count: float
    size: float
    value: float

    @classmethod
    def of(cls, sizes: Floats, imagined: Imagined | None) -> _Parts:
        clusters, n = sizes.shape[-1], float(sizes.sum())
        size = float((sizes**2).sum()) / n
        value, count = (imagined.value, imagined.count) if imagined else (0.0, 0.0)
        total = clusters + count
        factor = total / (total - 1) if total > 1 else math.inf
        return cls(n + count * size, count * size * value, factor, count, size, value)

    def error(self, squares: Floats, mean: Floats) -> Floats:
        squares = squares + self.count * (self.size * (self.value - mean)) ** 2
        return np.asarray(np.sqrt(self.factor * squares) / self.n)


class _Search:
    """The lowest t that the unscored cases allow."""

    def __init__(self, sums: ClusterSums, parts: _Parts, threshold: float) -> None:
        self.parts = parts
        self.threshold = threshold
        open_ = sums.high > sums.low
        self.fixed, self.fixed_sizes = sums.low[~open_], sums.sizes[~open_]
        self.low, self.high, self.sizes = sums.low[open_], sums.high[open_], sums.sizes[open_]
        self.least, self.most = float(self.low.sum()), float(self.high.sum())

    def lowest(self) -> float:
        if not self.low.size:
            return self._t(0.0)
        start = self._t(self.least)
        at_threshold = self.threshold * self.parts.n - self.parts.added - float(self.fixed.sum())
        low, high = self.least, min(self.most, at_threshold)
        if high <= low:
            return start
        best = min(start, self._t(high))
        first, second = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        at_first, at_second = self._t(first), self._t(second)
        for _ in range(_ROUNDS):
            best = min(best, at_first, at_second)
            if at_first <= at_second:
                high, second, at_second = second, first, at_first
                first = high - _GOLDEN * (high - low)
                at_first = self._t(first)
            else:
                low, first, at_first = first, second, at_second
                second = low + _GOLDEN * (high - low)
                at_second = self._t(second)
        return best

    def _t(self, open_total: float) -> float:
        """t when the clusters with unscored cases sum to ``open_total`` with as little spread as that allows."""
        parts = self.parts
        mean = (float(self.fixed.sum()) + open_total + parts.added) / parts.n
        squares = float(((self.fixed - mean * self.fixed_sizes) ** 2).sum())
        if self.low.size:
            squares += float(((self._fill(mean, open_total) - mean * self.sizes) ** 2).sum())
        error = float(parts.error(np.asarray(squares), np.asarray(mean)))
        distance = mean - self.threshold
        if error == 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / error

    def _fill(self, mean: float, total: float) -> Floats:
        """The sums within their ranges that add up to ``total`` and are, all by the same amount, off what ``mean``
        makes of each cluster's size: of all such sums, those with the least squares."""
        expected = mean * self.sizes
        # The total as the amount grows is made of straight pieces: a cluster moves between its two bounds only.
        bounds = np.concatenate([self.low - expected, self.high - expected])
        order = np.argsort(bounds, kind="stable")
        bounds = bounds[order]
        moving = np.cumsum(np.where(order < self.low.size, 1.0, -1.0))[:-1]
        totals = self.least + np.concatenate([[0.0], np.cumsum(moving * np.diff(bounds))])
        amount = float(np.interp(total, totals, bounds))
        return np.asarray(np.clip(expected + amount, self.low, self.high))
