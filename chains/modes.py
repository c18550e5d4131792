"""Which answer mode `mode: auto` takes: the one that scored better on the chain's suite, with this very model."""

from __future__ import annotations

from typing import Any

from chains.definition import ChainDefinition
from lockgate.store.database import Database
from lockgate.store.eval_runs import latest_eval_run
from lockgate.types import AnswerMode

SCORE = "answer_score"
"""The aggregate of an eval run by which modes are compared; absent from a run over a part of the suite."""


def better_mode(db: Database, definition: ChainDefinition, model: str) -> AnswerMode:
    """Extractive, unless both modes have a score for this chain and model and generative's is higher."""
    extractive = _score(db, definition, "extractive", "")
    generative = _score(db, definition, "generative", model)
    if extractive is None or generative is None or generative <= extractive:
        return "extractive"
    return "generative"


def _score(db: Database, definition: ChainDefinition, mode: AnswerMode, model: str) -> float | None:
    run: Any = latest_eval_run(db, definition.suite, definition.name, mode, model)
    score = run.aggregates.get(SCORE) if run else None
    return float(score) if isinstance(score, int | float) and score == score else None  # noqa: PLR0124 - NaN
