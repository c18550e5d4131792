"""Which answer mode `mode: auto` takes: the one that scored better on the chain's suite, with this very model."""

from __future__ import annotations

import math
from typing import Any

from chains.definition import ChainDefinition
from lockgate.store.database import Database
from lockgate.store.eval_runs import EvalRunRecord, recent_eval_runs
from lockgate.types import AnswerMode

SCORE = "answer_score"
"""The aggregate of an eval run by which modes are compared; absent from a run over a part of the suite."""


def better_mode(db: Database, definition: ChainDefinition, model: str) -> AnswerMode:
    """Extractive, unless the same suite has a score for both modes with this model and generative's is higher."""
    generative = _scored(db, definition, "generative", model)
    extractive = _scored(db, definition, "extractive", "")
    if not generative or not extractive or generative[0].suite_hash != extractive[0].suite_hash:
        return "extractive"
    return "generative" if generative[1] > extractive[1] else "extractive"


def _scored(
    db: Database, definition: ChainDefinition, mode: AnswerMode, model: str
) -> tuple[EvalRunRecord, float] | None:
    """The newest run of that mode that has a score, and its score."""
    for run in recent_eval_runs(db, definition.suite, definition.name, mode, model):
        score: Any = run.aggregates.get(SCORE)
        if isinstance(score, int | float) and math.isfinite(score):
            return run, float(score)
    return None
