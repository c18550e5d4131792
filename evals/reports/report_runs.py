"""Which runs a report is of: found by run id, release or channel, beside the release that users get."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from evals.comparing.compare_runs import RunPair, compare_pair, newest_pair, runs_named
from evals.gate import channels, load_gate
from evals.reports.report import Report
from evals.reports.reported_run import ReportedRun, finished_run, unfinished_run
from evals.rules.definitions import SuiteRule
from evals.runs.run_store import RowKeeper, RunPlan, plan_of, record_rows
from evals.suite import load_suite
from lockgate.errors import Corrupt, LockgateError, NotFound, UserError
from lockgate.settings import Settings
from lockgate.store.channels import PRODUCTION, get_channel
from lockgate.store.database import Database
from lockgate.store.eval_rows import find_eval_plan
from lockgate.store.eval_runs import EvalRunRecord, get_eval_run, list_release_runs


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """``run`` and ``against`` are runs, releases or channels; ``against`` None takes production where it was measured.
    ``gate`` is the channel whose allowed drops are shown, "" for the one compared with."""

    run: str
    against: str | None = None
    suite: str | None = None
    gate: str = ""


def find_report(settings: Settings, db: Database, request: ReportRequest) -> Report:
    """The report, without a gate's verdict.

    Raises NotFound for an unknown name, and UserError that lists the runs there are when ``against`` has none that
    fits.
    """
    if plan := _unfinished(db, request.run):
        return _of_unfinished(settings, db, plan, request)
    new = _whole_first(runs_named(settings, db, request.run), request)
    if request.against is not None:
        return _compared(settings, db, request, new)
    record = new[0]
    pair, note = _production(db, record)
    if pair is not None:
        try:
            return _report(settings, pair, request, PRODUCTION, [note])
        except (NotFound, Corrupt) as error:  # nobody asked for production: without its rows there is still this run
            note = f"Compared with nothing: the run {pair.old.id} of the release in production cannot be read. {error}"
    return Report(finished_run(record, record_rows(settings, record)), notes=(note,))


def _compared(settings: Settings, db: Database, request: ReportRequest, new: Sequence[EvalRunRecord]) -> Report:
    against = _of_chain(settings, request.against or "", new[0].chain)
    old = _whole_first(runs_named(settings, db, against), request)
    pair = newest_pair(old, new)
    if pair is None:
        same = len(old) == len(new) == 1 and old[0].id == new[0].id
        raise UserError(
            f"{request.run!r} and {against!r} are the same run."
            if same
            else f"{against!r} has no run that asked the cases of {new[0].suite} v{new[0].suite_version} as this one.",
            hint=f"Runs of {against}: {_listed(old)}. "
            f"Run: lockgate evals run {new[0].suite} --release {old[0].release[:12]}",
        )
    return _report(settings, pair, request, "" if against == pair.old.id else request.against or "", [])


def _of_chain(settings: Settings, against: str, chain: str) -> str:
    """A channel is that of the run's own chain, whatever the project's default chain is."""
    return f"{chain}@{against}" if chain and against in channels(settings.project_dir) else against


def _report(settings: Settings, pair: RunPair, request: ReportRequest, base_name: str, notes: list[str]) -> Report:
    known = channels(settings.project_dir)
    channel = next(each for each in (request.gate, base_name.rpartition("@")[2], PRODUCTION) if each in known)
    margins = _margins(settings, channel, pair.new.suite)
    run, base = (finished_run(each, record_rows(settings, each)) for each in (pair.new, pair.old))
    comparison = None
    notes += pair.notes
    try:
        comparison = compare_pair(settings, pair)
    except UserError as error:
        notes.append(f"The two runs are not compared: {error.message}")
    return Report(
        run,
        base if comparison else None,
        base_name,
        comparison,
        margins=margins if comparison else {},
        margins_of=channel if margins and comparison else "",
        notes=tuple(note for note in notes if note),
    )


def _production(db: Database, record: EvalRunRecord) -> tuple[RunPair | None, str]:
    """(this run against the release now in production, and what to say of it)."""
    current = get_channel(db, PRODUCTION, record.chain).release
    if current is None:
        return None, "Compared with nothing: production has no release."
    if current == record.release:
        return None, "Compared with nothing: this release is the one in production."
    pair = newest_pair(list_release_runs(db, current), [record])
    if pair is None:
        return None, (
            f"Compared with nothing: the release in production, {current[:12]}, has no run of these cases. "
            f"Run: lockgate evals run {record.suite} --release {current[:12]}"
        )
    return pair, f"Compared with the release in production, {current[:12]}, since no other was named."


def _whole_first(found: list[EvalRunRecord], request: ReportRequest) -> list[EvalRunRecord]:
    """Those of the wanted suite, complete runs before others; within each, the newest first. Raises UserError."""
    wanted = [each for each in found if request.suite in (None, each.suite)]
    if not wanted:
        raise UserError(f"There is no run of the suite {request.suite!r}.", hint=f"Runs there are: {_listed(found)}.")
    return sorted(wanted, key=lambda each: not each.aggregates.get("complete"))


def _listed(runs: Sequence[EvalRunRecord]) -> str:
    return ", ".join(f"{run.id} ({run.suite} v{run.suite_version}, {run.suite_hash[:8]})" for run in runs[:5])


def _unfinished(db: Database, name: str) -> RunPlan | None:
    """Its plan; None for a name that is of anything else. A run that has a record has finished, plan or no plan."""
    with contextlib.suppress(NotFound):
        get_eval_run(db, name)
        return None
    with contextlib.suppress(NotFound):
        return plan_of(find_eval_plan(db, name))
    return None


def _of_unfinished(settings: Settings, db: Database, plan: RunPlan, request: ReportRequest) -> Report:
    """What there is of it, compared with nothing: half of the cases would say something else than all of them."""
    version, expected = "?", None
    try:
        suite = load_suite(settings.project_dir, plan.suite)
    except LockgateError:
        suite = None
    if suite and suite.hash == plan.suite_hash:
        version = str(suite.definition.version)
        expected = len(suite.select(plan.split, plan.limit)) * plan.repeats
    notes = []
    if request.against is not None:
        runs_named(settings, db, request.against)  # a name that is wrong is told now, not when the run has finished
        notes.append(f"It is not compared with {request.against} before it has finished.")
    run: ReportedRun = unfinished_run(plan, version, RowKeeper(db, plan.id).rows(), expected)
    return Report(run, notes=tuple(notes))


def _margins(settings: Settings, channel: str, suite: str) -> dict[str, float]:
    """The drops that the channel's gate allows in this suite; none without a gate that can be read."""
    try:
        rules = load_gate(settings.project_dir, channel).rules
    except LockgateError:
        return {}
    found = [each for each in rules if isinstance(each, SuiteRule) and each.suite in (None, suite)]
    return {name: drop for each in found for name, drop in each.max_drop.items()}
