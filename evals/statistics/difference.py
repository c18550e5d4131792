"""The mean of scores, and the mean of differences between two releases over the same cases, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.statistics.clusters import ClusterSums, Floats, cluster_sums, mean_and_error
from evals.statistics.pairs import MetricShape, Pair, Value
from evals.statistics.share import share_limits
from evals.statistics.student import student_quantile


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of the ``n`` scored cases. One cluster does not tell how much clusters vary: the limits are then those
    of the scale. All are None without a scored case."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    unscored: int
    method: str


@dataclass(frozen=True, slots=True)
class Difference:
    """New minus old over the ``n`` cases that both scored, turned so that more is better; limits are None
    with fewer than two clusters.

    ``dropped`` counts the pairs with an unscored side: ``without_new`` of them lack the new score.
    """

    value: float | None
    low: float | None
    high: float | None
    se: float | None
    n: int
    clusters: int
    dropped: int
    without_new: int
    method: str

    def in_words(self) -> str:
        """The value and its interval, such as "+0.010 [-0.020, +0.040]"."""
        if self.value is None or self.low is None or self.high is None:
            return "unknown"
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    def as_json(self) -> dict[str, float | None]:
        """What a summary holds of it."""
        return {"value": self.value, "low": self.low, "high": self.high, "clusters": self.clusters}


def mean_interval(values: Sequence[Value], shape: MetricShape, *, confidence: float = 0.95) -> Mean:
    """The mean in the metric's own units, with a two-sided interval. Unscored cases are counted, not imputed."""
    scored = [(each.cluster, each.score) for each in values if each.score is not None and _is_score(each.score, shape)]
    missing = len(values) - len(scored)
    if not scored:
        return Mean(None, None, None, 0, 0, missing, "")
    low = shape.scale[0]
    sums = cluster_sums(
        [(cluster, (score - low) / shape.width, (score - low) / shape.width) for cluster, score in scored]
    )
    value = math.fsum(score for _, score in scored) / len(scored)
    clusters = len(sums.sizes)
    if sums.freedom <= 0:
        return Mean(value, *shape.scale, len(scored), clusters, missing, "one cluster")
    limits = score_limits if shape.reached else t_limits
    bottom, top = (float(each) for each in limits(sums.low, sums.sizes, confidence))
    name = "t, clustered"
    if shape.reached:
        name = "mid-P" if bool(are_yes_or_no(sums.low, sums.sizes)) else "Wilson, effective n"
    return Mean(value, low + bottom * shape.width, low + top * shape.width, len(scored), clusters, missing, name)


def balanced_interval(first: Sequence[Value], second: Sequence[Value], shape: MetricShape) -> Mean:
    """The mean of the means of two groups of cases, each with the same weight; None without a score in each.

    The limits join those of the groups: Zou and Donner, "Construction of confidence limits about effect measures: a
    general approach", Statistics in Medicine 27, 2008 (MOVER). Groups that share clusters are taken as independent.
    """
    groups = [mean_interval(each, shape) for each in (first, second)]
    n, unscored = sum(each.n for each in groups), sum(each.unscored for each in groups)
    clusters = len({each.cluster or f"\0{each.case}" for each in (*first, *second) if each.score is not None})
    values = [each.value for each in groups if each.value is not None]
    if len(values) < 2:
        return Mean(None, None, None, n, clusters, unscored, "")
    value = math.fsum(values) / 2
    lows = [each.value - each.low for each in groups if each.value is not None and each.low is not None]
    highs = [each.high - each.value for each in groups if each.value is not None and each.high is not None]
    return Mean(value, value - math.hypot(*lows) / 2, value + math.hypot(*highs) / 2, n, clusters, unscored, "MOVER")


def paired_difference(pairs: Sequence[Pair], shape: MetricShape, *, confidence: float = 0.95) -> Difference:
    """New minus old, with a two-sided interval, clustered by the pairs' clusters.

    A t interval with the cluster-robust standard error. For binary metrics two pairs are added, half a one to each way
    in which a pair can turn out: Agresti and Min, "Simple improved confidence intervals for comparing matched
    proportions", Statistics in Medicine 24, 2005.
    """
    both, without_new = [], 0
    for pair in pairs:
        new, old = shape.oriented(pair.new), shape.oriented(pair.old)
        without_new += new is None
        if new is not None and old is not None:
            both.append((pair.cluster, new - old, new - old))
    dropped = len(pairs) - len(both)
    if not both:
        return Difference(None, None, None, None, 0, 0, dropped, without_new, "")
    sums = cluster_sums(both)
    clusters, value = len(sums.sizes), math.fsum(each for _, each, _ in both) / len(both)
    if sums.freedom <= 0:
        return Difference(value, None, None, None, len(both), clusters, dropped, without_new, "")
    if shape.binary:
        low, high = adjusted_limits(sums.low, sums.sizes, confidence, shape.width)
        method = "t, clustered, Agresti-Min"
    else:
        low, high = t_limits(sums.low, sums.sizes, confidence)
        method = "t, clustered"
    error = mean_and_error(sums.low, sums.sizes)[1]
    limits = (max(-shape.width, float(low)), min(shape.width, float(high)))
    return Difference(value, *limits, float(error), len(both), clusters, dropped, without_new, method)


def t_limits(sums: Floats, sizes: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Limits of a mean: t standard errors to each side. Over the last axis, as all of these."""
    mean, error = mean_and_error(sums, sizes)
    reach = _reach(sizes, confidence)
    return mean - reach * error, mean + reach * error


def adjusted_limits(sums: Floats, sizes: Floats, confidence: float, width: float) -> tuple[Floats, Floats]:
    """``t_limits`` with two imagined cases: half a one that gained ``width``, half a one that lost it, and one that did
    not change."""
    clusters, n = len(sizes) + 2, float(sizes.sum()) + 2
    mean = sums.sum(axis=-1) / n
    squares = ((sums - mean[..., None] * sizes) ** 2).sum(axis=-1)
    squares = squares + (width - mean) ** 2 / 2 + (width + mean) ** 2 / 2 + mean**2
    half = _reach(sizes, confidence) * np.sqrt(clusters / (clusters - 1) * squares) / n
    return mean - half, mean + half


def score_limits(sums: Floats, sizes: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Limits of the mean of scores in [0, 1]: Wilson's interval with the effective number of cases.

    For lone cases that are right or wrong it is the exact one: their spread follows from their mean, and nothing has to
    be estimated.

    A mean of scores in [0, 1] varies no more than a share does, so n is divided by how much the scores and their
    clusters vary in comparison to a share. Sources: Korn and Graubard, "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data", Survey Methodology 24, 1998; Dean and Pagano,
    "Evaluating confidence interval methods for binomial proportions in clustered surveys", Journal of Survey
    Statistics and Methodology 3, 2015.
    """
    mean, error = mean_and_error(sums, sizes)
    mean = np.clip(mean, 0.0, 1.0)
    clusters = sizes.sum() ** 2 / (sizes**2).sum()
    share = mean * (1 - mean)
    varies = (error > 0) & (share > 0)
    # Without any spread at 0 or 1 the clusters stand for themselves; elsewhere, all scores are the same number.
    still = np.where(share > 0, np.inf, clusters)
    n = np.where(varies, share / np.where(varies, error, 1.0) ** 2, still)
    square = _reach(sizes, confidence) ** 2 / n
    centre = (mean + square / 2) / (1 + square)
    half = np.sqrt(square * share + square**2 / 4) / (1 + square)
    low = np.where(mean > 0, np.maximum(0.0, centre - half), 0.0)
    high = np.where(mean < 1, np.minimum(1.0, centre + half), 1.0)
    plain = are_yes_or_no(sums, sizes)
    if not plain.any():
        return low, high
    right, cases = np.rint(sums.sum(axis=-1)).astype(int), len(sizes)
    exact = [share_limits(int(each), cases, confidence) for each in np.where(plain, right, 0).flat]
    bottom, top = (np.asarray(limits).reshape(mean.shape) for limits in zip(*exact, strict=True))
    return np.where(plain, bottom, low), np.where(plain, top, high)


def are_yes_or_no(sums: Floats, sizes: Floats) -> NDArray[np.bool_]:
    """Whether the cases of each sample stand alone and score 0 or 1."""
    alone = bool(np.all(sizes == 1))
    return np.asarray(alone & np.all((sums == 0) | (sums == 1), axis=-1))


def _reach(sizes: Floats, confidence: float) -> float:
    return student_quantile((1 + confidence) / 2, ClusterSums(sizes, sizes, sizes).freedom)


def _is_score(score: float, shape: MetricShape) -> bool:
    return shape.oriented(score) is not None
