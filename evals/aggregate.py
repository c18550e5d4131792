"""From the scores of single cases to one number per metric, with its interval and what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evals.case import Outcome
from evals.intervals import Interval, bootstrap_balanced, bootstrap_mean, wilson
from evals.metrics.metric import Metric
from evals.metrics.score import NotApplicable, Score, Unscored


@dataclass(frozen=True, slots=True)
class ScoredCase:
    """The score of one case under one metric."""

    answerable: bool
    score: Score


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One metric over a set of cases.

    ``value`` is over the ``n`` scored cases, None when there is none. ``pessimistic`` is over all cases that should
    have a value, the ``unscored`` ones counted at the worst end of the scale: compare that one when a run must not gain
    by failing.
    """

    metric: str
    group: str
    value: float | None
    low: float | None
    high: float | None
    method: str
    pessimistic: float | None
    n: int
    unscored: int
    not_applicable: int
    scale: tuple[float, float]
    direction: str


def aggregate(metric: Metric, cases: Sequence[ScoredCase]) -> Aggregate:
    """One metric over cases."""
    scored = [(case.answerable, case.score) for case in cases if isinstance(case.score, float)]
    due = [
        (case.answerable, case.score if isinstance(case.score, float) else metric.worst)
        for case in cases
        if not isinstance(case.score, NotApplicable)
    ]
    value = _value(metric, scored)
    interval = _interval(metric, scored) if value is not None else None
    return Aggregate(
        metric=metric.name,
        group=metric.group,
        value=value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=interval.method if interval else "",
        pessimistic=_value(metric, due),
        n=len(scored),
        unscored=sum(isinstance(case.score, Unscored) for case in cases),
        not_applicable=sum(isinstance(case.score, NotApplicable) for case in cases),
        scale=metric.scale,
        direction=metric.direction,
    )


def _value(metric: Metric, scored: Sequence[tuple[bool, float]]) -> float | None:
    if metric.aggregation == "balanced":
        first, second = _halves(scored)
        # With one half missing, the mean of both does not exist; the other half alone would look like it.
        return (_mean(first) + _mean(second)) / 2 if first and second else None
    return _mean([score for _, score in scored]) if scored else None


def _interval(metric: Metric, scored: Sequence[tuple[bool, float]]) -> Interval:
    if metric.aggregation == "balanced":
        return bootstrap_balanced(*_halves(scored))
    values = [score for _, score in scored]
    if metric.binary:
        return wilson(sum(score == 1.0 for score in values), len(values))
    return bootstrap_mean(values)


def _halves(scored: Sequence[tuple[bool, float]]) -> tuple[list[float], list[float]]:
    return [score for answerable, score in scored if answerable], [s for answerable, s in scored if not answerable]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def abstention_table(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """The 2x2 table of what should have been done and what was, with the cases that gave no answer beside it."""
    table = {
        "answerable_answered": 0,
        "answerable_abstained": 0,
        "unanswerable_answered": 0,
        "unanswerable_abstained": 0,
        "unscored": 0,
    }
    for outcome in outcomes:
        if outcome.answer is None:
            table["unscored"] += 1
            continue
        kind = "answerable" if outcome.case.answerable else "unanswerable"
        table[f"{kind}_{'abstained' if outcome.answer.abstained else 'answered'}"] += 1
    return table
