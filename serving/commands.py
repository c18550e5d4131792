"""``lockgate init``, ``serve``, ``up``, ``doctor`` and ``version``: the commands that are about the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lockgate.settings import Settings, load_settings
from lockgate.terminal import plain, progress_bars
from serving.init_commands import init

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HostOption = Annotated[str | None, typer.Option(help="Loopback address to listen on; default: LOCKGATE_HOST.")]
PortOption = Annotated[int | None, typer.Option(min=1, max=65535, help="Port; default: LOCKGATE_PORT, else 8000.")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module at the root."""
    app.command()(init)
    app.command()(up)
    app.command()(serve)
    app.command()(doctor)
    app.command()(version)


def up(
    ctx: typer.Context,
    docs: Annotated[
        Path | None, typer.Argument(help="A folder of documents; default: the project's sources, else its docs/.")
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
) -> None:
    """Fetch what is missing, index the documents, serve chat: everything, with one command."""
    from lockgate.models.fetch import ensure
    from lockgate.owner import acquire
    from serving.plan import make_plan
    from serving.server import listen, serve

    settings = _with_address(ctx.obj, host, port)
    plan = make_plan(settings, docs)
    for line in plan.lines():
        _note(line)
    # Who has the index or the port is told before a download, not after it.
    acquire(settings.state_dir, "lockgate up").release()
    with listen(settings):
        pass
    with progress_bars(in_bytes=True) as progress:
        for entry in plan.missing:
            ensure(entry, settings.models_path, progress=progress)
    serve(settings, command="lockgate up", say=_say, bars=progress_bars, sync=plan.sync, keep_staging=True)


def serve(ctx: typer.Context, host: HostOption = None, port: PortOption = None) -> None:
    """Serve what is indexed: chat page, OpenAI-compatible API, metrics."""
    from serving import server
    from serving.plan import require_models

    settings = _with_address(ctx.obj, host, port)
    require_models(settings)
    server.serve(settings, command="lockgate serve", say=_say, bars=progress_bars)


def doctor(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Look at everything a server needs and say what is wrong. Changes nothing."""
    from serving import doctor as clinic

    findings = clinic.examine(ctx.obj)
    report = clinic.as_json(findings)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        marks = {True: "ok", False: "WRONG", None: "-"}
        for finding in findings:
            typer.echo(plain(f"{marks[finding.ok]:<6} {finding.name:<10} {finding.detail}"))
            if finding.hint and finding.ok is not True:
                typer.echo(plain(f"{'':<18}{finding.hint}"))
        typer.echo("\n" + "  ".join(f"{name} {number}" for name, number in report["versions"].items()))
    if not report["ok"]:
        raise typer.Exit(1)


def version(as_json: JsonOption = False) -> None:
    """Which version this is."""
    from serving.doctor import versions

    found = versions()
    typer.echo(json.dumps(found, indent=2) if as_json else f"lockgate {found['lockgate']}")


def _with_address(settings: Settings, host: str | None, port: int | None) -> Settings:
    return load_settings(project=settings.project, host=host, port=port) if host or port else settings


def _say(line: str) -> None:
    """Something worth reading on standard output; what only explains the waiting goes to standard error."""
    typer.echo(plain(line), err=line.startswith("waiting:"))


def _note(line: str) -> None:
    typer.echo(plain(line), err=True)
