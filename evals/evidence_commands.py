"""``lockgate evals evidence``: what is on record, what it says, whether it is whole, and how it gets elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars

app = typer.Typer(no_args_is_help=True, help="Signed results of suites: list, show, verify, take elsewhere.")

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
    from evals.trusted_keys import load_trust
    from lockgate.store.database import open_database
    from lockgate.store.evidence import evidence_named

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        record = evidence_named(db, evidence)
    found = read_evidence(objects_of(settings), record.id, load_trust(settings))
    if as_json:
        typer.echo(json_text(found.as_json()))
        return
    body = found.body
    lines = [
        f"evidence  {found.id}",
        f"release   {body.release[:12]} of chain {body.chain}, mode {body.mode}",
        f"suite     {body.suite} v{body.suite_version}  {body.suite_hash[:12]}",
        f"run       {body.run}, {body.started_at:%Y-%m-%d %H:%M:%S} to {body.finished_at:%H:%M:%S} UTC",
        f"cases     {body.cases}, {body.failed} failed{'' if body.complete else ', a part of the suite only'}",
        f"judge     {body.judge['model'] if body.judge else 'none'}",
        f"key       {found.fingerprint}, {found.whose}; the signature holds",
        "",
        *(_metric_line(name, each) for name, each in body.aggregates.items()),
    ]
    typer.echo(plain("\n".join(lines)))


@app.command("verify")
def verify_command(ctx: typer.Context, evidence: EvidenceArgument, as_json: JsonOption = False) -> None:
    """Check signature and rows, and say whose key it is. Exits with 1 when something does not hold.

    A signature holds whoever made it: only that of a trusted key counts.
    """
    from evals.evidence import evidence_rows, objects_of, read_evidence
    from evals.trusted_keys import load_trust
    from lockgate.errors import LockgateError
    from lockgate.store.database import open_database
    from lockgate.store.evidence import evidence_named

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        record = evidence_named(db, evidence)
    problem, key, whose, trusted = "", "", "", False
    try:
        found = read_evidence(objects_of(settings), record.id, load_trust(settings))
        key, whose, trusted = found.fingerprint, found.whose, found.trusted
        evidence_rows(objects_of(settings), found)
    except LockgateError as error:
        problem = str(error)
    if as_json:
        body = {"evidence": record.id, "ok": not problem, "problem": problem, "key": key, "trusted": trusted}
        typer.echo(json_text(body))
    else:
        said = problem or f"ok: signed with key {key} ({whose}), and its rows are whole"
        typer.echo(plain(f"{record.id[:12]}  {said}"))
    if problem:
        raise typer.Exit(1)


@app.command("export")
def export_command(
    ctx: typer.Context,
    evidence: Annotated[
        list[str], typer.Argument(metavar="EVIDENCE...", help="Ids or at least 6 first characters of each.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file to write; one that is there is replaced.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Write evidence with its rows to one signed file, for another installation that trusts this one's key."""
    from evals.evidence_archive import export_evidence
    from lockgate.store.database import open_database
    from lockgate.store.evidence import evidence_named

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db, progress_bars() as progress:
        ids = [evidence_named(db, name).id for name in evidence]
        report = export_evidence(settings, ids, out.expanduser(), progress)
    if as_json:
        typer.echo(json_text(asdict(report)))
        return
    count = len(report.evidence)
    typer.echo(
        plain(f"{report.path}: {count} piece{'s' if count > 1 else ''} of evidence, {report.bytes / 1e6:.1f} MB.")
    )
    typer.echo(f"SHA-256 {report.sha256}")
    typer.echo(f"Written by the holder of key {report.fingerprint}")


@app.command("import")
def import_command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `lockgate evals evidence export` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Take in evidence from a file, checked to the last byte before anything of it is kept.

    It counts only while the key that signed it is trusted here, and only for its release and suite.
    """
    from evals.evidence_archive import import_evidence
    from lockgate.store.database import open_database

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db, progress_bars() as progress:
        taken = import_evidence(settings, db, file.expanduser(), progress)
    if as_json:
        typer.echo(json_text([asdict(each) for each in taken]))
        return
    for each in taken:
        typer.echo(each.evidence)
        state = "is here now" if each.new else "was here already"
        about = f"{each.suite} v{each.suite_version} on release {each.release[:12]}, signed with key {each.key}"
        typer.echo(plain(f"Evidence {each.evidence[:12]} {state}: {about}, {each.whose}."), err=True)
    if any(not each.trusted for each in taken):
        from evals.trusted_keys import FILE

        typer.echo(f"What is not trusted never counts. If you know whose key it is, add it to {FILE}.", err=True)


@app.command("key")
def key_command(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Print this installation's public key, for the list of trusted keys of another one; made on first use."""
    from evals.trusted_keys import FILE
    from lockgate.signing import sign

    settings = settings_of(ctx.obj)
    signature = sign(settings.state_dir, b"")
    if as_json:
        typer.echo(json_text({"key": signature.key, "fingerprint": signature.fingerprint}))
        return
    typer.echo(signature.key)
    typer.echo(f"Fingerprint {signature.fingerprint}. To trust it elsewhere, add to {FILE} there:", err=True)
    typer.echo(f"keys:\n  - name: a name for this installation\n    key: {signature.key}", err=True)


def _metric_line(name: str, each: dict[str, Any]) -> str:
    if each.get("value") is None:
        return f"{name:<24} not measured, {each.get('unscored', 0)} unscored"
    return (
        f"{name:<24} {each['value']:.3f}  [{each['low']:.3f}, {each['high']:.3f}]  n {each['n']}, "
        f"{each['unscored']} unscored"
    )
