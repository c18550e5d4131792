"""From the scores of single cases to one number per metric, with its interval and what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.metrics.metric import Metric
from evals.metrics.repeats import score_of_repeats
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.runs.row import Row
from evals.statistics.pairs import MetricShape, Value


@dataclass(frozen=True, slots=True)
class ScoredCase:
    """The score of one case under one metric. Cases of one ``cluster`` share a page; "" stands alone."""

    answerable: bool
    score: Score
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One metric over a set of cases.

    ``value`` is over the ``n`` scored cases, None when there is none. ``pessimistic`` is over all cases that should
    have a value, the ``unscored`` ones counted at the worst end of the scale: compare that one when a run must not gain
    by failing. With one cluster, ``low`` and ``high`` are the scale's ends.
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
    binary: bool


def aggregate(metric: Metric, cases: Sequence[ScoredCase]) -> Aggregate:
    """One metric over cases."""
    scored = [(case.answerable, case.score) for case in cases if isinstance(case.score, float)]
    due = [
        (case.answerable, case.score if isinstance(case.score, float) else metric.worst)
        for case in cases
        if not isinstance(case.score, NotApplicable)
    ]
    value = _value(metric, scored)
    low, high, method = _interval(metric, cases) if value is not None else (None, None, "")
    return Aggregate(
        metric=metric.name,
        group=metric.group,
        value=value,
        low=low,
        high=high,
        method=method,
        pessimistic=_value(metric, due),
        n=len(scored),
        unscored=sum(isinstance(case.score, Unscored) for case in cases),
        not_applicable=sum(isinstance(case.score, NotApplicable) for case in cases),
        scale=metric.scale,
        direction=metric.direction,
        binary=metric.binary,
    )


def scored_cases(metric: Metric, rows: Iterable[Row]) -> list[ScoredCase]:
    """One score a case, in the order of the rows: the mean of its repeats, or what the metric makes of them.

    A case with a repeat that is unscored, or without one that other cases have, is unscored.
    """
    cases: dict[str, list[Row]] = {}
    for row in rows:
        cases.setdefault(row.case, []).append(row)
    due = max((len(repeats) for repeats in cases.values()), default=0)
    return [
        ScoredCase(
            repeats[0].answerable,
            score_of_repeats(metric, [row.score(metric) for row in repeats], due),
            repeats[0].cluster,
        )
        for repeats in cases.values()
    ]


def aggregate_rows(metrics: Sequence[Metric], rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Every metric over rows."""
    return {metric.name: asdict(aggregate(metric, scored_cases(metric, rows))) for metric in metrics}


def aggregate_slices(metrics: Sequence[Metric], rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """For each slice and each of its values, every metric over the rows that have it."""
    parts: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        for name, value in row.slices.items():
            parts.setdefault(name, {}).setdefault(value, []).append(row)
    return {
        name: {value: aggregate_rows(metrics, values[value]) for value in sorted(values)}
        for name, values in sorted(parts.items())
    }


def abstention_table(rows: Iterable[Row]) -> dict[str, int]:
    """The 2x2 table of what should have been done and what was, with the rows that gave no answer beside it."""
    table = {
        "answerable_answered": 0,
        "answerable_abstained": 0,
        "unanswerable_answered": 0,
        "unanswerable_abstained": 0,
        "unscored": 0,
    }
    for row in rows:
        if row.answer is None or row.abstained is None:
            table["unscored"] += 1
            continue
        kind = "answerable" if row.answerable else "unanswerable"
        table[f"{kind}_{'abstained' if row.abstained else 'answered'}"] += 1
    return table


def summarise(metrics: Sequence[Metric], rows: Sequence[Row]) -> Mapping[str, Any]:
    """Every metric over all rows, per half and per slice, and the abstention table."""
    by_split = {split: part for split in ("dev", "test") if (part := [row for row in rows if row.split == split])}
    return {
        "metrics": aggregate_rows(metrics, rows),
        "by_split": {split: aggregate_rows(metrics, part) for split, part in by_split.items()},
        "by_slice": aggregate_slices(metrics, rows),
        "abstention": abstention_table(rows),
        "abstention_by_split": {split: abstention_table(part) for split, part in by_split.items()},
        "cases": len({row.case for row in rows}),
        "rows": len(rows),
        "failed": sum(bool(row.errors) for row in rows),
    }


def _value(metric: Metric, scored: Sequence[tuple[bool, float]]) -> float | None:
    if metric.aggregation == "balanced":
        first, second = _halves(scored)
        # With one half missing, the mean of both does not exist; the other half alone would look like it.
        return (_mean(first) + _mean(second)) / 2 if first and second else None
    return _mean([score for _, score in scored]) if scored else None


def _interval(metric: Metric, cases: Sequence[ScoredCase]) -> tuple[float | None, float | None, str]:
    """(lower limit, upper limit, how they were found)"""
    from evals.statistics.difference import balanced_interval, mean_interval

    shape = MetricShape(metric.name, metric.scale, metric.direction, metric.binary)
    scored = [
        (case.answerable, Value(str(number), case.cluster or str(number), case.score))
        for number, case in enumerate(cases)
        if isinstance(case.score, float)
    ]
    values = [value for _, value in scored]
    if metric.aggregation == "balanced":
        first, second = ([value for answerable, value in scored if answerable is half] for half in (True, False))
        found = balanced_interval(first, second, shape)
        return found.low, found.high, found.method
    found = mean_interval(values, shape)
    return found.low, found.high, found.method


def _halves(scored: Sequence[tuple[bool, float]]) -> tuple[list[float], list[float]]:
    return [score for answerable, score in scored if answerable], [s for answerable, s in scored if not answerable]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
