"""Student's t distribution: the tail and the quantile, for any number of degrees of freedom."""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300
_STEPS = 500
_ENOUGH = 1e-15


@lru_cache(maxsize=4096)
def student_quantile(probability: float, freedom: float) -> float:
    """The value that a t variable stays below with ``probability``. Raises ValueError outside (0, 1) and for a freedom
    of 0 or less."""
    if not 0 < probability < 1:
        raise ValueError(f"{probability} is not a probability between 0 and 1")
    if probability < 0.5:
        return -student_quantile(1 - probability, freedom)
    high = 1.0
    while student_below(high, freedom) < probability and high < 1e12:
        high *= 2
    low = 0.0
    for _ in range(80):
        middle = (low + high) / 2
        if student_below(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def student_below(value: float, freedom: float) -> float:
    """The probability that a t variable is at most ``value``.

    By the incomplete beta function: P(|T| > t) = I(f / (f + t^2); f / 2, 1 / 2).
    """
    if freedom <= 0:
        raise ValueError(f"{freedom} degrees of freedom")
    if math.isinf(value):
        return 1.0 if value > 0 else 0.0
    outside = incomplete_beta(freedom / (freedom + value * value), freedom / 2, 0.5)
    return 1 - outside / 2 if value > 0 else outside / 2


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's evaluation: each step multiplies by a ratio of two partial denominators."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for step in range(1, _STEPS):
        for term in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < _ENOUGH:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
