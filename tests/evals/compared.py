"""Rows of made-up runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evals.runs.row import Row, row_from_json

BLANK: Mapping[str, Any] = {
    "format": 1,
    "repeat": 0,
    "answerable": True,
    "split": "test",
    "tags": [],
    "cluster": "",
    "slices": {},
    "history": [],
    "reference": "",
    "pages": [],
    "chunks": [],
    "abstained": False,
    "mode": "extractive",
    "finish_reason": "stop",
    "asked_as": None,
    "citations": [],
    "uncited_sentences": 0,
    "ranking": [],
    "chunk_ranking": [],
    "passages": [],
    "retrieved_with": "",
    "searched": None,
    "cosine": None,
    "rare_share": None,
    "tool_calls": None,
    "unscored": {},
    "not_applicable": {},
    "answer_error": "",
    "retrieval_error": "",
    "code": "",
    "milliseconds": 1.0,
    "prompt_tokens": 1,
    "completion_tokens": 1,
    "cached": False,
    "trace_id": None,
    "snapshot": "s",
    "release": "r",
}


def row(case: str, scores: Mapping[str, float], answer: str | None = "same", **changes: Any) -> Row:
    """A stored row; what is not said is blank."""
    body = {**BLANK, "case": case, "question": f"{case}?", "answer": answer, "scores": dict(scores), **changes}
    return row_from_json(body, where="test")
