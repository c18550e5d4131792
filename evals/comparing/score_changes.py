"""What became of one case between two releases: which scores changed, and whether it fares better or worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from evals.metrics.metric import Metric
from evals.metrics.score import Score, Unscored

Kind = Literal["lost", "worse", "mixed", "better", "gained", "answer"]

KINDS: Mapping[Kind, str] = {
    "lost": "score lost",
    "worse": "worse",
    "mixed": "better and worse",
    "better": "better",
    "gained": "score gained",
    "answer": "other answer, same scores",
}
"""The worst first. ``lost``: it had a score and has none now; ``mixed``: better in one metric, worse in another."""


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """One metric of one case; None is unscored, with the reason beside it. ``change`` is in parts of the scale, more is
    better, and None when a side lacks a score."""

    metric: str
    old: float | None
    new: float | None
    change: float | None
    why_old: str = ""
    why_new: str = ""


def counts_as_change(metric: Metric) -> bool:
    """What an answer took differs every time, so it makes no case better or worse."""
    return metric.group != "performance"


def score_change(metric: Metric, old: Score, new: Score) -> ScoreChange | None:
    """None when nothing changed, or the metric does not apply to a side."""
    if isinstance(old, float) and isinstance(new, float):
        if old == new:
            return None
        low, high = metric.scale
        sign = 1.0 if metric.direction == "higher" else -1.0
        return ScoreChange(metric.name, old, new, sign * (new - old) / (high - low))
    if isinstance(old, float) and isinstance(new, Unscored):
        return ScoreChange(metric.name, old, None, None, why_new=new.reason)
    if isinstance(old, Unscored) and isinstance(new, float):
        return ScoreChange(metric.name, None, new, None, why_old=old.reason)
    return None


def kind_of(scores: tuple[ScoreChange, ...]) -> Kind:
    """``answer`` for a case without any change of a score."""
    if any(each.new is None for each in scores):
        return "lost"
    ups, downs = (any(sign * (each.change or 0.0) > 0 for each in scores) for sign in (1, -1))
    if downs:
        return "mixed" if ups else "worse"
    if ups:
        return "better"
    return "gained" if scores else "answer"


def count_kinds(kinds: Iterable[Kind]) -> dict[Kind, int]:
    counts = Counter(kinds)
    return {kind: counts[kind] for kind in KINDS}


def counts_in_words(counts: Mapping[Kind, int], cases: int) -> str:
    """Such as "2 worse, 1 better, 37 with the same scores"."""
    changed = {kind: count for kind, count in counts.items() if count and kind != "answer"}
    same = cases - sum(changed.values())
    return ", ".join([*(f"{count} {KINDS[kind]}" for kind, count in changed.items()), f"{same} with the same scores"])
