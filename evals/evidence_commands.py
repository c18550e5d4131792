"""``lockgate evals evidence``: what is on record, what it says, and whether it is whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain

app = typer.Typer(no_args_is_help=True, help="Signed results of suites: list, show, verify.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
EvidenceArgument = Annotated[str, typer.Argument(metavar="EVIDENCE", help="Its id or at least 6 first characters.")]


@app.command("list")
def list_command(
    ctx: typer.Context,
    release: Annotated[str | None, typer.Option(help="Only that of this release.")] = None,
    suite: Annotated[str | None, typer.Option(help="Only that of this suite.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest N.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List the evidence on record, newest first."""
    from chains.release_commands import release_named
    from lockgate.store.database import open_database
    from lockgate.store.evidence import list_evidence

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        wanted = release_named(settings, db, release) if release else None
        records = list_evidence(db, release=wanted, suite=suite, limit=limit)
    if as_json:
        typer.echo(json_text([{**asdict(each), "created_at": each.created_at.isoformat()} for each in records]))
        return
    if not records:
        typer.echo("No evidence yet. Run: lockgate evals run SUITE --release RELEASE", err=True)
    for each in records:
        typer.echo(
            plain(
                f"{each.id[:12]}  {each.created_at:%Y-%m-%d %H:%M}  release {each.release[:12]}  "
                f"{each.suite} v{each.suite_version}  run {each.run}"
            )
        )


@app.command("show")
def show_command(ctx: typer.Context, evidence: EvidenceArgument, as_json: JsonOption = False) -> None:
    """Print what a piece of evidence says. Exits with 1 when it was touched."""
    from evals.evidence import objects_of, read_evidence
    from lockgate.signing import own_key_fingerprint
    from lockgate.store.database import open_database
    from lockgate.store.evidence import evidence_named

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        record = evidence_named(db, evidence)
    found = read_evidence(objects_of(settings), record.id, own_key_fingerprint(settings.state_dir))
    if as_json:
        typer.echo(json_text(found.as_json()))
        return
    body = found.body
    whose = "this installation's own" if found.own else "another installation's"
    lines = [
        f"evidence  {found.id}",
        f"release   {body.release[:12]} of chain {body.chain}, mode {body.mode}",
        f"suite     {body.suite} v{body.suite_version}  {body.suite_hash[:12]}",
        f"run       {body.run}, {body.started_at:%Y-%m-%d %H:%M:%S} to {body.finished_at:%H:%M:%S} UTC",
        f"cases     {body.cases}, {body.failed} failed{'' if body.complete else ', a part of the suite only'}",
        f"judge     {body.judge['model'] if body.judge else 'none'}",
        f"key       {found.fingerprint}, {whose}; the signature holds",
        "",
        *(_metric_line(name, each) for name, each in body.aggregates.items()),
    ]
    typer.echo(plain("\n".join(lines)))


@app.command("verify")
def verify_command(ctx: typer.Context, evidence: EvidenceArgument, as_json: JsonOption = False) -> None:
    """Check signature and rows. Exits with 1 when something does not hold."""
    from evals.evidence import evidence_rows, objects_of, read_evidence
    from lockgate.errors import LockgateError
    from lockgate.signing import own_key_fingerprint
    from lockgate.store.database import open_database
    from lockgate.store.evidence import evidence_named

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        record = evidence_named(db, evidence)
    problem, key = "", ""
    try:
        found = read_evidence(objects_of(settings), record.id, own_key_fingerprint(settings.state_dir))
        key = found.fingerprint
        evidence_rows(objects_of(settings), found)
    except LockgateError as error:
        problem = str(error)
    if as_json:
        typer.echo(json_text({"evidence": record.id, "ok": not problem, "problem": problem, "key": key}))
    else:
        typer.echo(plain(f"{record.id[:12]}  {problem or f'ok: signed with key {key}, and its rows are whole'}"))
    if problem:
        raise typer.Exit(1)


def _metric_line(name: str, each: dict[str, Any]) -> str:
    if each.get("value") is None:
        return f"{name:<24} not measured, {each.get('unscored', 0)} unscored"
    return (
        f"{name:<24} {each['value']:.3f}  [{each['low']:.3f}, {each['high']:.3f}]  n {each['n']}, "
        f"{each['unscored']} unscored"
    )
