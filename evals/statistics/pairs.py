"""What statistics are computed from: a metric's shape, and scores of the same case under two releases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

WIDEST = 10.0
"""Scales wider than this hold seconds, tokens, steps or costs."""

TINY = 1e-9
"""Scores below it are 0: no metric means them, and their squares are too small to compute with."""


@dataclass(frozen=True, slots=True)
class MetricShape:
    """What must be known of a metric to compare by it. ``scale`` is finite; ``binary`` scores are its two ends only."""

    name: str
    scale: tuple[float, float]
    direction: Literal["higher", "lower"]
    binary: bool = False

    def __post_init__(self) -> None:
        low, high = self.scale
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{self.name}: the scale {low:g} to {high:g} has no width")

    @property
    def width(self) -> float:
        return self.scale[1] - self.scale[0]

    @property
    def reached(self) -> bool:
        """Whether cases score at the ends of the scale. Those of a scale wider than 10 (seconds, tokens, steps, cost)
        are guards against nonsense, and no case is expected there."""
        return self.width <= WIDEST

    @property
    def sign(self) -> float:
        """What a score is multiplied with so that more is better."""
        return 1.0 if self.direction == "higher" else -1.0

    @property
    def worst(self) -> float:
        """The worst score, times ``sign``."""
        return self.scale[0] if self.direction == "higher" else -self.scale[1]

    @property
    def best(self) -> float:
        """The best score, times ``sign``."""
        return self.scale[1] if self.direction == "higher" else -self.scale[0]

    def oriented(self, score: float | None) -> float | None:
        """The score times ``sign``; None for what is no score: None, NaN, infinite or outside the scale."""
        if score is None or not math.isfinite(score) or not self.scale[0] <= score <= self.scale[1]:
            return None
        return self.sign * score if abs(score) > TINY else 0.0


@dataclass(frozen=True, slots=True)
class Value:
    """The score of one case; None is unscored. Cases of one ``cluster`` depend on each other ("" stands alone)."""

    case: str
    cluster: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """The scores of one case under a new and an old release; None is unscored.

    ``same`` says that both releases gave the same output for it, byte for byte.
    """

    case: str
    cluster: str
    slices: Mapping[str, str] = field(default_factory=dict)
    new: float | None = None
    old: float | None = None
    same: bool = False
