"""Metrics that ask a judge, as suites name them; what they ask and how is in ``evals.judge``.

``rubric:NAME`` is the level that the rubric ``evals/rubrics/NAME.md`` of the project gives an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evals.case import Outcome
from evals.judge.metrics import JUDGED_METRICS, JudgedMetric, rubric_metric
from evals.judge.rubric import find_rubric
from evals.judge.sample import JudgedSample, sample_of
from evals.metrics.metric import Metric, MetricFamily, Tools, metric
from evals.metrics.score import Score

RUBRIC = "rubric:"

_RUBRIC_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


async def _judge(judged: JudgedMetric, outcome: Outcome, tools: Tools) -> Score:
    sample = sample_of(outcome)
    return await judged.score(sample, tools.judge) if isinstance(sample, JudgedSample) else sample


def _family(judged: JudgedMetric) -> MetricFamily:
    async def measure(outcome: Outcome, tools: Tools) -> Score:
        return await _judge(judged, outcome, tools)

    measure.__doc__ = judged.function.__doc__
    return metric(
        judged.name,
        "judged",
        scale=judged.scale,
        direction=judged.direction,
        binary=judged.binary,
        needs=("judge",),
        tier="judged",
        calls=judged.calls,
    )(measure)


faithfulness = _family(JUDGED_METRICS["faithfulness"])
answer_relevance = _family(JUDGED_METRICS["answer_relevance"])
context_precision = _family(JUDGED_METRICS["context_precision"])
context_recall = _family(JUDGED_METRICS["context_recall"])
correctness = _family(JUDGED_METRICS["correctness"])


def family(name: str) -> MetricFamily:
    """The metric of the rubric ``name``, looked up in the judge's project when it is used.

    Raises ValueError for what cannot be the name of a rubric.
    """
    if not _RUBRIC_NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is not the name of a rubric")

    async def measure(outcome: Outcome, tools: Tools) -> Score:
        """The level that a rubric of the project gives the answer, 1 to 5 as 0 to 1.

        Source: the rubric.
        """
        rubric = find_rubric(tools.judge.prompts.project_dir, name)
        return await _judge(rubric_metric(rubric), outcome, tools)

    return metric(f"{RUBRIC}{name}", "judged", needs=("judge",), tier="judged", calls=1)(measure)


def rubrics_of(metrics: Sequence[Metric]) -> list[str]:
    """The names of the rubrics that the metrics are of."""
    return [each.family.removeprefix(RUBRIC) for each in metrics if each.family.startswith(RUBRIC)]
