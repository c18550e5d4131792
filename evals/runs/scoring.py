"""Score answers that are there already: rows of a run, or a file of answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from evals.case import Case, Outcome, ToolCall
from evals.metrics.metric import Metric, Tier, Tools, measure_all
from evals.metrics.repeats import measured_metrics
from evals.runs.asking import Asked
from evals.runs.row import Row, make_row
from evals.runs.run import EvalRun, aggregates_of, compared, mode_seen
from evals.suite import Suite
from lockgate.content import ContentModel, read_jsonl
from lockgate.errors import UserError
from lockgate.ports import Progress
from lockgate.types import Answer, AnswerMode, Citation, Usage

NO_ANSWER = "no answer is stored for this case"

AT_ONCE = 64
"""Rows that are scored at once: a judge's own bound says how many calls are made."""


class StoredCitation(ContentModel):
    path: str
    chunk: str = ""


class StoredCall(ContentModel):
    name: str = Field(min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)


class StoredAnswer(ContentModel):
    """One line of a file of answers. ``answer`` None says that asking failed, ``error`` why.

    ``passages`` are the texts that the answer was made from, ``ranking`` and ``chunks`` the pages and chunk ids that
    were found, best first. What is left out is not known, and metrics that need it leave the case unscored.
    """

    case: str
    answer: str | None
    error: str = ""
    repeat: int = Field(default=0, ge=0)
    abstained: bool = False
    refused: bool = False
    mode: AnswerMode = "generative"
    passages: tuple[str, ...] | None = None
    ranking: tuple[str, ...] | None = None
    chunks: tuple[str, ...] | None = None
    citations: tuple[StoredCitation, ...] = ()
    tool_calls: tuple[StoredCall, ...] | None = None
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _refused_is_no_answer(self) -> StoredAnswer:
        if self.refused and self.answer is not None:
            raise ValueError("a refusal by the policy has no answer: give null")
        return self

    def outcome(self, case: Case) -> Outcome:
        answer = None
        if self.answer is not None:
            answer = Answer(
                text=self.answer,
                citations=tuple(
                    Citation(number, each.chunk, "", each.path, each.path, (), "", "")
                    for number, each in enumerate(self.citations, start=1)
                ),
                abstained=self.abstained,
                mode=self.mode,
                trace_id="",
                snapshot="",
                usage=Usage(self.prompt_tokens, self.completion_tokens),
            )
        calls = self.tool_calls
        return Outcome(
            case=case,
            pages=self.ranking,
            answer=answer,
            retrieval_error="" if self.ranking is not None else "the file holds no ranking",
            answer_error="" if answer else (self.error or "the file says that there was no answer"),
            chunks=self.chunks,
            passages=self.passages,
            answer_code="policy_refused" if self.refused else "" if answer else "unavailable",
            milliseconds=None if self.seconds is None else self.seconds * 1000,
            tool_calls=None if calls is None else tuple(ToolCall(each.name, each.arguments) for each in calls),
        )


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """What is known of one case and repeat, with the release that it is from if that is known."""

    outcome: Outcome
    repeat: int = 0
    release: str = ""


def read_answers(path: Path, suite: Suite) -> list[StoredOutcome]:
    """The file's answers. Raises UserError naming file and line for a case that the suite does not have, one given
    twice, and whatever is not as ``StoredAnswer`` says."""
    cases = {case.id: case for case in suite.cases}
    lines: dict[tuple[str, int], int] = {}
    found = []
    for line, stored in read_jsonl(path, StoredAnswer):
        key = (stored.case, stored.repeat)
        if stored.case not in cases:
            raise UserError(f"{path}:{line}: the suite {suite.name!r} has no case {stored.case[:80]!r}.")
        if key in lines:
            raise UserError(f"{path}:{line}: the case {stored.case!r} is there twice, first on line {lines[key]}.")
        lines[key] = line
        found.append(StoredOutcome(stored.outcome(cases[stored.case]), stored.repeat))
    return found


def outcomes_of_rows(rows: Iterable[Row], suite: Suite) -> tuple[list[StoredOutcome], list[str]]:
    """(what the rows hold, for cases that the suite still has; the ids of those that it has no more).

    A case whose question or history has changed since has no answer any more.
    """
    cases = {case.id: case for case in suite.cases}
    found, gone = [], []
    for row in rows:
        case = cases.get(row.case)
        if case is None:
            gone.append(row.case)
            continue
        history = tuple({"role": turn.role, "content": turn.content} for turn in case.history)
        outcome = row.outcome(case)
        if (row.question, tuple(row.history)) != (case.question, history):
            why = "the question has changed since it was asked"
            outcome = Outcome(case, None, None, why, why)
        found.append(StoredOutcome(outcome, row.repeat, row.release))
    return found, sorted(set(gone))


async def score_stored(
    suite: Suite,
    stored: Sequence[StoredOutcome],
    *,
    tools: Tools,
    source: str,
    tier: Tier = "offline",
    at_once: int = AT_ONCE,
    progress: Progress | None = None,
) -> EvalRun:
    """Score what is stored by the suite's metrics of that tier, ``at_once`` rows at a time.

    Cases of the suite without an answer are unscored. The result is no run of a release: it is nobody's evidence, and
    is kept nowhere. Raises BudgetSpent when a judge would have to be asked more often than allowed.
    """
    started = datetime.now(UTC)
    repeats = max((each.repeat for each in stored), default=0) + 1
    by_key = {(each.outcome.case.id, each.repeat): each for each in stored}
    metrics = suite.metrics(tier)
    keys = [(case, repeat) for case in suite.cases for repeat in range(repeats)]
    room, done = asyncio.Semaphore(at_once), 0

    async def one(case: Case, repeat: int) -> Row:
        nonlocal done
        each = by_key.get((case.id, repeat)) or StoredOutcome(Outcome(case, None, None, NO_ANSWER, NO_ANSWER), repeat)
        async with room:
            row = await _row(suite, each, metrics, tools)
        done += 1
        if progress:
            progress("cases", done, len(keys))
        return row

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(case, repeat)) for case, repeat in keys]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    scored = compared(suite, tuple(task.result() for task in tasks), metrics, tools)
    return EvalRun(
        id=f"score-{started:%Y%m%dT%H%M%S}",
        suite=suite,
        mode=mode_seen(scored),
        split="all",
        limit=None,
        started_at=started,
        finished_at=datetime.now(UTC),
        rows=scored,
        aggregates=aggregates_of(metrics, scored, complete=False),
        metadata={"scored": source},
        repeats=repeats,
        tier=tier,
    )


async def _row(suite: Suite, stored: StoredOutcome, metrics: Sequence[Metric], tools: Tools) -> Row:
    alone = [metric for metric in measured_metrics(metrics) if "peers" not in metric.needs]
    scores = await measure_all(alone, stored.outcome, tools)
    asked = Asked(stored.outcome, None, stored.outcome.case.question)
    slices: Mapping[str, str] = suite.slices_of(stored.outcome.case)
    return replace(make_row(asked, slices, scores, repeat=stored.repeat, release=stored.release), snapshot=None)
