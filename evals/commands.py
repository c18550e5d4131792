"""``lockgate evals``: run suites and list them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evals.calibrate_commands import calibrate
from evals.compare_commands import compare_command, plan_command
from evals.evidence_commands import app as evidence_app
from evals.gate_commands import gate
from evals.report_commands import report_command
from evals.synth_commands import app as proposals_app
from evals.synth_commands import synth_command
from evals.tune_commands import tune_command
from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars

if TYPE_CHECKING:
    from evals.runs.run import EvalRun

app = typer.Typer(no_args_is_help=True, help="Measure answers: run suites, read reports.")
app.command("calibrate")(calibrate)
app.command("compare")(compare_command)
app.command("gate")(gate)
app.command("plan")(plan_command)
app.command("tune")(tune_command)
app.command("report")(report_command)
app.command("synth")(synth_command)
app.add_typer(evidence_app, name="evidence")
app.add_typer(proposals_app, name="proposals")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list")
def list_command(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the project's suites."""
    from evals.suite import describe_suite, list_suites

    project = settings_of(ctx.obj).project_dir
    suites = [describe_suite(project, name) for name in list_suites(project)]
    if as_json:
        typer.echo(json.dumps(suites, indent=2))
        return
    if not suites:
        typer.echo(f"No suites in {project / 'evals' / 'suites'}.", err=True)
    for suite in suites:
        if "error" in suite:
            typer.echo(f"{suite['name']}  broken: {suite['error']}")
        else:
            typer.echo(
                f"{suite['name']}  v{suite['version']}  {suite['answerable']} answerable, "
                f"{suite['unanswerable']} unanswerable ({suite['dev']} dev, {suite['test']} test)  "
                f"{suite['description']}"
            )
            for warning in suite["warnings"]:
                typer.echo(f"  {plain(str(warning))}", err=True)


@app.command("run")
def run_command(
    ctx: typer.Context,
    suite_name: Annotated[str, typer.Argument(metavar="SUITE", help="Name of a folder in evals/suites/.")],
    *,
    release: Annotated[
        str | None, typer.Option(help="The release to measure; default: one built from the project's files.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Measure the release that this channel points at.")] = None,
    chain: Annotated[str | None, typer.Option(help="The chain to measure; default: LOCKGATE_CHAIN.")] = None,
    mode: Annotated[
        Literal["extractive", "generative"] | None,
        typer.Option(help="Answer mode; default: what the chain definition says."),
    ] = None,
    split: Annotated[
        Literal["dev", "test", "all"] | None, typer.Option(help="Which half of the cases to ask; default: all.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first N cases of the split.")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=100, help="Ask every case N times; default: what the suite says.")
    ] = None,
    tier: Annotated[
        Literal["offline", "judged"] | None,
        typer.Option(help="offline: only metrics without a judge; judged: all. Default: what the suite says."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Questions asked at once, at the most.")] = 2,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Make every model call, whatever was said before.")
    ] = False,
    budget_calls: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop after N model calls; --resume goes on.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped; nothing is asked twice.")
    ] = None,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.json and report.html; default: <state>/evals/<run id>.")
    ] = None,
) -> None:
    """Ask every case of a suite, print the metrics with intervals, write a JSON and an HTML report.

    Every row is kept when it is there, so a run that was stopped can be resumed. Exits with 1 when the suite is broken,
    nothing could be scored or the budget ended the run, and with 130 when you interrupt it.
    """
    from evals.runs.measuring import RunRequest, RunStopped, measure

    settings = settings_of(ctx.obj)
    request = RunRequest(
        suite=suite_name,
        release=release,
        channel=channel,
        chain=chain,
        mode=mode,
        split=split,
        limit=limit,
        repeats=repeats,
        tier=tier,
        concurrency=concurrency,
        fresh=no_cache,
        budget=budget_calls,
        resume=resume,
    )
    try:
        with progress_bars() as progress:
            run = measure(settings, request, progress=progress, say=_say)
    except RunStopped as error:
        _say(str(error))
        raise typer.Exit(130 if error.interrupted else 1) from None
    _show(run, out or settings.state_dir / "evals" / run.id, as_json=as_json)


@app.command("score")
def score_command(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="RUN|FILE", help="The id of a run, or a JSONL file of cases with their answers.")
    ],
    suite_name: Annotated[str, typer.Option("--suite", metavar="SUITE", help="Whose cases and metrics to score by.")],
    *,
    tier: Annotated[
        Literal["offline", "judged"], typer.Option(help="offline asks nobody; judged asks the judge too.")
    ] = "offline",
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.json and report.html; default: none are written.")
    ] = None,
) -> None:
    """Score answers that are stored already by the suite's metrics. Asks no release and keeps no run.

    Exits with 1 when nothing could be scored.
    """
    from evals.runs.score_source import score_source
    from evals.suite import load_suite

    settings = settings_of(ctx.obj)
    suite = load_suite(settings.project_dir, suite_name)
    with progress_bars() as progress:
        run = score_source(settings, suite, source, tier=tier, progress=progress, say=_say)
    _show(run, out, as_json=as_json)


def _show(run: EvalRun, folder: Path | None, *, as_json: bool) -> None:
    """Print a run and write its reports. Exits with 1 when it scored nothing."""
    from evals.reports.report import write_reports
    from evals.reports.reported_run import reported_run
    from evals.reports.run_table import build_table, summary_lines

    paths = write_reports(run, folder) if folder else None
    if as_json:
        typer.echo(json_text(run.as_json()))
    else:
        from rich.console import Console

        console = Console()
        console.print(build_table(reported_run(run)))
        for line in summary_lines(reported_run(run)):
            console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
    if paths:
        typer.echo(f"Reports: {paths[0]} and {paths[1]}", err=True)
    if not run.scored_anything:
        typer.echo(f"Nothing could be scored: all {len(run.rows)} cases failed.", err=True)
        raise typer.Exit(1)


def _say(line: str) -> None:
    typer.echo(plain(line), err=True)
