"""The decorator that makes a metric of a function, and what a metric is once its parameters are chosen.

A function returns a number, or says why there is none: ``Unscored`` when the case should have had a value (it failed),
``NotApplicable`` when the metric does not speak about that case (recall of a question without gold pages). A value that
is not a number, not finite or outside the declared scale becomes ``Unscored`` too, so that NaN can never help a run.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from evals.case import Outcome
from evals.metrics.naming import format_name
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.runs.budget import BudgetSpent

if TYPE_CHECKING:
    from lockgate.ports import Embedder

Group = Literal[
    "retrieval",
    "answer",
    "citations",
    "grounding",
    "abstention",
    "format",
    "performance",
    "safety",
    "agents",
    "judged",
    "ragas",
]
Direction = Literal["higher", "lower"]
Aggregation = Literal["mean", "balanced"]
Tier = Literal["offline", "judged"]
Need = Literal["embedder", "judge", "peers"]

Function = Callable[..., Score | Awaitable[Score]]
"""``(outcome, tools)``, and ``(outcome, tools, parameters)`` for a metric that has parameters."""

_NEEDS: Mapping[Need, str] = MappingProxyType(
    {"embedder": "an embedder", "judge": "a judge", "peers": "the other cases of the pair"}
)


class MetricParameters(BaseModel):
    """Base of the parameters of a metric: an unknown one is an error, and none changes once chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        for key, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, bool) and key in cls.model_fields and cls.model_fields[key].annotation is not bool:
                raise ValueError(f"{key} cannot be {str(value).lower()}")
        return values


@dataclass(frozen=True, slots=True)
class Tools:
    """What a metric may need beside the outcome.

    ``judge`` is an ``evals.judge`` judge; ``check_output`` says how an answer breaks the output schema of the release's
    prompt, None when it has none; ``folder`` is the suite's, for files that a parameter names; ``peers`` are the
    outcomes of each pair, by its id, and None while the run is still going on.
    """

    embedder: Embedder | None = None
    judge: Any = None
    check_output: Callable[[str], list[str]] | None = None
    folder: Path | None = None
    peers: Mapping[str, tuple[Outcome, ...]] | None = None


NO_TOOLS = Tools()


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its parameters, and what a reader needs to judge its number.

    ``binary`` metrics take 0 and 1 only. ``aggregation`` "balanced"
    is the mean of the means over answerable and unanswerable cases, so that the larger half cannot hide the smaller
    one. ``calls`` is how many model calls it makes for a case at the most, for the estimate before a run.

    ``base``: this one is pass^k of it, ``passes`` being the k: made of all repeats of a case, not of one outcome.
    """

    name: str
    family: str
    group: Group
    scale: tuple[float, float]
    direction: Direction
    binary: bool
    aggregation: Aggregation
    tier: Tier
    needs: tuple[Need, ...]
    calls: int
    description: str
    parameters: BaseModel | None
    function: Function = field(repr=False, compare=False)
    base: Metric | None = None
    passes: int = 1

    @property
    def row_name(self) -> str:
        """The name under which a row holds what the metric is made of."""
        return self.base.name if self.base else self.name

    def binary_over(self, repeats: int) -> bool:
        """Whether a case that is asked so often scores 0 or 1: the mean of several is no yes or no any more."""
        return self.binary and repeats == self.passes

    @property
    def worst(self) -> float:
        """The end of the scale that a missing value counts as."""
        return self.scale[0] if self.direction == "higher" else self.scale[1]

    def score(self, outcome: Outcome, tools: Tools = NO_TOOLS) -> Score:
        """The score by a metric that waits for nothing. Raises what its function raises."""
        if missing := self._missing(tools):
            return missing
        value = self._call(outcome, tools)
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise TypeError(f"{self.name} asks a model: await its measure()")
        return self._checked(value)

    async def measure(self, outcome: Outcome, tools: Tools = NO_TOOLS) -> Score:
        """The score by any metric. A function that raises leaves the case unscored; only BudgetSpent goes on up."""
        try:
            if missing := self._missing(tools):
                return missing
            if "embedder" in self.needs:  # a second of computing, which the other cases need not wait for
                value = await asyncio.to_thread(self._call, outcome, tools)
            else:
                value = self._call(outcome, tools)
            return self._checked(await value if inspect.isawaitable(value) else value)
        except BudgetSpent:
            raise
        except Exception as error:
            return Unscored(f"{self.name} failed: {type(error).__name__}: {error}")

    def _call(self, outcome: Outcome, tools: Tools) -> Score | Awaitable[Score]:
        if self.parameters is None:
            return self.function(outcome, tools)
        return self.function(outcome, tools, self.parameters)

    def _missing(self, tools: Tools) -> Unscored | None:
        if self.base:
            return Unscored(f"{self.name} is of all repeats of a case, not of one answer")
        gone = [_NEEDS[need] for need in self.needs if getattr(tools, need) is None]
        return Unscored(f"{self.name} needs {' and '.join(gone)}") if gone else None

    def _checked(self, value: object) -> Score:
        if isinstance(value, Unscored | NotApplicable):
            return value
        try:
            number = float(value)  # type: ignore[arg-type]  # whatever it is, it is judged here
        except (TypeError, ValueError, OverflowError):
            return Unscored(f"{self.name} gave {_short(value)}, which is no number")
        low, high = self.scale
        if isinstance(value, str | bytes) or not math.isfinite(number) or not low <= number <= high:
            return Unscored(f"{self.name} gave {_short(value)}, which is outside {low:g} to {high:g}")
        if self.binary and number not in (0.0, 1.0):
            return Unscored(f"{self.name} gave {number}, which is neither 0 nor 1")
        return number


async def measure_all(metrics: Sequence[Metric], outcome: Outcome, tools: Tools) -> dict[str, Score]:
    """The scores of several metrics at once, by name. Raises BudgetSpent, when all of them have ended."""
    found = await asyncio.gather(*(each.measure(outcome, tools) for each in metrics), return_exceptions=True)
    scores: dict[str, Score] = {}
    for each, score in zip(metrics, found, strict=True):
        if isinstance(score, BaseException):
            raise score
        scores[each.name] = score
    return scores


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric before its parameters are chosen: what ``@metric`` makes of a function."""

    name: str
    parameters: type[BaseModel] | None
    settings: Mapping[str, Any]
    function: Function = field(repr=False, compare=False)

    def with_parameters(self, values: Mapping[str, object]) -> Metric:
        """The metric with these parameters, defaults filled in. Raises ValueError that names a wrong one."""
        if self.parameters is None:
            if values:
                raise ValueError(f"{self.name} takes no parameters, got {', '.join(sorted(map(str, values)))}")
            return Metric(self.name, self.name, parameters=None, function=self.function, **self.settings)
        try:
            chosen = self.parameters.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError(self._problem(error)) from None
        name = format_name(self.name, chosen)
        return Metric(name, self.name, parameters=chosen, function=self.function, **self.settings)

    def _problem(self, error: ValidationError) -> str:
        known = ", ".join(self.parameters.model_fields) if self.parameters else ""
        item = error.errors()[0]
        key = ".".join(map(str, item["loc"]))
        if item["type"] == "missing":
            return f"{self.name} needs {key}" + (f", such as {self.name}@5" if key == "k" else "")
        if item["type"] == "extra_forbidden":
            return f"{self.name} has no parameter {key!r}; it has {known}"
        text = item["msg"].removeprefix("Value error, ")
        return f"{self.name}: {key}: {text}, got {_short(item.get('input'))}" if key else f"{self.name}: {text}"


def metric(
    name: str,
    group: Group,
    *,
    scale: tuple[float, float] = (0.0, 1.0),
    direction: Direction = "higher",
    binary: bool = False,
    aggregation: Aggregation = "mean",
    needs: tuple[Need, ...] = (),
    tier: Tier = "offline",
    calls: int = 0,
    parameters: type[BaseModel] | None = None,
) -> Callable[[Function], MetricFamily]:
    """Make a metric of a function; the first line of its docstring becomes the description.

    List the function's module in ``evals.metrics.catalogue`` and suites can name it. A judged metric says with
    ``calls`` how many judge calls it makes for one case at the most.
    """

    def declare(function: Function) -> MetricFamily:
        settings = {
            "group": group,
            "scale": scale,
            "direction": direction,
            "binary": binary,
            "aggregation": aggregation,
            "tier": tier,
            "needs": needs,
            "calls": calls,
            "description": (function.__doc__ or "").strip().split("\n")[0],
        }
        return MetricFamily(name, parameters, MappingProxyType(settings), function)

    return declare


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
