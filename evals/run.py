"""Run a suite: ask every case, rank pages for it, score both. A case that fails is recorded, never dropped."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from evals.aggregate import ScoredCase, abstention_table, aggregate
from evals.case import Case, Outcome
from evals.metrics import METRICS, Score, Unscored
from evals.suite import SplitChoice, Suite
from lockgate.errors import LockgateError, Unavailable, UserError
from lockgate.ports import Asker, Progress, Retriever
from lockgate.types import Answer, AnswerMode, AskRequest, Finished, Message, Retrieval

T = TypeVar("T")

RETRIEVE_LIMIT = 50
"""Passages asked for per question: page rankings beyond ten pages need more passages than pages."""

BUSY_RETRIES = 5
"""A server that answers others too may be full for a moment; the case's own time-out still bounds the waiting."""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case of a run: what was asked, what came back and how it scored."""

    outcome: Outcome
    scores: Mapping[str, Score]
    retrieval: Retrieval | None
    retrieved_with: str
    milliseconds: float

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


@dataclass(frozen=True, slots=True)
class EvalRun:
    """One execution of a suite."""

    id: str
    suite: Suite
    mode: str
    split: SplitChoice
    limit: int | None
    started_at: datetime
    finished_at: datetime
    rows: tuple[CaseRow, ...]
    aggregates: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def snapshots(self) -> list[str]:
        """Snapshots that answered; more than one means that a sync moved the index during the run."""
        found = {row.outcome.answer.snapshot for row in self.rows if row.outcome.answer}
        found |= {row.retrieval.snapshot for row in self.rows if row.retrieval}
        return sorted(found)

    @property
    def scored_anything(self) -> bool:
        return any(each["n"] for each in self.aggregates["metrics"].values())

    def as_json(self) -> dict[str, Any]:
        definition = self.suite.definition
        return {
            "run": self.id,
            "suite": definition.name,
            "suite_version": definition.version,
            "suite_hash": self.suite.hash,
            "mode": self.mode,
            "split": self.split,
            "limit": self.limit,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "snapshots": self.snapshots,
            "metadata": dict(self.metadata),
            "aggregates": dict(self.aggregates),
            "cases": [row.as_json() for row in self.rows],
        }


async def run_suite(
    suite: Suite,
    asker: Asker,
    retriever: Retriever,
    *,
    mode: AnswerMode | None = None,
    split: SplitChoice = "all",
    limit: int | None = None,
    concurrency: int = 2,
    progress: Progress | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> EvalRun:
    """Ask the chosen cases, at most ``concurrency`` at once; ``mode`` None takes what the chain definition says.

    Raises UserError when the choice holds no case. What goes wrong within a case ends up in its row.
    """
    cases = suite.select(split, limit)
    if not cases:
        raise UserError(f"The suite {suite.name!r} has no case in split {split!r} (limit {limit}).")
    run_id = new_run_id()
    started = datetime.now(UTC)
    gate = asyncio.Semaphore(max(1, concurrency))
    done = 0

    async def one(case: Case) -> CaseRow:
        nonlocal done
        async with gate:
            row = await _run_case(suite, case, asker, retriever, mode=mode)
        done += 1
        if progress:
            progress("cases", done, len(cases))
        return row

    if progress:
        progress("cases", 0, len(cases))
    rows = tuple(await asyncio.gather(*(one(case) for case in cases)))
    return EvalRun(
        id=run_id,
        suite=suite,
        mode=mode or _mode_seen(rows),
        split=split,
        limit=limit,
        started_at=started,
        finished_at=datetime.now(UTC),
        rows=rows,
        aggregates=aggregate_rows(suite, rows, complete=len(rows) == len(suite.cases)),
        metadata=dict(metadata or {}),
    )


def new_run_id() -> str:
    """Sorts by time; safe as a folder name."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def page_ranking(retrieval: Retrieval) -> tuple[str, ...]:
    """Pages in the order in which their first passage appears."""
    return tuple(dict.fromkeys(passage.chunk.path for passage in retrieval.passages))


def aggregate_rows(suite: Suite, rows: Sequence[CaseRow], *, complete: bool) -> dict[str, Any]:
    """Every metric of the suite over all rows and per split, the abstention table, and the answer score.

    ``answer_score`` decides between the modes, so it exists only for a run over the whole suite.
    """
    by_split = {
        split: part for split in ("dev", "test") if (part := [row for row in rows if row.outcome.case.split == split])
    }
    metrics = _aggregate_all(suite, rows)
    return {
        "metrics": metrics,
        "by_split": {split: _aggregate_all(suite, part) for split, part in by_split.items()},
        "abstention": abstention_table([row.outcome for row in rows]),
        "abstention_by_split": {s: abstention_table([row.outcome for row in part]) for s, part in by_split.items()},
        "cases": len(rows),
        "failed": sum(bool(row.errors) for row in rows),
        "complete": complete,
        "answer_score": _answer_score(rows) if complete else None,
    }


def mode_score(aggregates: Mapping[str, Any]) -> float | None:
    """The number by which ``auto`` compares modes: mean token F1 over answerable cases, abstentions and errors as 0.

    None for a run over a part of the suite: its cases are not those of the run it would be compared with.
    """
    score = aggregates.get("answer_score")
    return float(score) if isinstance(score, int | float) else None


def _answer_score(rows: Sequence[CaseRow]) -> float | None:
    metric = METRICS["token_f1"]
    scored = [ScoredCase(row.outcome.case.answerable, metric.score(row.outcome)) for row in rows]
    total = aggregate(metric, scored)
    # A run in which nothing answered says nothing of a mode; as a zero it would make the other one look better.
    return total.pessimistic if total.n else None


def _aggregate_all(suite: Suite, rows: Sequence[CaseRow]) -> dict[str, Any]:
    return {
        name: asdict(
            aggregate(METRICS[name], [ScoredCase(row.outcome.case.answerable, row.scores[name]) for row in rows])
        )
        for name in suite.definition.metrics
    }


def _mode_seen(rows: Sequence[CaseRow]) -> str:
    modes = {row.outcome.answer.mode for row in rows if row.outcome.answer}
    return modes.pop() if len(modes) == 1 else "mixed" if modes else "unknown"


async def _run_case(
    suite: Suite, case: Case, asker: Asker, retriever: Retriever, *, mode: AnswerMode | None
) -> CaseRow:
    start = time.perf_counter()
    timeout = suite.definition.timeout_s
    answer, answer_error = await _attempt(_ask(asker, case, mode), timeout, "asking")
    milliseconds = (time.perf_counter() - start) * 1000
    retrieval: Retrieval | None = None
    question = case.question
    if case.history and answer is None:
        retrieval_error = f"the follow-up was not condensed: {answer_error}"
    else:
        # A follow-up is searched with the question that the chain made of it; the raw one means little alone.
        question = (answer.question or case.question) if case.history and answer else case.question
        retrieval, retrieval_error = await _attempt(
            asyncio.to_thread(retriever.retrieve, question, limit=RETRIEVE_LIMIT), timeout, "retrieval"
        )
    outcome = Outcome(
        case=case,
        pages=page_ranking(retrieval) if retrieval else None,
        answer=answer,
        retrieval_error=retrieval_error,
        answer_error=answer_error,
    )
    scores = {name: _score(name, outcome) for name in suite.definition.metrics}
    return CaseRow(outcome, scores, retrieval, question, milliseconds)


def _score(name: str, outcome: Outcome) -> Score:
    try:
        return METRICS[name].score(outcome)
    except Exception as error:
        return Unscored(f"{name} failed: {type(error).__name__}: {error}")


async def _attempt(work: Awaitable[T], timeout: float, what: str) -> tuple[T | None, str]:
    """(result, "") or (None, why not)."""
    try:
        # Not wait_for: in Python 3.11 it can lose a cancellation that comes together with the result.
        async with asyncio.timeout(timeout) as limit:
            return await work, ""
    except TimeoutError as error:
        own = limit.expired()
        return None, f"{what} took longer than {timeout:g} s" if own else f"TimeoutError: {error}"
    except LockgateError as error:
        return None, f"{error.code}: {error}"
    except Exception as error:
        # Whatever breaks in one case is that case's result; the other cases still have to be asked.
        return None, f"{type(error).__name__}: {error}"


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
