"""The exact interval of a share, for cases that stand alone and are right or wrong."""

from __future__ import annotations

from functools import lru_cache

from evals.statistics.student import incomplete_beta

_ROUNDS = 50


@lru_cache(maxsize=8192)
def share_limits(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided limits of the share that ``right`` of ``n`` cases come from: the mid-P interval.

    Of the chance of exactly ``right`` cases, half counts. Wilson's interval is closest on average, but at 40 cases it
    holds a share of 0.2 in 92.8 % of the samples; this one holds every share from 0.1 to 0.9 in 93 to 97 % from 40
    cases on. Sources: Lancaster, "Significance tests in discrete distributions", JASA 56, 1961; Agresti and Gottard,
    "Comment: randomized confidence intervals and the mid-P approach", Statistical Science 20, 2005.
    Raises ValueError when n is not positive or right is not within 0 to n.
    """
    if n <= 0 or not 0 <= right <= n:
        raise ValueError(f"{right} of {n} is not a proportion")
    tail = (1 - confidence) / 2
    low = 0.0 if right == 0 else _solve(right, n, tail)
    high = 1.0 if right == n else 1 - _solve(n - right, n, tail)
    return low, high


def _solve(right: int, n: int, tail: float) -> float:
    """The share at which ``right`` or more cases of ``n`` have the chance ``tail``, half of the chance of exactly that
    many left out. It grows with the share."""
    low, high = 0.0, 1.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        at_least = incomplete_beta(middle, right, n - right + 1)
        more = incomplete_beta(middle, right + 1, n - right) if right < n else 0.0
        low, high = (middle, high) if (at_least + more) / 2 < tail else (low, middle)
    return (low + high) / 2
