"""Run a suite: ask every case, rank pages for it, score both. A case that fails is recorded, never dropped.

A run keeps each row as soon as it is there, so that one that was stopped goes on where it was. Metrics that compare
cases with each other are scored when all rows are there.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from evals.aggregate import aggregate, scored_cases, summarise
from evals.case import Case, Outcome
from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import NO_TOOLS, Metric, Tier, Tools, measure_all
from evals.metrics.repeats import measured_metrics
from evals.runs.asking import Asking, ask_and_search
from evals.runs.budget import BudgetSpent
from evals.runs.limiter import AdaptiveLimit
from evals.runs.row import Row, make_row
from evals.suite import SplitChoice, Suite
from lockgate.errors import UserError
from lockgate.ports import Asker, Progress, Retriever
from lockgate.types import AnswerMode

IN_FLIGHT = 64
"""Cases beyond those being asked that wait for their judged scores at once."""

Keep = Callable[[Row], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EvalRun:
    """One execution of a suite: a row for every case and repeat, in the order of the suite."""

    id: str
    suite: Suite
    mode: str
    split: SplitChoice
    limit: int | None
    started_at: datetime
    finished_at: datetime
    rows: tuple[Row, ...]
    aggregates: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1
    tier: Tier = "judged"

    @property
    def snapshots(self) -> list[str]:
        """Snapshots that answered; more than one means that a sync moved the index during the run."""
        return sorted({row.snapshot for row in self.rows if row.snapshot})

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
            "repeats": self.repeats,
            "tier": self.tier,
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
    repeats: int | None = None,
    tier: Tier | None = None,
    concurrency: int = 2,
    progress: Progress | None = None,
    metadata: Mapping[str, Any] | None = None,
    tools: Tools = NO_TOOLS,
    asking: Asking | None = None,
    done: Iterable[Row] = (),
    keep: Keep | None = None,
    run_id: str | None = None,
    started_at: datetime | None = None,
) -> EvalRun:
    """Ask the chosen cases ``repeats`` times (None: as the suite says), at most ``concurrency`` questions at once.

    ``mode`` None takes what the release says. ``tier`` None measures what the suite says. ``done`` are rows that need
    not be asked again; ``keep`` is awaited with every other one. ``asking`` overrides how cases are asked.

    Raises UserError when the choice holds no case, and BudgetSpent, when everything under way has ended, once no model
    call is left. What goes wrong within a case ends up in its row.
    """
    cases = suite.select(split, limit)
    if not cases:
        raise UserError(f"The suite {suite.name!r} has no case in split {split!r} (limit {limit}).")
    times = suite.definition.repeats if repeats is None else repeats
    chosen = suite.metrics(tier or suite.tier)
    how = asking or Asking(suite.definition.timeout_s, mode)
    how = replace(how, repeated=times > 1, limit=how.limit or AdaptiveLimit(concurrency))
    started = started_at or datetime.now(UTC)
    facts = dict(metadata or {})
    measuring = _Measuring(
        suite, asker, retriever, how, [each for each in measured_metrics(chosen) if not _compares(each)], tools, facts
    )
    rows = await _all_rows(measuring, cases, times, done, keep, concurrency, progress)
    rows = compared(suite, rows, chosen, tools)
    whole = len(cases) == len(suite.cases) and len(rows) == len(cases) * times
    return EvalRun(
        id=run_id or new_run_id(),
        suite=suite,
        mode=mode or mode_seen(rows),
        split=split,
        limit=limit,
        started_at=started,
        finished_at=datetime.now(UTC),
        rows=rows,
        aggregates=aggregates_of(chosen, rows, complete=whole),
        metadata=facts,
        repeats=times,
        tier=tier or suite.tier,
    )


def new_run_id() -> str:
    """Sorts by time; safe as a folder name."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def aggregates_of(metrics: Sequence[Metric], rows: Sequence[Row], *, complete: bool) -> dict[str, Any]:
    """Every metric over all rows, per half and per slice, the abstention table, and the answer score.

    ``complete``: the whole suite was asked, as often as it is to be. ``answer_score`` decides between the modes, so it
    exists only then.
    """
    return {
        **summarise(metrics, rows),
        "complete": complete,
        "answer_score": _answer_score(rows) if complete else None,
    }


def mode_score(aggregates: Mapping[str, Any]) -> float | None:
    """The number by which ``auto`` compares modes: mean token F1 over answerable cases, abstentions and errors as 0.

    None for a run over a part of the suite: its cases are not those of the run it would be compared with.
    """
    score = aggregates.get("answer_score")
    return float(score) if isinstance(score, int | float) else None


@dataclass(frozen=True, slots=True)
class _Measuring:
    """Everything that turns a case into a row."""

    suite: Suite
    asker: Asker
    retriever: Retriever
    how: Asking
    metrics: Sequence[Metric]
    tools: Tools
    facts: Mapping[str, Any]

    async def row(self, case: Case, repeat: int) -> Row:
        asked = await ask_and_search(case, self.asker, self.retriever, self.how, repeat=repeat)
        scores = await measure_all(self.metrics, asked.outcome, self.tools)
        release = str(self.facts.get("release", ""))
        return make_row(asked, self.suite.slices_of(case), scores, repeat=repeat, release=release)


async def _all_rows(
    measuring: _Measuring,
    cases: Sequence[Case],
    times: int,
    done: Iterable[Row],
    keep: Keep | None,
    concurrency: int,
    progress: Progress | None,
) -> tuple[Row, ...]:
    order = [(case.id, repeat) for case in cases for repeat in range(times)]
    rows = {(row.case, row.repeat): row for row in done if (row.case, row.repeat) in set(order)}
    missing = [(case, repeat) for case in cases for repeat in range(times) if (case.id, repeat) not in rows]
    room = asyncio.Semaphore(max(1, concurrency) + IN_FLIGHT)
    spent: BudgetSpent | None = None

    async def one(case: Case, repeat: int) -> None:
        nonlocal spent
        async with room:
            if spent:
                return
            try:
                row = await measuring.row(case, repeat)
            except BudgetSpent as error:
                spent = error
                return
            if keep:
                await keep(row)
        rows[case.id, repeat] = row
        if progress:
            progress("cases", len(rows), len(order))

    if progress:
        progress("cases", len(rows), len(order))
    try:
        async with asyncio.TaskGroup() as tasks:
            for case, repeat in missing:
                tasks.create_task(one(case, repeat))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # a row that cannot be kept ends the run; one reason is enough
    if spent:
        raise spent
    return tuple(rows[key] for key in order)


def _compares(metric: Metric) -> bool:
    return "peers" in metric.needs


def compared(suite: Suite, rows: tuple[Row, ...], metrics: Sequence[Metric], tools: Tools) -> tuple[Row, ...]:
    """The rows with the scores of those metrics that look at other cases too."""
    comparing = [each for each in measured_metrics(metrics) if _compares(each)]
    if not comparing:
        return rows
    cases = {case.id: case for case in suite.cases}
    outcomes = [row.outcome(cases[row.case]) for row in rows]
    pairs: dict[int, dict[str, list[Outcome]]] = {}
    for row, outcome in zip(rows, outcomes, strict=True):
        pairs.setdefault(row.repeat, {}).setdefault(outcome.case.pair, []).append(outcome)
    scored = []
    for row, outcome in zip(rows, outcomes, strict=True):
        peers = {name: tuple(members) for name, members in pairs[row.repeat].items()}
        scores = {each.name: each.score(outcome, replace(tools, peers=peers)) for each in comparing}
        scored.append(row.with_scores(scores))
    return tuple(scored)


def _answer_score(rows: Sequence[Row]) -> float | None:
    """Scored here, whatever the suite's metrics are: any suite can decide between the modes."""
    metric = resolve_metric("token_f1")
    scored = [row.with_scores({metric.name: metric.score(_bare_outcome(row))}) for row in rows]
    total = aggregate(metric, scored_cases(metric, scored))
    # A run in which nothing answered says nothing of a mode; as a zero it would make the other one look better.
    return total.pessimistic if total.n else None


def _bare_outcome(row: Row) -> Outcome:
    """The row as an outcome of its own case, as far as a metric of the answer's words looks at it."""
    case = Case.model_construct(
        id=row.case, question=row.question, reference=row.reference, answerable=row.answerable, split="dev"
    )
    return row.outcome(case)


def mode_seen(rows: Sequence[Row]) -> str:
    """The mode of the answers, "mixed" for several, "unknown" for none."""
    modes = {row.mode for row in rows if row.mode}
    return modes.pop() if len(modes) == 1 else "mixed" if modes else "unknown"
