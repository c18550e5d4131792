"""``lockgate evals report``: a run, and what it is compared with, for a person, a pull request or a test runner."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lockgate.errors import UserError
from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain

if TYPE_CHECKING:
    from evals.reports.report import Report

Format = Literal["table", "html", "markdown", "junit", "json"]

WIDTH = 120
"""Columns of a table that is written into a file."""


def report_command(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a release or channel: its newest complete run.")],
    *,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|RELEASE|CHANNEL",
            help="What to compare with; default: the release in production, where it has a run of the same cases.",
        ),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Report the runs of this suite; default: the newest.")] = None,
    gate: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Show what the gate of this channel says of the release.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="With --gate: leave out the rule verify; then never PASS.")
    ] = True,
    format_: Annotated[Format | None, typer.Option("--format", help="How to write it; default: table.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Report a run: as a table, a page, a comment for a pull request, JUnit's XML or JSON.

    With --gate, exits with 0 for PASS, 1 for FAIL and 3 for INCONCLUSIVE, when the report is written. Without it,
    whatever the report says, it exits with 0.
    """
    from dataclasses import replace

    from evals.gate_commands import EXIT, judge_release
    from evals.reports.report_runs import ReportRequest, find_report
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    if as_json and format_ not in (None, "json"):
        raise UserError(f"--json and --format {format_} are two formats: leave out one of them.")
    if out is not None and out.is_dir():
        raise UserError(f"--out {out}: is a folder; name a file.")
    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        report = find_report(settings, db, ReportRequest(run, against, suite, gate or ""))
        if gate:
            manifest = open_releases(settings, db).manifest(report.run.release)
            # One report, one comparison: the gate judges against the base of the table, if one was named.
            current = report.base.release if against and report.base is not None else None
            report = replace(report, gate=judge_release(settings, db, manifest, gate, verify=verify, current=current))
    _write(report, "json" if as_json else format_ or "table", out)
    if report.gate is not None:
        raise typer.Exit(EXIT[report.gate.verdict])


def _write(report: Report, format_: Format, out: Path | None) -> None:
    from lockgate.atomic import write_atomic

    if out is None and format_ == "table":
        from rich.console import Console

        from evals.reports.run_table import render

        render(report, Console())
        return
    data = _rendered(report, format_, to_file=out is not None)
    if out is None:
        typer.echo(data, nl=False)
        return
    write_atomic(out, data)
    typer.echo(plain(f"Report: {out}"), err=True)


def _rendered(report: Report, format_: Format, *, to_file: bool) -> bytes:
    """In UTF-8, with a line end."""
    if format_ == "json":
        from evals.reports.report import to_json

        return to_json(report) if to_file else f"{json_text(report.as_json())}\n".encode("utf-8", "backslashreplace")
    if format_ == "html":
        from evals.reports.report_html import render_html

        return render_html(report).encode()
    if format_ == "junit":
        from evals.reports.junit import render_junit

        return render_junit(report)
    if format_ == "markdown":
        from evals.reports.markdown import render_markdown

        return render_markdown(report).encode()
    from rich.console import Console

    from evals.reports.run_table import render

    text = io.StringIO()
    render(report, Console(file=text, width=WIDTH, color_system=None))
    return text.getvalue().encode()
