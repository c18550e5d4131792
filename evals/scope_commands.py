"""``lockgate scope``: show a project's scope with its targets beside measurements, and check the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lockgate.errors import LockgateError, NotFound
from lockgate.settings import Settings, settings_of
from lockgate.terminal import json_text, plain

if TYPE_CHECKING:
    from evals.targets import TargetRow
    from lockgate.scope import Scope
    from lockgate.store.database import Database
    from lockgate.store.releases import ReleaseStore

app = typer.Typer(no_args_is_help=True, help="The project's scope: users, questions, targets, data.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True)
class Measured:
    """The targets of one release; ``channel`` is what points at it, "" when it was named."""

    channel: str
    release: str
    rows: list[TargetRow]


@app.command()
def show(
    ctx: typer.Context,
    release: Annotated[
        str | None, typer.Option(help="A release, by id or its first characters; default: those of the channels.")
    ] = None,
    chain: Annotated[str | None, typer.Option(help="Whose channels to look at; default: LOCKGATE_CHAIN.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the scope, and its targets beside what was measured of each channel's release."""
    from evals.targets import unmeasured
    from lockgate.scope import load_scope

    settings = settings_of(ctx.obj)
    scope = load_scope(settings.project_dir)
    if scope is None:
        raise _no_scope(settings.project_dir)
    measured = _measure(settings, scope, release, chain or settings.chain)
    if as_json:
        typer.echo(json_text(_as_json(scope, measured)))
        return
    for line in _scope_lines(scope):
        typer.echo(plain(line))
    if not scope.targets:
        return
    for each in measured or [Measured("", "", unmeasured(scope, "no channel points at a release"))]:
        typer.echo(plain("\n".join(_measured_lines(each))))


@app.command()
def lint(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Check scope.yaml: keys, and that every target has a metric that can be measured. Exits with 1 on a problem."""
    from evals.targets import known_metrics
    from lockgate.scope import lint_scope

    project = settings_of(ctx.obj).project_dir
    problems = lint_scope(project, known_metrics())
    if problems is None:
        raise _no_scope(project)
    if as_json:
        found = [{"file": str(each.path), "line": each.line, "message": each.message} for each in problems]
        typer.echo(json_text({"ok": not problems, "problems": found}))
    else:
        typer.echo(plain("\n".join(str(each) for each in problems) or "scope.yaml: no problems."))
    if problems:
        raise typer.Exit(1)


def _no_scope(project: Path) -> NotFound:
    return NotFound(
        f"{project / 'scope.yaml'}: no such file.", hint="docs/scope.md shows one; `lockgate init` makes one."
    )


def _measure(settings: Settings, scope: Scope, release: str | None, chain: str) -> list[Measured]:
    from evals.gate import channels
    from lockgate.store.channels import get_channel
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    with open_database(settings.database) as db:
        releases = open_releases(settings, db)
        if release is not None:
            found = [("", releases.find(release).id)]
        else:
            records = [get_channel(db, channel, chain) for channel in channels(settings.project_dir)]
            found = [(record.channel, record.release) for record in records if record.release]
        return [Measured(channel, id_, _rows(db, releases, scope, id_)) for channel, id_ in found]


def _rows(db: Database, releases: ReleaseStore, scope: Scope, release: str) -> list[TargetRow]:
    """One channel's broken release must not hide what was measured of the others."""
    from evals.targets import measure_targets, unmeasured

    try:
        mode = releases.manifest(release).route.mode
    except LockgateError as error:
        return unmeasured(scope, error.message)
    return measure_targets(db, scope, release, mode=mode)


def _as_json(scope: Scope, measured: list[Measured]) -> dict[str, Any]:
    body = scope.file.model_dump(mode="json")
    body["measured"] = [
        {"channel": each.channel, "release": each.release, "targets": [row.as_json() for row in each.rows]}
        for each in measured
    ]
    return body


def _scope_lines(scope: Scope) -> list[str]:
    file = scope.file
    lines = [f"Owner: {file.owner}"]
    parts = (
        ("Users", file.users),
        ("Questions in scope", file.in_scope),
        ("Questions out of scope", file.out_of_scope),
        ("Data allowed", file.data.allowed),
        ("Data forbidden", file.data.forbidden),
    )
    for title, texts in parts:
        if texts:
            lines += [f"{title}:", *(f"  - {text}" for text in texts)]
    return lines


def _measured_lines(each: Measured) -> list[str]:
    from evals.targets import target_lines

    name = f"{each.channel}, release {each.release[:12]}" if each.channel else f"release {each.release[:12]}"
    title = f"Targets, {name}:" if each.release else "Targets:"
    return ["", title, *(f"  {line}" for line in target_lines(each.rows))]
