"""``lockgate evals``: run suites and list them."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lockgate.settings import Settings, settings_of
from lockgate.terminal import json_text, plain, progress_bars

if TYPE_CHECKING:
    from evals.run import EvalRun

app = typer.Typer(no_args_is_help=True, help="Measure answers: run suites, read reports.")

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


@app.command("run")
def run_command(
    ctx: typer.Context,
    suite_name: Annotated[str, typer.Argument(metavar="SUITE", help="Name of a folder in evals/suites/.")],
    *,
    mode: Annotated[
        Literal["extractive", "generative"] | None,
        typer.Option(help="Answer mode; default: what the chain definition says."),
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="The release to measure; default: one built from the project's files.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Measure the release that this channel points at.")] = None,
    chain: Annotated[str | None, typer.Option(help="The chain to measure; default: LOCKGATE_CHAIN.")] = None,
    split: Annotated[Literal["dev", "test", "all"], typer.Option(help="Which half of the cases to ask.")] = "all",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first N cases of the split.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Cases asked at once.")] = 2,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.json and report.html; default: <state>/evals/<run id>.")
    ] = None,
) -> None:
    """Ask every case of a suite, print the metrics with intervals, write a JSON and an HTML report.

    Exits with 1 when the suite is broken or nothing could be scored.
    """
    from chains.local import open_asker
    from chains.target import Target
    from evals.report import build_table, summary_lines, write_reports
    from evals.run import run_suite
    from evals.suite import load_suite

    settings = settings_of(ctx.obj)
    suite = load_suite(settings.project_dir, suite_name)
    facts = _measured_release(settings, release, channel, chain)
    target = Target(release=facts["release"])
    with open_asker(settings, target, command="lockgate evals run") as asker, progress_bars() as progress:
        run = asyncio.run(
            run_suite(
                suite,
                asker,
                asker,
                mode=mode,
                split=split,
                limit=limit,
                concurrency=concurrency,
                progress=progress,
                metadata=facts,
            )
        )
    folder = out or settings.state_dir / "evals" / run.id
    json_path, html_path = write_reports(run, folder)
    _record(settings, run)
    if as_json:
        typer.echo(json_text(run.as_json()))
    else:
        from rich.console import Console

        console = Console()
        console.print(build_table(run))
        for line in summary_lines(run):
            console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
    typer.echo(f"Reports: {json_path} and {html_path}", err=True)
    if not run.scored_anything:
        typer.echo(f"Nothing could be scored: all {len(run.rows)} cases failed.", err=True)
        raise typer.Exit(1)


def _measured_release(
    settings: Settings, release: str | None, channel: str | None, chain: str | None
) -> dict[str, str]:
    """Which release a run measures, and what of it the run is kept by. Raises UserError, NotFound."""
    from chains.release import build_from_project
    from chains.release_commands import release_named
    from lockgate.errors import UserError
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    if release and (channel or chain):
        raise UserError("--release knows its own chain: leave out --channel and --chain.")
    if not release and not channel:
        release = build_from_project(settings, chain or settings.chain).id
    with open_database(settings.database) as db:
        name = release_named(settings, db, release or f"{chain or settings.chain}@{channel}")
        manifest = open_releases(settings, db).manifest(name)
    typer.echo(f"Measuring release {name[:12]} of chain {manifest.name}.", err=True)
    return {"chain": manifest.name, "model": manifest.model.name, "release": name, "lockgate": version("lockgate")}


def _record(settings: Settings, run: EvalRun) -> None:
    """Keep the run in the store: ``auto`` reads the newest complete run of each mode from there."""
    from lockgate.store.database import open_database
    from lockgate.store.eval_runs import EvalRunRecord, write_eval_run
    from lockgate.store.objects import ObjectStore

    definition, snapshots = run.suite.definition, run.snapshots
    rows = [row.as_json() for row in run.rows]
    record = EvalRunRecord(
        id=run.id,
        suite=definition.name,
        suite_version=str(definition.version),
        suite_hash=run.suite.hash,
        chain=str(run.metadata["chain"]),
        mode=run.mode,
        # Quoting needs no chat model, so an extractive run stands for every one of them.
        model="" if run.mode == "extractive" else str(run.metadata["model"]),
        release=str(run.metadata["release"]),
        snapshot=snapshots[0] if len(snapshots) == 1 else ",".join(snapshots),
        started_at=run.started_at,
        finished_at=run.finished_at,
        aggregates=run.aggregates,
        rows_hash=ObjectStore(settings.state_dir / "objects").put(json.dumps(rows, ensure_ascii=False).encode()),
        metadata={**run.metadata, "split": run.split, "limit": run.limit},
    )
    with open_database(settings.database) as db:
        write_eval_run(db, record)
