"""What a metric says of one case: a number, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unscored:
    """The case should have had a value and has none."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The metric does not speak about this case."""

    reason: str


Score = float | Unscored | NotApplicable
