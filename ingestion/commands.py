"""``lockgate ingestion``: sync, status, snapshots, search."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lockgate.settings import Settings, settings_of
from lockgate.terminal import json_text, plain, progress_bars

if TYPE_CHECKING:
    from ingestion.service import IndexService
    from lockgate.store.database import Database

app = typer.Typer(no_args_is_help=True, help="Read documents into a snapshot of the index.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_SHOWN_REJECTIONS = 20


@app.command()
def sync(
    ctx: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(help="A folder of documents; default: the project's ingestion/sources/*.yaml.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the current snapshot hold exactly these documents. Unchanged pages cost nothing."""
    from lockgate.owner import find_server
    from lockgate.remote import remote_sync

    settings = settings_of(ctx.obj)
    if handle := find_server(settings.state_dir):
        with progress_bars() as progress:
            report = remote_sync(handle, str(path.expanduser().absolute()) if path else "", progress)
    else:
        with _open(settings, "lockgate ingestion sync") as (service, _), progress_bars() as progress:
            report = service.sync(path, progress).to_json()
    typer.echo(json_text(report) if as_json else _describe(report))
    _say_what_stays(settings, str(report["snapshot"]))


def _say_what_stays(settings: Settings, snapshot: str) -> None:
    """A sync changes no answer: whoever expects one is told what does."""
    from lockgate.store.database import open_database
    from lockgate.store.releases import stale_channels

    with open_database(settings.database) as db:
        stale = stale_channels(db, snapshot)
    if stale:
        typer.echo(
            f"Still answering from the snapshot of their release: {', '.join(stale)}.\n"
            "To answer from this one: lockgate release build, then: lockgate release promote RELEASE CHANNEL",
            err=True,
        )


@app.command()
def status(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """What is indexed, and whether a sync is under way."""
    from lockgate.owner import find_owner, find_server
    from lockgate.remote import remote_status
    from lockgate.store.database import open_database
    from lockgate.store.snapshots import current_snapshot, last_sync

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        record, sync_record = current_snapshot(db), last_sync(db)
    handle = find_server(settings.state_dir)
    owner = find_owner(settings.state_dir)
    body: dict[str, Any] = {
        "snapshot": record.id if record else None,
        "kind": record.kind if record else None,
        "documents": record.documents if record else 0,
        "chunks": record.chunks if record else 0,
        "created_at": record.created_at.isoformat() if record else None,
        "indexing": remote_status(handle).get("indexing") if handle else None,
        "last_sync": sync_record.state if sync_record else None,
        "owner": owner.describe() if owner else None,
    }
    if as_json:
        typer.echo(json_text(body))
        return
    if record is None:
        typer.echo("Nothing is indexed yet. Run: lockgate ingestion sync PATH")
    else:
        typer.echo(
            f"Snapshot {record.id[:12]} ({record.kind}): {record.documents} pages, {record.chunks} chunks, "
            f"made {record.created_at:%Y-%m-%d %H:%M} UTC."
        )
    if body["indexing"] is not None:
        typer.echo(f"Still indexing: {100 * body['indexing']:.0f} %.")
    if owner:
        typer.echo(plain(f"The index is open in {owner.describe()}."))


@app.command()
def snapshots(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """The snapshots that can be asked, newest first."""
    from lockgate.store.database import open_database
    from lockgate.store.snapshots import current_snapshot, list_snapshots

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db:
        records, current = list_snapshots(db), current_snapshot(db)
    if as_json:
        rows = [asdict(r) | {"created_at": r.created_at.isoformat(), "current": r == current} for r in records]
        typer.echo(json_text(rows))
        return
    if not records:
        typer.echo("Nothing is indexed yet. Run: lockgate ingestion sync PATH")
    for record in records:
        mark = "*" if current and record.seq == current.seq else " "
        pin = "  pinned" if record.pinned else ""
        typer.echo(
            f"{mark} {record.id[:12]}  {record.kind:<6}  {record.documents:>6} pages  {record.chunks:>7} chunks  "
            f"{record.created_at:%Y-%m-%d %H:%M:%S} UTC{pin}"
        )


SnapshotName = Annotated[str, typer.Argument(help="A snapshot, by id or at least six of its first characters.")]


@app.command()
def pin(ctx: typer.Context, snapshot: SnapshotName) -> None:
    """Keep a snapshot, however many newer ones there are."""
    _set_pinned(ctx, snapshot, True)


@app.command()
def unpin(ctx: typer.Context, snapshot: SnapshotName) -> None:
    """Let a snapshot go when five newer ones are there."""
    _set_pinned(ctx, snapshot, False)


def _set_pinned(ctx: typer.Context, name: str, pinned: bool) -> None:
    from lockgate.errors import NotFound
    from lockgate.store.database import open_database
    from lockgate.store.snapshots import set_pinned

    with open_database(settings_of(ctx.obj).database) as db:
        record = set_pinned(db, name, pinned)
    if record is None:
        raise NotFound(f"There is no snapshot {name!r}.", hint="See: lockgate ingestion snapshots")
    typer.echo(f"{record.id[:12]} is {'pinned' if pinned else 'not pinned'}.")


@app.command()
def search(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many passages.")] = 5,
    snapshot: Annotated[str, typer.Option(help="A kept snapshot, by id or its first characters.")] = "",
    as_json: JsonOption = False,
) -> None:
    """What retrieval finds for a question, with the scores that decide."""
    from ingestion.options import RetrievalOptions
    from ingestion.retriever import SnapshotRetriever
    from lockgate.errors import UserError
    from lockgate.owner import find_server
    from lockgate.remote import RemoteRetriever

    settings = settings_of(ctx.obj)
    if handle := find_server(settings.state_dir):
        if snapshot:
            raise UserError(
                f"`{handle.command}` (process {handle.pid}) owns the index and searches its current snapshot.",
                hint="Stop it, or leave out --snapshot.",
            )
        found = RemoteRetriever(handle).retrieve(question, limit=limit)
    else:
        with _open(settings, "lockgate ingestion search") as (service, _):
            opened = service.open_snapshot(snapshot) if snapshot else service.current()
            found = SnapshotRetriever(service, RetrievalOptions(), lambda: opened).retrieve(question, limit=limit)
    if as_json:
        typer.echo(json_text(asdict(found)))
        return
    cosine = f"{found.cosine:.3f}" if found.cosine is not None else "none (BM25 only)"
    typer.echo(f"snapshot {found.snapshot[:12]}  cosine {cosine}  rare terms found {found.rare_share:.2f}\n")
    for number, passage in enumerate(found.passages, start=1):
        chunk = passage.chunk
        where = " > ".join((chunk.title, *chunk.heading))
        typer.echo(plain(f"{number}. {passage.score:.3f}  {chunk.path}  {where}"))
        typer.echo("   " + plain(" ".join(chunk.text.split()))[:200] + "\n")


@contextlib.contextmanager
def _open(settings: Settings, command: str) -> Iterator[tuple[IndexService, Database]]:
    """The index, owned by this process for as long as the command runs."""
    from ingestion.embedding import open_embedder
    from ingestion.service import IndexService
    from lockgate.owner import acquire
    from lockgate.store.database import open_database

    with (
        acquire(settings.state_dir, command),
        open_database(settings.database) as db,
        IndexService(settings, db, open_embedder(settings)) as service,
    ):
        yield service, db


def _describe(report: dict[str, Any]) -> str:
    lines = [
        f"Snapshot {report['snapshot'][:12]} ({report['kind']}): {report['pages']} pages, {report['chunks']} chunks.",
        f"Pages: {report['added']} added, {report['changed']} changed, {report['removed']} removed, "
        f"{report['unchanged']} unchanged.",
        f"Chunks: {report['embedded']} embedded in {report['embed_seconds']:.1f} s, {report['reused']} vectors reused. "
        f"{report['seconds']:.1f} s in all.",
    ]
    if report["duplicates"]:
        lines.append(f"{report['duplicates']} page(s) have the same content as another one.")
    rejected = report["rejected"]
    if rejected:
        lines.append(f"Set aside: {len(rejected)} file(s).")
        lines += [f"  {plain(path)}: {plain(reason)}" for _, path, reason in rejected[:_SHOWN_REJECTIONS]]
        if len(rejected) > _SHOWN_REJECTIONS:
            lines.append(f"  and {len(rejected) - _SHOWN_REJECTIONS} more: --json lists all.")
    return "\n".join(lines)
