"""Ask one case of a suite and rank pages for it. What goes wrong ends up in the result, never in the air."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from evals.case import Case, Outcome
from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import NO_TOOLS, Tools
from evals.metrics.score import Score
from evals.probes.probe import AttackProbe, Probe, Probed
from evals.runs.answer_cache import AnswerCache, KeptAnswer
from evals.runs.budget import BudgetSpent
from evals.runs.limiter import AdaptiveLimit
from evals.runs.model_calls import ModelCalls
from lockgate.errors import LockgateError, Unavailable
from lockgate.ports import Asker, Retriever
from lockgate.types import Answer, AnswerMode, AskRequest, Finished, Message, Retrieval

T = TypeVar("T")

RETRIEVE_LIMIT = 50
"""Passages asked for per question: page rankings beyond ten pages need more passages than pages."""

SHOWN = 5
"""Passages that an answer is taken to be made from, where the release does not say how many."""

BUSY_TRIES = 100
BUSY_SECONDS = 300.0
"""How long a case waits for a server that is full."""


class Probes(Protocol):
    """Tries the guardrails of the release that is measured; ``evals.probes.prober`` has one."""

    async def probe(self, probe: Probe) -> Probed: ...

    async def judge(self, shown: str) -> Probed: ...


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """What came of something that may fail: a value, or an error's code and text. ``milliseconds`` is how long it took,
    waiting for a full server left out."""

    value: T | None
    code: str = ""
    error: str = ""
    milliseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asking:
    """How cases are asked.

    Once, without chance: temperature 0, seed 0. Repeatedly (``repeated``), by the release's own temperature, the seed
    being the repeat. ``shown`` is how many passages the release puts before its model. ``take_calls`` is told before a
    question how many ``calls`` of a model it may take, and raises BudgetSpent. ``cache`` is for answers that are asked
    once. ``probes`` is for the cases that probe; without it they fail.
    """

    timeout: float
    mode: AnswerMode | None = None
    repeated: bool = False
    shown: int = SHOWN
    patience: float = BUSY_SECONDS
    limit: AdaptiveLimit | None = None
    cache: AnswerCache | None = None
    take_calls: Callable[[int], None] | None = None
    calls: ModelCalls = field(default_factory=ModelCalls)
    probes: Probes | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A case that was asked: what came back, and what of the search the outcome does not hold."""

    outcome: Outcome
    retrieval: Retrieval | None
    retrieved_with: str
    cached: bool = False


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case asked and scored on its own. ``code`` says why asking failed, if it did, as the code of its error."""

    outcome: Outcome
    scores: Mapping[str, Score]
    code: str = ""


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
    tools: Tools = NO_TOOLS,
) -> CaseRow:
    """Ask, search and score ``case``; each of the first two may take ``timeout`` seconds. Raises nothing."""
    asked = await ask_and_search(case, asker, retriever, Asking(timeout, mode, patience=timeout))
    scores = {name: await resolve_metric(name).measure(asked.outcome, tools) for name in metrics}
    return CaseRow(asked.outcome, scores, asked.outcome.answer_code)


async def ask_and_search(case: Case, asker: Asker, retriever: Retriever, how: Asking, *, repeat: int = 0) -> Asked:
    """Ask ``case`` and search for it.

    A kept answer counts only while the search still finds what it was made from. Raises BudgetSpent when no call is
    left; whatever else goes wrong is in the outcome.
    """
    if case.probe is not None:
        return await _probe(case, case.probe, asker, how, repeat)
    kept = how.cache.get(case, how.mode) if how.cache else None
    if kept is not None:
        attempt = Attempt(kept.answer, milliseconds=kept.milliseconds)
        asked = await _search(case, attempt, retriever, how)
        if asked.outcome.chunks is not None and kept.chunks == asked.outcome.chunks[: how.shown]:
            return replace(asked, cached=True)
    attempt = await ask_case(case, asker, how, repeat=repeat)
    asked = await _search(case, attempt, retriever, how)
    if how.cache and attempt.value is not None and asked.outcome.chunks is not None:
        kept = KeptAnswer(attempt.value, attempt.milliseconds, asked.outcome.chunks[: how.shown])
        how.cache.put(case, how.mode, kept)
    return asked


async def _probe(case: Case, probe: Probe, asker: Asker, how: Asking, repeat: int) -> Asked:
    if how.probes is None:
        why = "there is no release here whose guardrails could be probed"
        return Asked(Outcome(case, None, None, answer_error=why), None, "")
    if not isinstance(probe, AttackProbe):
        tried = await _attempt(how.probes.probe(probe), how.timeout, "probing")
        outcome = Outcome(
            case, None, None, answer_error=tried.error, answer_code=tried.code, milliseconds=tried.milliseconds
        )
        return Asked(replace(outcome, probed=tried.value), None, "")
    asked = await ask_case(case, asker, how, repeat=repeat)
    outcome = Outcome(
        case, None, asked.value, answer_error=asked.error, answer_code=asked.code, milliseconds=asked.milliseconds
    )
    if asked.value is None and not outcome.refused:
        return Asked(outcome, None, "")
    # What the policy says to somebody whom it refuses is shown too.
    judged = await _attempt(how.probes.judge(asked.value.text if asked.value else asked.error), how.timeout, "judging")
    return Asked(replace(outcome, probed=judged.value, answer_error=judged.error), None, "")


async def ask_case(case: Case, asker: Asker, how: Asking, *, repeat: int = 0) -> Attempt[Answer]:
    """Ask ``case`` as an eval, again when the server is full. Raises BudgetSpent, else nothing."""
    request = AskRequest(
        question=case.question,
        history=tuple(Message(turn.role, turn.content) for turn in case.history),
        origin="eval",
        mode=how.mode,
        temperature=None if how.repeated else 0.0,
        seed=repeat,
    )
    limit = how.limit or AdaptiveLimit(1)
    give_up = time.monotonic() + how.patience
    if how.take_calls and (calls := how.calls.of(case)):
        how.take_calls(calls)
    for tried in range(1, BUSY_TRIES + 1):
        async with limit.slot() as slot:
            busy, attempt = await _ask_once(asker, request, how.timeout)
            if busy is None or tried == BUSY_TRIES or time.monotonic() + busy > give_up:
                return attempt
            # At least a moment, longer each time: a server that says "at once" and means it is asked again soon enough.
            limit.busy(slot, max(busy, min(1.0, 0.01 * 2**tried)))
    raise AssertionError("unreachable: the last try returns")


async def _ask_once(asker: Asker, request: AskRequest, timeout: float) -> tuple[float | None, Attempt[Answer]]:
    """(seconds to wait when the server is only full, what came of it)."""
    busy: float | None = None

    async def ask() -> Answer:
        nonlocal busy
        try:
            return await _finished(asker, request)
        except Unavailable as error:
            busy = None if error.retry_after is None else float(error.retry_after)
            raise

    attempt = await _attempt(ask(), timeout, "asking")
    return busy, attempt


async def _search(case: Case, asked: Attempt[Answer], retriever: Retriever, how: Asking) -> Asked:
    answer, question = asked.value, case.question
    if case.history and answer is None:
        found: Attempt[Retrieval] = Attempt(None, asked.code, f"the follow-up was not condensed: {asked.error}")
    else:
        # A follow-up is searched with the question that the chain made of it; the raw one means little alone.
        question = (answer.question or case.question) if case.history and answer else case.question
        search = asyncio.to_thread(retriever.retrieve, question, limit=RETRIEVE_LIMIT)
        found = await _attempt(search, how.timeout, "retrieval")
    passages = found.value.passages if found.value else None
    outcome = Outcome(
        case=case,
        pages=page_ranking(found.value) if found.value else None,
        answer=answer,
        retrieval_error=found.error,
        answer_error=asked.error,
        chunks=None if passages is None else tuple(passage.chunk.id for passage in passages),
        passages=None if passages is None else tuple(passage.chunk.text for passage in passages[: how.shown]),
        answer_code=asked.code,
        milliseconds=asked.milliseconds if answer else None,
    )
    return Asked(outcome, found.value, question)


async def _attempt(work: Awaitable[T], timeout: float, what: str) -> Attempt[T]:
    start = time.perf_counter()
    value: T | None = None
    code = error_text = ""
    try:
        # Not wait_for: in Python 3.11 it can lose a cancellation that comes together with the result.
        async with asyncio.timeout(timeout) as limit:
            value = await work
    except BudgetSpent:
        raise
    except TimeoutError as error:
        own = limit.expired()
        code = "timeout"
        error_text = f"{what} took longer than {timeout:g} s" if own else f"TimeoutError: {error}"
    except LockgateError as error:
        code, error_text = error.code, f"{error.code}: {error}"
    except Exception as error:
        # Whatever breaks in one case is that case's result; the other cases still have to be asked.
        code, error_text = "internal", f"{type(error).__name__}: {error}"
    return Attempt(value, code, error_text, (time.perf_counter() - start) * 1000)


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
