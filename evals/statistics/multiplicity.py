"""Several tests at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

K = TypeVar("K")


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Adjusted p-values, in the order given: rejecting those at or below alpha makes a wrong rejection among all of
    them happen with a probability of at most alpha, however they depend on each other.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    Raises ValueError for a value outside [0, 1].
    """
    for name, value in p_values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: {value} is not a probability")
    adjusted: dict[K, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda each: p_values[each])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
