"""The judge of a run: the settings' own, with the rubrics that the run's metrics are of, its calls kept and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.metrics.metric import Metric
from evals.runs.call_cache import CountedCalls
from lockgate.errors import UserError
from lockgate.settings import Settings

if TYPE_CHECKING:
    from evals.judge.judge import ModelJudge


def needs_judge(metrics: Sequence[Metric]) -> bool:
    return any("judge" in metric.needs for metric in metrics)


def open_run_judge(settings: Settings, metrics: Sequence[Metric], calls: CountedCalls | None) -> ModelJudge:
    """Asks nothing yet. Raises UserError when the settings name no judge, NotFound for a rubric that is not there."""
    from evals.judge.judge import open_judge
    from evals.judge.rubric import find_rubric
    from evals.metrics.judged import rubrics_of
    from evals.metrics.ragas import told_by_ragas

    try:
        judge = open_judge(settings, cache=calls)
    except UserError as error:
        raise UserError(error.message, hint=f"{error.hint} Or leave the judged metrics out: --tier offline.") from None
    for label, content_hash in told_by_ragas(metrics).items():
        judge.prompts.register(label, content_hash)
    for name in rubrics_of(metrics):
        rubric = find_rubric(settings.project_dir, name)
        judge.prompts.register(rubric.key, rubric.hash)
    return judge
