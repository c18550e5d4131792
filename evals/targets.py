"""A scope's targets beside what was measured of a release: by suites, by its traces and by its readers' votes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evals.metrics.catalogue import standard_metrics
from lockgate.errors import LockgateError
from lockgate.scope import KnownMetrics, Scope, Target, TargetKind, load_scope
from lockgate.store.database import Database
from lockgate.store.eval_runs import EvalRunRecord, list_release_runs
from lockgate.store.measurements import AnsweredRequest, Traffic, read_traffic

DAY_SECONDS = 86_400

Measurement = tuple[float | None, int]
"""(value, how many answers it is made of)."""


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One target and what was measured. ``met`` is None when nothing was, which is not the same as met."""

    name: str
    kind: TargetKind
    metric: str
    bound: str
    measured: float | None
    n: int
    met: bool | None
    source: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TargetTable:
    """The rows of a release; ``problem`` says why there are none when the scope file is broken."""

    rows: tuple[TargetRow, ...] = ()
    problem: str = ""


def _mean(pick: Callable[[AnsweredRequest], float | None]) -> Callable[[Traffic], Measurement]:
    def measure(traffic: Traffic) -> Measurement:
        values = [value for answer in traffic.answered if (value := pick(answer)) is not None]
        return (math.fsum(values) / len(values), len(values)) if values else (None, 0)

    return measure


def _percentile(percent: int, pick: Callable[[AnsweredRequest], float | None]) -> Callable[[Traffic], Measurement]:
    """By nearest rank: the smallest value that at least ``percent`` of the values do not exceed."""

    def measure(traffic: Traffic) -> Measurement:
        values = sorted(value for answer in traffic.answered if (value := pick(answer)) is not None)
        return (values[(percent * len(values) + 99) // 100 - 1], len(values)) if values else (None, 0)

    return measure


def _answers_per_day(traffic: Traffic) -> Measurement:
    """Answers over the time since the oldest of them, of at least one day: a busy first hour is no busy day."""
    if not traffic.answered:
        return None, 0
    oldest = min(answer.at for answer in traffic.answered)
    days = max(1.0, (datetime.now(UTC) - oldest).total_seconds() / DAY_SECONDS)
    return len(traffic.answered) / days, len(traffic.answered)


TRAFFIC: Mapping[TargetKind, Mapping[str, Callable[[Traffic], Measurement]]] = MappingProxyType(
    {
        "latency": {
            "answer_seconds_p50": _percentile(50, lambda answer: answer.seconds),
            "answer_seconds_p95": _percentile(95, lambda answer: answer.seconds),
            "first_token_seconds_p95": _percentile(95, lambda answer: answer.first_text),
        },
        "cost": {
            "prompt_tokens_mean": _mean(lambda answer: answer.prompt_tokens),
            "completion_tokens_mean": _mean(lambda answer: answer.completion_tokens),
        },
        "business": {
            "thumbs_up_share": _mean(lambda answer: None if answer.vote is None else float(answer.vote == "up")),
            "abstention_rate": _mean(lambda answer: float(answer.abstained)),
            "answers_per_day": _answers_per_day,
        },
    }
)
"""Metrics that come from users' requests, by kind."""

_SHARES = ("thumbs_up_share", "abstention_rate")


def known_metrics() -> KnownMetrics:
    """Every metric that a target may name, with the values it can take."""
    known: dict[TargetKind, Mapping[str, tuple[float, float]]] = {
        "quality": {name: metric.scale for name, metric in standard_metrics().items()}
    }
    for kind, metrics in TRAFFIC.items():
        known[kind] = {name: (0.0, 1.0 if name in _SHARES else math.inf) for name in metrics}
    return known


def read_targets(db: Database, project_dir: Path, release: str, *, mode: str | None = None) -> TargetTable:
    """``measure_targets`` of the project's scope. A broken scope file is told in the table: it must not keep anybody
    from looking at a release."""
    try:
        scope = load_scope(project_dir)
    except LockgateError as error:
        return TargetTable(problem=str(error))
    return TargetTable() if scope is None else TargetTable(tuple(measure_targets(db, scope, release, mode=mode)))


def measure_targets(db: Database, scope: Scope, release: str, *, mode: str | None = None) -> list[TargetRow]:
    """One row a target, in the scope's order.

    Quality comes from the newest complete eval run of ``release`` that has the metric, with ``mode`` only from runs in
    the mode that the release answers in. The rest comes from the release's newest requests by users.
    """
    runs = list_release_runs(db, release)
    traffic = read_traffic(db, release)
    return [
        _quality_row(target, runs, mode) if target.kind == "quality" else _traffic_row(target, traffic)
        for target in scope.targets
    ]


def unmeasured(scope: Scope, why: str) -> list[TargetRow]:
    """The targets alone, where there is no release to measure."""
    return [_row(target, None, 0, why) for target in scope.targets]


def target_lines(rows: Sequence[TargetRow]) -> list[str]:
    """The rows as a table in plain text."""
    if not rows:
        return []
    cells = [("target", "metric", "bound", "measured", "n", "", "from")]
    cells += [
        (
            row.name,
            row.metric,
            row.bound,
            "not measured" if row.measured is None else f"{row.measured:.4g}",
            str(row.n) if row.n else "-",
            {True: "met", False: "MISSED", None: "-"}[row.met],
            row.source,
        )
        for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _quality_row(target: Target, runs: Sequence[EvalRunRecord], mode: str | None) -> TargetRow:
    for run in runs:
        each = run.aggregates.get("metrics", {}).get(target.metric)
        fits = run.aggregates.get("complete") and mode in (None, run.mode) and target.suite in ("", run.suite)
        if not fits or not each:
            continue
        missing = int(each.get("unscored") or 0)
        note = f", {missing} unscored count as worst" if missing else ""
        # The pessimistic value: a run must not reach a target by failing cases.
        return _row(target, each.get("pessimistic"), int(each["n"]) + missing, f"suite {run.suite}, run {run.id}{note}")
    suite = f"the suite {target.suite}" if target.suite else "a suite with this metric"
    return _row(target, None, 0, f"no complete run of {suite} on this release")


def _traffic_row(target: Target, traffic: Traffic) -> TargetRow:
    measure = TRAFFIC[target.kind].get(target.metric)
    if measure is None:
        return _row(target, None, 0, "no such metric; see lockgate scope lint")
    value, n = measure(traffic)
    failed = f"; {traffic.failed} failed requests left out" if traffic.failed else ""
    what = "votes on this release" if target.metric == "thumbs_up_share" else "requests to this release"
    return _row(target, value, n, (what if n else f"no {what} yet") + failed)


def _row(target: Target, measured: float | None, n: int, source: str) -> TargetRow:
    if measured is not None and not math.isfinite(measured):
        measured = None
    return TargetRow(
        name=target.name,
        kind=target.kind,
        metric=target.metric,
        bound=target.bound,
        measured=measured,
        n=n,
        met=None if measured is None else target.is_met(measured),
        source=source,
    )
