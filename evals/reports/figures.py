"""Numbers as a reader wants them: with the unit of the metric, and no more digits than mean something."""

from __future__ import annotations

from dataclasses import dataclass

from evals.metrics.catalogue import resolve_metric
from evals.statistics.pairs import WIDEST

_UNITS = {"latency_seconds": "ms", "prompt_tokens": "tokens", "completion_tokens": "tokens", "steps": "steps"}


@dataclass(frozen=True, slots=True)
class Figures:
    """How the numbers of one metric are written. ``factor`` turns a score into ``unit``s."""

    unit: str
    factor: float
    digits: int

    def value(self, score: float | None) -> str:
        return "-" if score is None else f"{score * self.factor:,.{self.digits}f}{self._unit}"

    def signed(self, score: float | None) -> str:
        return "-" if score is None else f"{self._signed(score)}{self._unit}"

    def interval(self, low: float | None, high: float | None) -> str:
        if low is None or high is None:
            return ""
        return f"{low * self.factor:,.{self.digits}f} to {high * self.factor:,.{self.digits}f}{self._unit}"

    def signed_interval(self, low: float | None, high: float | None) -> str:
        if low is None or high is None:
            return ""
        return f"{self._signed(low)} to {self._signed(high)}{self._unit}"

    def end(self, score: float) -> str:
        """The end of an axis, in as few digits as it has."""
        return f"{score * self.factor:,.6g}{self._unit}"

    def _signed(self, score: float) -> str:
        # What rounds to nothing is +0, not -0.
        return f"{round(score * self.factor, self.digits) + 0.0:+,.{self.digits}f}"

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""


def figures_of(name: str, scale: tuple[float, float]) -> Figures:
    """For the metric ``name``: milliseconds and tokens for what an answer took, else three digits."""
    try:
        metric = resolve_metric(name)
    except ValueError:  # of another version of Lockgate
        return Figures("", 1.0, 3)
    unit = _UNITS.get(metric.family, "")
    if unit == "ms":
        return Figures(unit, 1000.0, 0)
    if metric.family == "cost":
        return Figures(str(getattr(metric.parameters, "currency", "")), 1.0, 5)
    return Figures(unit, 1.0, 1) if scale[1] - scale[0] > WIDEST else Figures("", 1.0, 3)
