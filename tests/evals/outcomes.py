"""Cases, answers and outcomes for tests of metrics."""

from __future__ import annotations

from typing import Any

from evals.case import Case, Outcome
from evals.metrics.catalogue import Spec, resolve_metric
from evals.metrics.metric import NO_TOOLS, Tools
from evals.metrics.score import Score
from lockgate.types import Answer, Citation, Usage

GOLD = ("a.md", "b.md")


def make_case(*, answerable: bool = True, **keys: Any) -> Case:
    gold = {"pages": GOLD, "reference": "The lock file, port 8000"} if answerable else {}
    return Case(**{"id": "x", "question": "q", "answerable": answerable, "split": "dev", **gold, **keys})


def make_answer(text: str = "", pages: tuple[str, ...] = (), *, abstained: bool = False, **keys: Any) -> Answer:
    citations = tuple(Citation(n, f"c{n}", "docs", page, page, (), "v", "t") for n, page in enumerate(pages, 1))
    return Answer(text, citations, abstained, **{"mode": "extractive", "trace_id": "t", "snapshot": "s", **keys})


def answered(text: str, **keys: Any) -> Outcome:
    """An outcome with an answer; ``case`` and whatever an outcome has can be given."""
    return Outcome(**{"case": make_case(), "pages": (), "answer": make_answer(text, usage=Usage(10, 5)), **keys})


def failed(**keys: Any) -> Outcome:
    return Outcome(
        **{
            "case": make_case(),
            "pages": None,
            "answer": None,
            "retrieval_error": "no index",
            "answer_error": "model gone",
            "answer_code": "unavailable",
            **keys,
        }
    )


def score(spec: Spec, outcome: Outcome, tools: Tools = NO_TOOLS) -> Score:
    return resolve_metric(spec).score(outcome, tools)
