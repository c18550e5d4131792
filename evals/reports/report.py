"""What a run looks like: a table in the terminal and two files, report.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.reports.report_html import render_html
from evals.runs.run import EvalRun
from lockgate.atomic import write_atomic

if TYPE_CHECKING:
    from rich.table import Table


def write_reports(run: EvalRun, folder: Path) -> tuple[Path, Path]:
    """Write report.json and report.html into ``folder``, each atomically. Raises Unavailable when it cannot write."""
    json_path, html_path = folder / "report.json", folder / "report.html"
    write_atomic(json_path, to_json(run))
    write_atomic(html_path, render_html(run).encode())
    return json_path, html_path


def to_json(run: EvalRun) -> bytes:
    """The whole run. NaN cannot get in: a score that is not finite is unscored."""
    return (json.dumps(run.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def format_value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def format_interval(each: Mapping[str, Any]) -> str:
    return "" if each["low"] is None else f"{each['low']:.3f} to {each['high']:.3f}"


def build_table(run: EvalRun) -> Table:
    """One line a metric: value, interval, n, unscored, and the value on each split when there are several."""
    from rich.table import Table

    table = Table(title=f"{run.suite.name} v{run.suite.definition.version}, {run.mode}, {_asked(run)}")
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
            name,
            format_value(each["value"]),
            format_interval(each),
            str(each["n"]),
            unscored,
            *(format_value(part[name]["value"]) for part in splits.values()),
        )
    return table


def summary_lines(run: EvalRun) -> Iterator[str]:
    """What the table alone would hide."""
    table = run.aggregates["abstention"]
    yield (
        f"Answerable: {table['answerable_answered']} answered, {table['answerable_abstained']} abstained. "
        f"Unanswerable: {table['unanswerable_abstained']} abstained, {table['unanswerable_answered']} answered. "
        f"No answer: {table['unscored']}."
    )
    score = run.aggregates["answer_score"]
    if score is not None:
        yield f"Answer score (mean token F1 over answerable cases, abstentions and errors as 0): {score:.3f}"
    failed = [row for row in run.rows if row.errors]
    if failed:
        what = "cases" if run.repeats == 1 else "rows"
        yield f"{len(failed)} of {len(run.rows)} {what} failed and are unscored:"
        yield from (f"  {row.case}: {'; '.join(row.errors)}" for row in failed[:10])
        if len(failed) > 10:
            yield f"  and {len(failed) - 10} more; see the report."
    if len(run.snapshots) > 1:
        yield f"The index changed during the run (snapshots {', '.join(run.snapshots)}): run it again."
    if any(row.searched == "bm25" for row in run.rows):
        yield "Some questions were searched in a BM25-only snapshot: the index was still being built."


def _asked(run: EvalRun) -> str:
    cases = run.aggregates["cases"]
    return f"{cases} cases" if run.repeats == 1 else f"{cases} cases, {run.repeats} times each"
