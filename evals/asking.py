"""Ask one case of a suite, rank pages for it and score both. What goes wrong ends up in the row, never in the air."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from evals.case import Case, Outcome
from evals.metrics.catalogue import resolve_metric
from evals.metrics.score import Score, Unscored
from lockgate.errors import LockgateError, Unavailable
from lockgate.ports import Asker, Retriever
from lockgate.types import Answer, AnswerMode, AskRequest, Finished, Message, Retrieval

T = TypeVar("T")

RETRIEVE_LIMIT = 50
"""Passages asked for per question: page rankings beyond ten pages need more passages than pages."""

BUSY_RETRIES = 5
"""A server that answers others too may be full for a moment; the case's own time-out still bounds the waiting."""


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """What came of something that may fail: a value, or an error's code and text."""

    value: T | None
    code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case of a run: what was asked, what came back and how it scored. ``code`` says why asking failed, if it did,
    as the code of its error."""

    outcome: Outcome
    scores: Mapping[str, Score]
    retrieval: Retrieval | None
    retrieved_with: str
    milliseconds: float
    code: str = ""

    @property
    def errors(self) -> list[str]:
        outcome = self.outcome
        return list(dict.fromkeys(text for text in (outcome.answer_error, outcome.retrieval_error) if text))

    def as_json(self) -> dict[str, Any]:
        case, answer, retrieval = self.outcome.case, self.outcome.answer, self.retrieval
        return {
            **case.model_dump(mode="json"),
            "answer": answer.text if answer else None,
            "abstained": answer.abstained if answer else None,
            "mode": answer.mode if answer else None,
            "trace_id": answer.trace_id if answer else None,
            "asked_as": answer.question if answer else None,
            "citations": [
                {"number": c.number, "path": c.path, "heading": list(c.heading), "version": c.version}
                for c in (answer.citations if answer else ())
            ],
            "uncited_sentences": answer.uncited_sentences if answer else None,
            "retrieved_with": self.retrieved_with,
            "ranking": list(self.outcome.pages) if self.outcome.pages is not None else None,
            "cosine": retrieval.cosine if retrieval else None,
            "rare_share": retrieval.rare_share if retrieval else None,
            "snapshot": answer.snapshot if answer else (retrieval.snapshot if retrieval else None),
            "scores": {name: value for name, value in self.scores.items() if isinstance(value, float)},
            "unscored": {name: value.reason for name, value in self.scores.items() if isinstance(value, Unscored)},
            "errors": self.errors,
            "milliseconds": round(self.milliseconds, 1),
        }


def page_ranking(retrieval: Retrieval) -> tuple[str, ...]:
    """Pages in the order in which their first passage appears."""
    return tuple(dict.fromkeys(passage.chunk.path for passage in retrieval.passages))


async def run_case(
    case: Case,
    asker: Asker,
    retriever: Retriever,
    *,
    metrics: Sequence[str],
    timeout: float,
    mode: AnswerMode | None = None,
) -> CaseRow:
    """Ask, search and score ``case``; each of the first two may take ``timeout`` seconds. Raises nothing."""
    start = time.perf_counter()
    asked = await ask_case(case, asker, timeout=timeout, mode=mode)
    milliseconds = (time.perf_counter() - start) * 1000
    answer, retrieval = asked.value, None
    question = case.question
    if case.history and answer is None:
        retrieval_error = f"the follow-up was not condensed: {asked.error}"
    else:
        # A follow-up is searched with the question that the chain made of it; the raw one means little alone.
        question = (answer.question or case.question) if case.history and answer else case.question
        found = await _attempt(
            asyncio.to_thread(retriever.retrieve, question, limit=RETRIEVE_LIMIT), timeout, "retrieval"
        )
        retrieval, retrieval_error = found.value, found.error
    outcome = Outcome(
        case=case,
        pages=page_ranking(retrieval) if retrieval else None,
        answer=answer,
        retrieval_error=retrieval_error,
        answer_error=asked.error,
    )
    scores = {name: _score(name, outcome) for name in metrics}
    return CaseRow(outcome, scores, retrieval, question, milliseconds, asked.code)


async def ask_case(case: Case, asker: Asker, *, timeout: float, mode: AnswerMode | None = None) -> Attempt[Answer]:
    """Ask ``case`` as an eval, without chance: temperature 0, seed 0. Waits for a full server. Raises nothing."""
    return await _attempt(_ask(asker, case, mode), timeout, "asking")


def _score(name: str, outcome: Outcome) -> Score:
    try:
        return resolve_metric(name).score(outcome)
    except Exception as error:
        return Unscored(f"{name} failed: {type(error).__name__}: {error}")


async def _attempt(work: Awaitable[T], timeout: float, what: str) -> Attempt[T]:
    try:
        # Not wait_for: in Python 3.11 it can lose a cancellation that comes together with the result.
        async with asyncio.timeout(timeout) as limit:
            return Attempt(await work)
    except TimeoutError as error:
        own = limit.expired()
        return Attempt(None, "timeout", f"{what} took longer than {timeout:g} s" if own else f"TimeoutError: {error}")
    except LockgateError as error:
        return Attempt(None, error.code, f"{error.code}: {error}")
    except Exception as error:
        # Whatever breaks in one case is that case's result; the other cases still have to be asked.
        return Attempt(None, "internal", f"{type(error).__name__}: {error}")


async def _ask(asker: Asker, case: Case, mode: AnswerMode | None) -> Answer:
    request = AskRequest(
        question=case.question,
        history=tuple(Message(turn.role, turn.content) for turn in case.history),
        origin="eval",
        mode=mode,
        temperature=0.0,
        seed=0,
    )
    for attempt in range(BUSY_RETRIES + 1):
        try:
            return await _finished(asker, request)
        except Unavailable as error:
            if error.retry_after is None or attempt == BUSY_RETRIES:
                raise
            await asyncio.sleep(error.retry_after)
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _finished(asker: Asker, request: AskRequest) -> Answer:
    events = asker.ask(request)
    close = getattr(events, "aclose", None)
    try:
        async for event in events:
            if isinstance(event, Finished):
                return event.answer
    finally:
        if close:
            await close()
    raise Unavailable("The stream ended without a finished answer.")
