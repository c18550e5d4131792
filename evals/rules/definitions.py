"""What each rule of a gate file may say. A number that could let anything pass is refused where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from evals.metrics.catalogue import resolve_metric
from evals.suite import NAME
from lockgate.content import ContentModel

MOST_UNSCORED = 0.02
"""Coverage under 98 % is never a PASS, whatever a gate file would like."""

DEFAULT_MIN_N = 40


def _suite_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("is not the name of a suite")
    return name


def _metric_name(spec: Any) -> str:
    if not isinstance(spec, str):
        raise ValueError("a metric's name was expected, such as recall@5")
    return resolve_metric(spec).name


def _each_once(values: Any) -> Any:
    """Two spellings of one metric would leave one of two bounds unread."""
    if isinstance(values, Mapping):
        names = [_metric_name(key) for key in values]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is given twice")
    return values


def _on_scale(floors: dict[str, float]) -> dict[str, float]:
    for name, value in floors.items():
        low, high = resolve_metric(name).scale
        if not low <= value <= high:
            raise ValueError(f"{name}: {value:g} is outside its scale, {low:g} to {high:g}")
    return floors


def _is_a_margin(margins: dict[str, float]) -> dict[str, float]:
    for name, value in margins.items():
        low, high = resolve_metric(name).scale
        if not 0 < value < high - low:
            raise ValueError(f"{name}: {value:g} is no drop: more than 0 and less than {high - low:g} is needed")
    return margins


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
MetricName = Annotated[str, BeforeValidator(_metric_name)]
Floors = Annotated[dict[MetricName, Number], BeforeValidator(_each_once), AfterValidator(_on_scale)]
Margins = Annotated[dict[MetricName, Number], BeforeValidator(_each_once), AfterValidator(_is_a_margin)]


class VerifyRule(ContentModel):
    """Everything pinned is present and matches, the index is not empty, one question is answered."""

    rule: Literal["verify"]

    @property
    def label(self) -> str:
        return self.rule


class EvidenceRule(ContentModel):
    """At least one suite of the project was run on the release as a whole, and its result is on record."""

    rule: Literal["evidence"]

    @property
    def label(self) -> str:
        return self.rule


class ReviewsRule(ContentModel):
    """People have looked at so many answers of the release."""

    rule: Literal["reviews"]
    at_least: int = Field(ge=1)

    @property
    def label(self) -> str:
        return self.rule


class SuiteRule(ContentModel):
    """What the release's evidence of one suite must show.

    ``suite`` left out is the suite that the release's chain names. ``floors`` bound each metric on the side of its
    interval that speaks against the release: the lower bound where higher is better, the upper one where lower is.
    ``max_drop`` bounds, on the interval of the paired difference, how much worse than the release now in the channel it
    may be. ``slices`` holds floors by slice and value. Each metric of ``zero_tolerance`` must be perfect in every case.
    ``max_unscored`` is the share of the cases that may lack a score; ``min_n`` how many must have one.
    """

    rule: Literal["suite"]
    suite: Annotated[str, AfterValidator(_suite_name)] | None = None
    floors: Floors = Field(default_factory=dict)
    max_drop: Margins = Field(default_factory=dict)
    slices: dict[str, dict[str, Floors]] = Field(default_factory=dict)
    zero_tolerance: tuple[MetricName, ...] = ()
    min_n: int = Field(default=DEFAULT_MIN_N, ge=2)
    max_unscored: Number = Field(default=0.0, ge=0.0, le=MOST_UNSCORED)
    max_age_days: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _asks_for_something(self) -> SuiteRule:
        if not self.metrics:
            raise ValueError("a suite rule needs floors, max_drop, slices or zero_tolerance")
        if len(set(self.zero_tolerance)) != len(self.zero_tolerance):
            raise ValueError("zero_tolerance: a metric is given twice")
        return self

    @property
    def label(self) -> str:
        return f"suite {self.suite}" if self.suite else "suite"

    @property
    def bounded(self) -> tuple[str, ...]:
        """Metrics with a bound on their mean, which takes ``min_n`` cases."""
        return tuple(dict.fromkeys([*self.floors, *self.max_drop]))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that the rule speaks of, each once, in the order of the file."""
        sliced = (name for values in self.slices.values() for floors in values.values() for name in floors)
        return tuple(dict.fromkeys([*self.floors, *self.max_drop, *sliced, *self.zero_tolerance]))


Rule = Annotated[VerifyRule | EvidenceRule | SuiteRule | ReviewsRule, Field(discriminator="rule")]
AnyRule = VerifyRule | EvidenceRule | SuiteRule | ReviewsRule


def check_together(rules: tuple[AnyRule, ...]) -> tuple[AnyRule, ...]:
    """Raises ValueError for a rule, or a suite, that is given twice."""
    labels = [rule.label for rule in rules]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"the rule {label!r} is given twice")
    return rules
