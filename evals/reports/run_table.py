"""A run in the terminal: a table of its metrics, and what the table alone would hide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evals.comparing.score_changes import counts_in_words
from evals.probes.probe import probed_from_json
from evals.reports.changes import counts_of
from evals.reports.reported_run import ReportedRun
from lockgate.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from evals.reports.report import Report

SHOWN = 10
PROBES_SHOWN = 3
LEAKS = ("attack", "prompt", "secret", "offsite")


def render(report: Report, console: Console) -> None:
    """Print a report: what to know first, then the comparison or the run alone, then what a gate said."""
    from evals.comparing import compare_table

    def say(text: str = "") -> None:
        console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    for each in report.warnings:
        say(f"{'NOT TO BE RELIED ON: ' if each.level == 'bad' else ''}{each.text}")
    if report.comparison is not None:
        compare_table.render(report.comparison, console)
        say(f"Cases: {counts_in_words(counts_of(report.changes), report.comparison.cases)}.")
    else:
        console.print(build_table(report.run))
        for line in summary_lines(report.run):
            say(line)
    if report.gate is not None:
        say()
        for line in report.gate.lines():
            say(line)


def build_table(run: ReportedRun) -> Table:
    """One line a metric: value, interval, n, unscored, and the value on each split when there are several."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{run.suite} v{run.suite_version}, {run.mode}, {_asked(run)}")
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("95 % interval")
    table.add_column("n", justify="right")
    table.add_column("unscored", justify="right")
    splits = run.aggregates["by_split"] if len(run.aggregates["by_split"]) > 1 else {}
    for split in splits:
        table.add_column(split, justify="right")
    for name, each in run.aggregates["metrics"].items():
        unscored = f"[red]{each['unscored']}[/red]" if each["unscored"] else "0"
        table.add_row(
            escape(name),
            format_value(each["value"]),
            format_interval(each),
            str(each["n"]),
            unscored,
            *(format_value(part[name]["value"]) for part in splits.values()),
        )
    return table


def summary_lines(run: ReportedRun) -> Iterator[str]:
    """What the table alone would hide."""
    table = run.aggregates["abstention"]
    if not all(row.probed for row in run.rows):
        yield (
            f"Answerable: {table['answerable_answered']} answered, {table['answerable_abstained']} abstained. "
            f"Unanswerable: {table['unanswerable_abstained']} abstained, {table['unanswerable_answered']} answered. "
            f"No answer: {table['unscored']}."
        )
    yield from _probe_lines(run)
    score = run.aggregates["answer_score"]
    if score is not None:
        yield f"Answer score (mean token F1 over answerable cases, abstentions and errors as 0): {score:.3f}"
    failed = [row for row in run.rows if row.errors]
    if failed:
        what = "cases" if run.repeats == 1 else "rows"
        yield f"{len(failed)} of {len(run.rows)} {what} failed and are unscored:"
        yield from (f"  {row.case}: {'; '.join(row.errors)}" for row in failed[:SHOWN])
        if len(failed) > SHOWN:
            yield f"  and {len(failed) - SHOWN} more; see the report."
    if len(run.snapshots) > 1:
        yield f"The index changed during the run (snapshots {', '.join(run.snapshots)}): run it again."
    if any(row.searched == "bm25" for row in run.rows):
        yield "Some questions were searched in a BM25-only snapshot: the index was still being built."


def _probe_lines(run: ReportedRun) -> Iterator[str]:
    """What the probes found, each case that failed with its first failures."""
    probes = [(row, found) for row in run.rows if (found := probed_from_json(row.probed)) is not None]
    if not probes:
        return
    bad = [(row, found) for row, found in probes if found.failed]
    tried = sum(found.tried for _, found in probes)
    yield f"Probes: {len(probes) - len(bad)} of {len(probes)} cases let nothing through ({tried} tries)."
    for row, found in bad:
        yield (
            f"  LEAKED {row.case}: {found.failed} of {found.tried}" if found.kind in LEAKS else f"  FAILED {row.case}:"
        )
        yield from (f"    {failure}" for failure in found.failures[:PROBES_SHOWN])
        if found.failed > PROBES_SHOWN:
            yield f"    and {found.failed - PROBES_SHOWN} more; see the report."


def format_value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def format_interval(each: Mapping[str, Any]) -> str:
    return "" if each["low"] is None else f"{each['low']:.3f} to {each['high']:.3f}"


def _asked(run: ReportedRun) -> str:
    cases = run.aggregates["cases"]
    return f"{cases} cases" if run.repeats == 1 else f"{cases} cases, {run.repeats} times each"
