"""One eval run from a request to its record: what it measures, what it costs, and going on where it was stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evals.case import Case
from evals.evidence import record_evidence
from evals.metrics.metric import Metric, Tier, Tools
from evals.metrics.repeats import measured_metrics
from evals.runs.answer_cache import AnswerCache
from evals.runs.asking import Asking, Probes
from evals.runs.budget import BudgetSpent, CallBudget
from evals.runs.call_cache import CountedCalls, StoredCalls
from evals.runs.estimate import estimate
from evals.runs.judging import needs_judge, open_run_judge
from evals.runs.measured_release import MeasuredRelease, measured_release
from evals.runs.model_calls import ModelCalls
from evals.runs.row import Row
from evals.runs.run import EvalRun, new_run_id, run_suite
from evals.runs.run_store import RowKeeper, RunPlan, begin_run, finish_run, forget_plan, resume_plan
from evals.suite import SplitChoice, Suite, check_gold, load_suite
from lockgate.errors import LockgateError, UserError
from lockgate.ports import Progress
from lockgate.settings import Settings
from lockgate.store.call_cache import prune_calls
from lockgate.store.database import Database, open_database
from lockgate.types import AnswerMode

if TYPE_CHECKING:
    from chains.local import LocalAsker

COMMAND = "lockgate evals run"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What somebody wants measured; None leaves a choice to the suite or the release. ``budget`` bounds model calls."""

    suite: str
    release: str | None = None
    channel: str | None = None
    chain: str | None = None
    mode: AnswerMode | None = None
    split: SplitChoice | None = None
    limit: int | None = None
    repeats: int | None = None
    tier: Tier | None = None
    concurrency: int = 2
    fresh: bool = False
    budget: int | None = None
    resume: str | None = None


class RunStopped(LockgateError):
    """The run ended before its last row. What it has is kept; the hint says how to go on."""

    code = "unavailable"

    def __init__(self, reason: str, plan: RunPlan, done: int, rows: int, *, interrupted: bool = False) -> None:
        super().__init__(
            f"{reason} {done} of {rows} rows are kept; the run is not complete.",
            hint=f"Go on with: lockgate evals run {plan.suite} --resume {plan.id}",
        )
        self.run, self.interrupted = plan.id, interrupted


@dataclass(frozen=True, slots=True)
class _Session:
    """One run that is about to go on."""

    settings: Settings
    db: Database
    suite: Suite
    plan: RunPlan
    measured: MeasuredRelease
    cases: Sequence[Case]
    metrics: Sequence[Metric]
    keeper: RowKeeper
    done: tuple[Row, ...]
    budget: CallBudget
    request: RunRequest

    @property
    def rows(self) -> int:
        return len(self.cases) * self.plan.repeats

    @property
    def generative(self) -> bool:
        return (self.plan.mode or self.measured.mode) == "generative"

    @property
    def model_calls(self) -> ModelCalls:
        return ModelCalls(self.generative, self.measured.condenses)

    @property
    def fresh(self) -> bool:
        """Repeats are never served from the cache: they are there to see how answers differ."""
        return self.plan.fresh or self.plan.repeats > 1


def measure(settings: Settings, request: RunRequest, *, progress: Progress, say: Callable[[str], None]) -> EvalRun:
    """Run a suite, or go on with a run, and keep its record. ``say`` is told what will be measured and what it takes.

    Raises RunStopped when the budget is spent or somebody interrupts, with every finished row kept; UserError and
    NotFound for what is wrong before the first question.
    """
    suite = load_suite(settings.project_dir, request.suite)
    with open_database(settings.database) as db:
        session = _prepare(settings, db, suite, request, say)
        with _open(session) as asker, _caches(session) as (answers, judged), _probes(session) as probes:
            _say_estimate(session, answers, say)
            if not request.resume:
                begin_run(db, session.plan)
                prune_calls(db)
            run = _run(session, asker, answers, judged, probes, progress)
        evidence = record_evidence(settings, db, finish_run(settings, db, run))
        forget_plan(db, run.id)
    part = "" if run.aggregates["complete"] else " It covers a part of the suite, so it never counts."
    say(f"Evidence {evidence.id[:12]} is signed.{part}")
    return run


def _prepare(
    settings: Settings, db: Database, suite: Suite, request: RunRequest, say: Callable[[str], None]
) -> _Session:
    if request.resume:
        _refuse_options(request)
        plan = resume_plan(db, request.resume, suite)
        measured = measured_release(settings, plan.release, None, None)
    else:
        measured = measured_release(settings, request.release, request.channel, request.chain)
        plan = _new_plan(suite, request, measured)
    say(f"Measuring release {measured.id[:12]} of chain {measured.chain}, run {plan.id}.")
    targets = suite.definition.targets
    if targets and measured.chain not in targets:
        raise UserError(
            f"The suite {suite.name!r} measures the chain {' or '.join(targets)}, not {measured.chain!r}.",
            hint="Name a release of that chain, or add the chain to 'targets' in suite.yaml.",
        )
    cases = suite.select(plan.split, plan.limit)
    check_gold(suite, cases, measured.pages, measured.id)
    metrics = measured_metrics(suite.metrics(plan.tier))
    if needs_judge(metrics):
        open_run_judge(settings, metrics, None)  # whether one is set is better known before the first question
    keeper, budget = RowKeeper(db, plan.id), CallBudget(request.budget)
    return _Session(settings, db, suite, plan, measured, cases, metrics, keeper, keeper.rows(), budget, request)


def _new_plan(suite: Suite, request: RunRequest, measured: MeasuredRelease) -> RunPlan:
    split = request.split or "all"
    if not suite.select(split, request.limit):
        raise UserError(f"The suite {suite.name!r} has no case in split {split!r} (limit {request.limit}).")
    return RunPlan(
        id=new_run_id(),
        suite=suite.name,
        suite_hash=suite.hash,
        release=measured.id,
        mode=request.mode,
        split=split,
        limit=request.limit,
        repeats=suite.definition.repeats if request.repeats is None else request.repeats,
        tier=request.tier or suite.tier,
        fresh=request.fresh,
        started_at=datetime.now(UTC),
        metadata=dict(measured.facts),
    )


def _refuse_options(request: RunRequest) -> None:
    """A resumed run asks what it set out to ask."""
    given = {
        "--release": request.release,
        "--channel": request.channel,
        "--chain": request.chain,
        "--mode": request.mode,
        "--split": request.split,
        "--limit": request.limit,
        "--repeats": request.repeats,
        "--tier": request.tier,
        "--no-cache": request.fresh or None,
    }
    if wrong := [name for name, value in given.items() if value is not None]:
        raise UserError(f"--resume goes on with what the run began with: leave out {', '.join(wrong)}.")


@contextlib.contextmanager
def _open(session: _Session) -> Iterator[LocalAsker]:
    from chains.local import open_asker
    from chains.target import Target

    with open_asker(session.settings, Target(release=session.plan.release), command=COMMAND) as asker:
        yield asker


@contextlib.contextmanager
def _caches(session: _Session) -> Iterator[tuple[AnswerCache | None, CountedCalls]]:
    """Where the run's model calls are kept: (answers, judge calls)."""
    with StoredCalls(session.db, "answer") as answers, StoredCalls(session.db, "judge") as judged:
        keeps_answers = session.generative and not session.fresh
        yield (
            AnswerCache(answers, session.plan.release) if keeps_answers else None,
            CountedCalls(session.budget, judged, fresh=session.fresh),
        )


def _say_estimate(session: _Session, answers: AnswerCache | None, say: Callable[[str], None]) -> None:
    done = {(row.case, row.repeat) for row in session.done}
    missing = [case for case in session.cases for n in range(session.plan.repeats) if (case.id, n) not in done]
    new = [case for case in missing if answers is None or answers.get(case, session.plan.mode) is None]
    expected = estimate(
        session.measured,
        session.metrics,
        rows=session.rows,
        done=session.rows - len(missing),
        generative=session.generative,
        kept=len(missing) - len(new),
        condensed=session.model_calls.condensings(new),
    )
    for line in expected.lines(session.request.budget):
        say(line)


@contextlib.contextmanager
def _probes(session: _Session) -> Iterator[Probes | None]:
    """What probes the release's guardrails, where a case asks for it."""
    if not any(case.probe for case in session.cases):
        yield None
        return
    from evals.probes.prober import open_prober
    from ingestion.embedding import open_pinned_embedder
    from lockgate.store.releases import open_releases

    manifest = open_releases(session.settings, session.db).manifest(session.plan.release)
    with open_prober(manifest, open_pinned_embedder(session.settings, manifest.embedder.files)) as prober:
        yield prober


def _run(
    session: _Session,
    asker: LocalAsker,
    answers: AnswerCache | None,
    judged: CountedCalls,
    probes: Probes | None,
    progress: Progress,
) -> EvalRun:
    plan = session.plan
    how = Asking(
        session.suite.definition.timeout_s,
        plan.mode,
        shown=session.measured.shown,
        cache=answers,
        take_calls=session.budget.take,
        calls=session.model_calls,
        probes=probes,
    )

    async def go() -> EvalRun:
        async with _tools(session, judged) as (tools, judge):
            return await run_suite(
                session.suite,
                asker,
                asker,
                mode=plan.mode,
                split=plan.split,
                limit=plan.limit,
                repeats=plan.repeats,
                tier=plan.tier,
                concurrency=session.request.concurrency,
                progress=progress,
                metadata={**plan.metadata, **judge},
                tools=tools,
                asking=how,
                done=session.done,
                keep=session.keeper.keep,
                run_id=plan.id,
                started_at=plan.started_at,
            )

    try:
        run = asyncio.run(go())
    except BudgetSpent as error:
        raise _stopped(session, str(error)) from None
    except KeyboardInterrupt:
        raise _stopped(session, "Interrupted.", interrupted=True) from None
    calls = {"made": session.budget.made, "served": judged.served + sum(row.cached for row in run.rows)}
    return replace(run, metadata={**run.metadata, "calls": calls})


def _stopped(session: _Session, reason: str, *, interrupted: bool = False) -> RunStopped:
    kept = len(session.keeper.rows())
    return RunStopped(reason, session.plan, kept, session.rows, interrupted=interrupted)


@contextlib.asynccontextmanager
async def _tools(session: _Session, judged: CountedCalls) -> AsyncIterator[tuple[Tools, dict[str, Any]]]:
    """What the metrics need, and who judges, for the run's record."""
    needs = {need for metric in session.metrics for need in metric.needs}
    tools = Tools(check_output=session.measured.check_output, folder=session.suite.folder)
    if "embedder" in needs:
        from ingestion.embedding import open_embedder

        tools = replace(tools, embedder=await asyncio.to_thread(open_embedder(session.settings).load))
    if not needs_judge(session.metrics):
        yield tools, {}
        return
    async with open_run_judge(session.settings, session.metrics, judged) as judge:
        yield replace(tools, judge=judge), {"judge": judge.identity.as_json()}
