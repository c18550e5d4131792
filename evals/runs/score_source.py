"""Where stored answers come from: a run by its id, or a file. Without a judge, scoring them asks nobody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from evals.metrics.metric import Tier, Tools
from evals.metrics.repeats import measured_metrics
from evals.runs.budget import CallBudget
from evals.runs.call_cache import CountedCalls, StoredCalls
from evals.runs.judging import needs_judge, open_run_judge
from evals.runs.run import EvalRun
from evals.runs.run_store import stored_rows
from evals.runs.scoring import StoredOutcome, outcomes_of_rows, read_answers, score_stored
from evals.suite import Suite
from lockgate.errors import NotFound
from lockgate.ports import Progress
from lockgate.settings import Settings
from lockgate.store.database import open_database

OutputCheck = Callable[[str], list[str]]


def score_source(
    settings: Settings,
    suite: Suite,
    source: str,
    *,
    tier: Tier,
    progress: Progress,
    say: Callable[[str], None],
) -> EvalRun:
    """Score a run's rows, or a file's answers.

    Raises NotFound when ``source`` is neither, UserError and Corrupt for what is wrong with it.
    """
    stored, check = _stored(settings, suite, source, say)
    tools = Tools(check_output=check, folder=suite.folder)
    if any("embedder" in metric.needs for metric in suite.metrics(tier)):
        from ingestion.embedding import open_embedder

        progress("embedder", 0, 0)
        tools = replace(tools, embedder=open_embedder(settings).load())

    async def score() -> EvalRun:
        async with _with_judge(settings, suite, tier, tools) as ready:
            # Enough to keep the judge busy; the texts of many more would be made ready before its first call.
            rows = 2 * settings.judge_concurrency
            return await score_stored(
                suite, stored, tools=ready, source=source, tier=tier, at_once=rows, progress=progress
            )

    return asyncio.run(score())


@contextlib.asynccontextmanager
async def _with_judge(settings: Settings, suite: Suite, tier: Tier, tools: Tools) -> AsyncIterator[Tools]:
    """``tools`` with the judge that the metrics need, if any."""
    metrics = measured_metrics(suite.metrics(tier))
    if not needs_judge(metrics):
        yield tools
        return
    with open_database(settings.database) as db, StoredCalls(db, "judge") as calls:
        async with open_run_judge(settings, metrics, CountedCalls(CallBudget(), calls)) as judge:
            yield replace(tools, judge=judge)


def _stored(
    settings: Settings, suite: Suite, source: str, say: Callable[[str], None]
) -> tuple[list[StoredOutcome], OutputCheck | None]:
    path = Path(source)
    if path.suffix == ".jsonl" or path.is_file():
        return read_answers(path, suite), None
    with open_database(settings.database) as db:
        try:
            rows = stored_rows(settings, db, source)
        except NotFound as error:
            raise NotFound(error.message, hint="Name a run, or a JSONL file of answers.") from None
    stored, gone = outcomes_of_rows(rows, suite)
    if gone:
        say(f"{len(gone)} cases of the run are in the suite no more: {', '.join(gone[:5])}.")
    return stored, _output_check(settings, {each.release for each in stored if each.release})


def _output_check(settings: Settings, releases: set[str]) -> OutputCheck | None:
    """The output schema of the release's answer prompt, where the release is still here."""
    from chains.assembly import prompt_of
    from lockgate.store.releases import open_releases

    if len(releases) != 1:
        return None
    with open_database(settings.database) as db:
        try:
            schema = prompt_of(open_releases(settings, db).manifest(*releases), "answer").output_schema
        except NotFound:
            return None
    return schema.text_errors if schema else None
