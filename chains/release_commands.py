"""``lockgate release``: build, list, diff, verify. Commands that need evals or channels are added by those layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain

if TYPE_CHECKING:
    from lockgate.settings import Settings
    from lockgate.store.database import Database
    from lockgate.store.releases import ReleaseRecord

app = typer.Typer(
    no_args_is_help=True, help="Releases pin everything an answer depends on; channels point at releases."
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ReleaseArgument = Annotated[
    str, typer.Argument(metavar="RELEASE", help="A release's id or its first characters, or a channel.")
]


@app.command()
def build(
    ctx: typer.Context,
    chain: Annotated[str | None, typer.Option(help="The chain to build; default: LOCKGATE_CHAIN.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="A kept snapshot instead of the current one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve a chain into a release: prompts, snapshot, models, policy and settings, named by their hash."""
    from chains.release import build_from_project

    settings = settings_of(ctx.obj)
    record = build_from_project(settings, settings.chain if chain is None else chain, snapshot=snapshot)
    if as_json:
        typer.echo(json_text(describe(record)))
        return
    typer.echo(record.id)
    body = provenance_body(record)
    commit = f"commit {str(body['commit'])[:12]}" if body.get("commit") else "no git commit"
    changed = ", with changes" if body.get("dirty") else ""
    typer.echo(plain(f"Chain {record.chain}, snapshot {record.snapshot[:12]}, {commit}{changed}."), err=True)
    typer.echo(f"Next: lockgate release promote {record.id[:12]} staging", err=True)


@app.command("list")
def list_(
    ctx: typer.Context,
    chain: Annotated[str | None, typer.Option(help="Only releases of this chain.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    all_of_them: Annotated[bool, typer.Option("--all", help="Also those that were made for a comparison.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Releases, newest first, with the channels that point at them."""
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        records = open_releases(settings, db).list(chain=chain, limit=limit, all_of_them=all_of_them)
        marks = channel_marks(db)
    if as_json:
        typer.echo(json_text([describe(record) | {"channels": marks[record.id]} for record in records]))
        return
    if not records:
        typer.echo("No release yet. Run: lockgate release build", err=True)
    for record in records:
        channels = ", ".join(marks[record.id])
        builder = str(provenance_body(record).get("builder", "?"))
        typer.echo(
            plain(
                f"{record.id[:12]}  {record.created_at:%Y-%m-%d %H:%M}  {record.chain:<12} snapshot "
                f"{record.snapshot[:12]}  by {builder}{f'  [{channels}]' if channels else ''}"
            )
        )


@app.command()
def diff(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help="A release or channel.")],
    after: Annotated[str, typer.Argument(metavar="B", help="A release or channel.")],
    as_json: JsonOption = False,
) -> None:
    """What changes from one release to another: prompts, policy, snapshot, settings."""
    from rich.console import Console

    from chains.release_diff import diff_releases
    from chains.release_diff_view import render
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        store = open_releases(settings, db)
        first, second = (store.manifest(release_named(settings, db, name)) for name in (before, after))
        found = diff_releases(first, second, store.objects)
    if as_json:
        typer.echo(json_text(found.as_json()))
    else:
        render(found, Console())


@app.command()
def verify(ctx: typer.Context, release: ReleaseArgument, as_json: JsonOption = False) -> None:
    """Check that everything a release pins is here and matches its hash. Exits with 1 when something does not."""
    from chains.release import verify_release
    from lockgate.store.database import open_database

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        name = release_named(settings, db, release)
        problems = verify_release(settings, db, name, deep=True)
    if as_json:
        typer.echo(json_text({"release": name, "ok": not problems, "problems": problems}))
    else:
        typer.echo(f"{name[:12]}  {'ok: everything it pins is here' if not problems else 'NOT whole'}")
        for problem in problems:
            typer.echo(plain(f"  {problem}"))
    if problems:
        raise typer.Exit(1)


def release_named(settings: Settings, db: Database, name: str) -> str:
    """The id of the release that ``name`` is, begins with, or points at as a channel. Empty text is no name: an unset
    variable of a script must not mean whatever is the default."""
    from chains.target import read_target, resolve
    from lockgate.errors import NotFound, UserError
    from lockgate.store.releases import open_releases

    if not name.strip():
        raise UserError("The name of a release is empty.", hint="See: lockgate release list")
    store = open_releases(settings, db)
    try:
        target = read_target(db, name, settings.chain)
    except NotFound:
        return store.find(name).id  # fewer characters than the API asks for
    return resolve(db, store, target, settings.chain).release


def channel_marks(db: Database) -> dict[str, list[str]]:
    """Release id to the channels that point at it, in words: "production of docs (forced)"."""
    from lockgate.store.channels import list_channels

    marks: dict[str, list[str]] = defaultdict(list)
    for record in list_channels(db):
        where = f"{record.channel} of {record.chain}"
        if record.release:
            marks[record.release].append(f"{where} (forced)" if record.forced else where)
        if record.rollout:
            kind = f"{record.rollout.share:g} %" if record.rollout.kind == "percent" else "shadow"
            marks[record.rollout.release].append(f"{kind} of {where}{' (forced)' if record.rollout.forced else ''}")
    return marks


def provenance_body(record: ReleaseRecord) -> Mapping[str, Any]:
    """What the provenance says; nothing where the row was tampered with."""
    body = record.provenance.get("body")
    return body if isinstance(body, dict) else {}


def describe(record: ReleaseRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "chain": record.chain,
        "snapshot": record.snapshot,
        "purpose": record.purpose or None,
        "created_at": record.created_at.isoformat(),
        "provenance": dict(record.provenance),
    }
