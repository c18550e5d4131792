"""Whether a rollout has to stop: the new release's arm beside the current one's, judged by the rollout's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from lockgate.store.arms import ArmFigures, ArmName, arm_figures, earlier_figures
from lockgate.store.channels import Rollout
from lockgate.store.database import Database
from serving.rollout import BOUNDS
from serving.rollout_statistics import difference_of_rates, ratio_of_times

Metric = Literal["error_rate", "abstention_rate", "latency_ratio"]

NEEDED = 5
"""Requests that each arm must have before they are compared."""

_WORDS: Mapping[Metric, str] = {
    "error_rate": "error rate",
    "abstention_rate": "abstention rate",
    "latency_ratio": "time to answer",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of both arms. ``low`` and ``high`` are the limits of how much worse the new one is: a difference of
    rates, or a ratio of geometric mean times; None, like the values, while an arm has too few requests."""

    metric: Metric
    bound: float
    new: float | None = None
    old: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def worse(self) -> bool:
        """Worse than the bound allows, with confidence."""
        return self.low is not None and self.low > self.bound


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a rollout stops. ``text`` is for the channel's history, ``evidence`` holds the figures behind it."""

    text: str
    evidence: Mapping[str, Any]


def read_arms(db: Database, rollout: Rollout, release: str, channel: str) -> dict[ArmName, ArmFigures]:
    """The figures of both arms; ``release`` is the current one.

    Where its own arm is still too small to compare with, such as beside a share of 95 percent, what users asked it in
    the same channel before the rollout stands in.
    """
    figures = arm_figures(db, rollout.id)
    if figures["current"].answered < NEEDED:
        before = earlier_figures(db, release, channel, datetime.fromisoformat(rollout.started_at))
        if before.answered >= NEEDED:
            figures["current"] = before
    return figures


def compare_arms(figures: Mapping[ArmName, ArmFigures], bounds: Mapping[str, float]) -> list[Comparison]:
    """Every metric that has a bound, in the order in which it is judged."""
    new, old = figures["candidate"], figures["current"]
    limits = {**BOUNDS, **bounds}
    return [
        _rates("error_rate", (new.errors, new.n), (old.errors, old.n), limits["error_rate"]),
        _rates(
            "abstention_rate", (new.abstained, new.answered), (old.abstained, old.answered), limits["abstention_rate"]
        ),
        _times(new, old, limits["latency_ratio"]),
    ]


def judge_rollout(figures: Mapping[ArmName, ArmFigures], bounds: Mapping[str, float]) -> StopReason | None:
    """Why the rollout must stop now; None while nothing says so."""
    new = figures["candidate"]
    if new.n >= NEEDED and new.errors == new.n:
        return _reason(f"all {new.n} requests to the new release failed", figures, bounds, "error_rate")
    for found in compare_arms(figures, bounds):
        if found.worse:
            return _reason(_said(found, figures), figures, bounds, found.metric)
    return None


def describe_arm(arm: ArmFigures) -> dict[str, Any]:
    """The figures as the history and the report keep them; times in milliseconds."""
    return {
        "n": arm.n,
        "errors": arm.errors,
        "error_rate": arm.error_rate,
        "answered": arm.answered,
        "abstained": arm.abstained,
        "abstention_rate": arm.abstention_rate,
        "p50_ms": arm.p50,
        "p95_ms": arm.p95,
        "earlier": arm.earlier,
    }


def describe_comparison(found: Comparison) -> dict[str, Any]:
    return {**asdict(found), "worse": found.worse}


def _rates(metric: Metric, new: tuple[int, int], old: tuple[int, int], bound: float) -> Comparison:
    if min(new[1], old[1]) < NEEDED:
        return Comparison(metric, bound)
    low, high = difference_of_rates(new, old)
    return Comparison(metric, bound, new[0] / new[1], old[0] / old[1], low, high)


def _times(new: ArmFigures, old: ArmFigures, bound: float) -> Comparison:
    if min(len(new.latencies), len(old.latencies)) < NEEDED:
        return Comparison("latency_ratio", bound)
    ratio, low, high = ratio_of_times(new.latencies, old.latencies)
    return Comparison("latency_ratio", bound, ratio, 1.0, low, high)


def _reason(
    text: str, figures: Mapping[ArmName, ArmFigures], bounds: Mapping[str, float], metric: Metric
) -> StopReason:
    evidence = {
        "kind": "rollout",
        "metric": metric,
        "arms": {name: describe_arm(arm) for name, arm in figures.items()},
        "comparisons": [describe_comparison(found) for found in compare_arms(figures, bounds)],
    }
    return StopReason(text, evidence)


def _said(found: Comparison, figures: Mapping[ArmName, ArmFigures]) -> str:
    new, old = figures["candidate"], figures["current"]
    name, low = _WORDS[found.metric], found.low or 0.0
    whose = "the current one's before the rollout" if old.earlier else "the current one's"
    if found.metric == "latency_ratio":
        return (
            f"the new release's {name} is {found.new or 0:.2f} times {whose} ({len(new.latencies)} and "
            f"{len(old.latencies)} answers), with confidence at least {low:.2f} times; the bound is {found.bound:g}"
        )
    parts = (
        ((new.errors, new.n), (old.errors, old.n))
        if found.metric == "error_rate"
        else ((new.abstained, new.answered), (old.abstained, old.answered))
    )
    shares = [f"{100 * count / n:.1f} % ({count} of {n})" for count, n in parts]
    return (
        f"the new release's {name} is {shares[0]}, {whose} {shares[1]}: with confidence at least {100 * low:.1f} "
        f"points worse; the bound is {100 * found.bound:g} points"
    )
