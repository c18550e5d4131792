"""What settings and variants are compared by: one number a case, the share of each in the mean of several metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.case import Case
from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import Metric
from evals.metrics.score import NotApplicable, Score
from evals.runs.row import Row
from evals.statistics.difference import Difference, paired_difference
from evals.statistics.pairs import MetricShape, Pair
from lockgate.errors import UserError

GROUPS = ("retrieval", "answer", "abstention")
"""Groups whose metrics look at the case when they say whether they apply, and not at what came back."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The mean of ``metrics``, each turned so that more is better and stretched to 0 to 1.

    Every metric weighs the same, however many cases it applies to; one that is balanced weighs its two halves the same.
    A case that a metric should have scored and did not counts as the worst.
    """

    metrics: tuple[Metric, ...]

    @property
    def names(self) -> list[str]:
        return [metric.name for metric in self.metrics]

    def weights(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """metric: case: weight, so that the mean over cases of the weighted scores is the objective.

        ``rows`` are those of the default: what it is not asked, nothing else is.
        """
        found = {}
        for metric in self.metrics:
            due = [row for row in rows if not isinstance(row.score(metric), NotApplicable)]
            sizes = {half: sum(row.answerable == half for row in due) for half in (True, False)}
            halves = metric.aggregation == "balanced" and all(sizes.values())
            found[metric.name] = {
                row.case: len(rows) / len(self.metrics) / (2 * sizes[row.answerable] if halves else len(due))
                for row in due
            }
        return found

    def values(
        self, rows: Sequence[Row], weights: Mapping[str, Mapping[str, float]], *, missing: float = 0.0
    ) -> dict[str, float]:
        """case: its share; the mean of them is the objective. ``missing`` is what a lost score counts as, 0 to 1."""
        return {
            row.case: math.fsum(
                weights[metric.name][row.case] * _share(metric, row.score(metric), missing)
                for metric in self.metrics
                if row.case in weights[metric.name]
            )
            for row in rows
        }

    def value(self, rows: Sequence[Row], weights: Mapping[str, Mapping[str, float]]) -> float:
        return math.fsum(self.values(rows, weights).values()) / len(rows)

    def difference(self, old: Sequence[Row], new: Sequence[Row]) -> Difference:
        """New minus old over the same cases, with its interval. Weights are those of the old rows.

        A lost score counts against the new side: as the best of the old one, as the worst of the new one.
        """
        weights = self.weights(old)
        before, after = self.values(old, weights, missing=1.0), self.values(new, weights)
        most = max((sum(each.get(row.case, 0.0) for each in weights.values()) for row in old), default=1.0)
        shape = MetricShape("objective", (0.0, max(most, 1e-9) * (1 + 1e-9)), "higher")
        pairs = [Pair(row.case, row.cluster, {}, after[row.case], before[row.case]) for row in old]
        return paired_difference(pairs, shape)


def read_objective(names: Sequence[str], cases: Sequence[Case], *, answers: bool = True) -> Objective:
    """The objective of ``names``, else the default one for ``cases``: ndcg@10, token_f1 and abstention_balanced, as far
    as the cases can tell. ``answers`` False leaves the answers' words out.

    Raises UserError for a metric that needs a judge or time, or that not all settings would be scored by alike.
    """
    if not names:
        by_page = any(case.pages for case in cases)
        names = ["ndcg@10" if by_page else "ndcg@10[gold=chunks]", *(["token_f1"] if answers else [])]
        if any(not case.answerable for case in cases):
            names.append("abstention_balanced")
    metrics = tuple(_checked(name) for name in dict.fromkeys(names))
    if unusable := [metric.name for metric in metrics if not answers and metric.group == "answer"]:
        raise UserError(f"--metric {unusable[0]}: looks at answers, and none are made here.")
    return Objective(metrics)


def reported_metrics(metrics: Sequence[Metric], objective: Objective) -> tuple[Metric, ...]:
    """The objective's metrics, then what else of the suite's ``metrics`` an answer alone can be scored by."""
    groups = (*GROUPS, "citations")
    others = [each for each in metrics if each.group in groups and not each.needs and each.passes == 1]
    return tuple({each.name: each for each in (*objective.metrics, *others)}.values())


def _checked(name: str) -> Metric:
    try:
        metric = resolve_metric(name)
    except ValueError as error:
        raise UserError(f"--metric {name[:80]}: {error}.") from None
    if metric.group not in GROUPS or metric.needs or metric.passes != 1:
        raise UserError(
            f"--metric {metric.name}: cannot be tuned for.",
            hint=f"Metrics of the groups {', '.join(GROUPS)} can, if they need neither judge nor embedder.",
        )
    return metric


def _share(metric: Metric, score: Score, missing: float) -> float:
    low, high = metric.scale
    if not isinstance(score, float):
        return missing
    share = (score - low) / (high - low)
    return share if metric.direction == "higher" else 1 - share
