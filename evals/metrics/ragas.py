"""Metrics of Ragas by name, ``ragas:faithfulness``. What they ask and how is in ``evals.ragas_adapter``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from evals.case import Outcome
from evals.judge.sample import JudgedSample, sample_of
from evals.metrics.metric import Metric, MetricFamily, Need, Tools, metric
from evals.metrics.naming import format_name
from evals.metrics.score import Score
from lockgate.errors import LockgateError

PREFIX = "ragas:"


class RagasParameters(BaseModel):
    """Whatever the metric's own class takes; it is checked when Ragas is there."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers_in_names(cls, values: Any) -> Any:
        """In a metric's name, 3 and true are written like words."""
        return {key: _plain(value) for key, value in values.items()} if isinstance(values, dict) else values


def family(name: str) -> MetricFamily:
    """The metric ``name`` of ``ragas.metrics.collections``. Raises ValueError for one that there is not."""
    from evals.ragas_adapter import find_spec, open_ragas

    try:
        spec = find_spec(name)
    except LockgateError as error:
        raise ValueError(str(error)) from None

    async def measure(outcome: Outcome, tools: Tools, parameters: RagasParameters) -> Score:
        sample = sample_of(outcome)
        if not isinstance(sample, JudgedSample):
            return sample
        label = format_name(PREFIX + name, parameters)
        # In a thread: importing Ragas takes seconds.
        judged = await asyncio.to_thread(open_ragas, name, _chosen(parameters), tools.embedder, label=label)
        return await judged.score(sample, tools.judge)

    measure.__doc__ = f"{spec.class_name} of Ragas."
    needs: tuple[Need, ...] = (*(("judge",) if spec.model else ()), *(("embedder",) if spec.embeddings else ()))
    return metric(
        PREFIX + name,
        "ragas",
        scale=spec.scale,
        direction=spec.direction,
        needs=needs,
        tier="judged" if spec.model else "offline",
        calls=spec.calls,
        parameters=RagasParameters,
    )(measure)


def told_by_ragas(metrics: Sequence[Metric]) -> dict[str, str]:
    """What a judge is told by through these metrics: name and hash of each of Ragas."""
    from evals.ragas_adapter import told_by

    found = [
        each for each in metrics if each.family.startswith(PREFIX) and isinstance(each.parameters, RagasParameters)
    ]
    return dict(told_by(each.family, _chosen(each.parameters), each.name) for each in found)


def _chosen(parameters: BaseModel | None) -> dict[str, object]:
    return parameters.model_dump(mode="json") if parameters else {}


def _plain(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, int | float | bool) else value
