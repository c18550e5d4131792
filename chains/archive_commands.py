"""``lockgate release export`` and ``import``: one file, for a machine without a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain, progress_bars

if TYPE_CHECKING:
    from chains.archive import ImportReport
    from ingestion.service import IndexService
    from lockgate.release import Manifest
    from lockgate.settings import Settings
    from lockgate.store.database import Database

app = typer.Typer(no_args_is_help=True, help="Releases as files.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def export(
    ctx: typer.Context,
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="A release's id or its first characters, or a channel.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; one that is there is replaced.")],
    index: Annotated[bool, typer.Option("--index", help="With the index, so that it need not be made again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a release to one signed file. Model weights stay out: pull or copy them apart."""
    from chains.archive import export_release
    from chains.release_commands import release_named
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases

    settings = settings_of(ctx.obj)
    with open_database(settings.database) as db, contextlib.ExitStack() as held, progress_bars() as progress:
        name = release_named(settings, db, release)
        manifest = open_releases(settings, db).manifest(name)
        service = held.enter_context(_own_index(settings, db, manifest, "lockgate release export")) if index else None
        report = export_release(settings, db, name, file.expanduser(), index=service, progress=progress)
    if as_json:
        typer.echo(json_text(asdict(report)))
        return
    what = f"with {report.pages} pages, {report.chunks} chunks" if report.index else "without the index"
    typer.echo(plain(f"{report.path}: release {report.release[:12]}, {what}, {report.bytes / 1e6:.1f} MB."))
    typer.echo(f"SHA-256 {report.sha256}")
    typer.echo(f"Signed with key {report.fingerprint}")


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `lockgate release export` wrote.")],
    require_key: Annotated[
        list[str] | None,
        typer.Option(metavar="FINGERPRINT", help="Take it only if this key signed; several may be given."),
    ] = None,
    index: Annotated[bool, typer.Option("--index/--no-index", help="Take in the index, if the file has one.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Take in a release from a file, checked to the last byte before anything of it is kept."""
    from chains.archive import import_release
    from lockgate.store.database import open_database

    settings = settings_of(ctx.obj)

    def open_index(manifest: Manifest) -> contextlib.AbstractContextManager[IndexService]:
        return _own_index(settings, db, manifest, "lockgate release import")

    with open_database(settings.database) as db, progress_bars() as progress:
        report = import_release(
            settings,
            db,
            file.expanduser(),
            open_index=open_index if index else None,
            require_keys=require_key or (),
            progress=progress,
        )
    if as_json:
        typer.echo(json_text(asdict(report)))
        return
    typer.echo(report.release)
    for line in _describe(report):
        typer.echo(plain(line), err=True)


@contextlib.contextmanager
def _own_index(settings: Settings, db: Database, manifest: Manifest, command: str) -> Iterator[IndexService]:
    """The index of the release's embedder, held by this process. Raises Conflict naming the server that has it."""
    from ingestion.embedding import open_pinned_embedder
    from ingestion.service import IndexService
    from lockgate.owner import acquire

    with (
        acquire(settings.state_dir, command),
        IndexService(settings, db, open_pinned_embedder(settings, manifest.embedder.files)) as service,
    ):
        yield service


def _describe(report: ImportReport) -> Iterator[str]:
    state = "is here now" if report.new else "was here already"
    yield f"Release {report.release[:12]} of chain {report.chain} {state}."
    yield f"Built by the holder of key {report.builder}{_own(report.own_builder)}."
    yield f"Written by the holder of key {report.exporter}{_own(report.own_exporter)}."
    snapshot = f"snapshot {report.snapshot[:12]}"
    if report.index == "imported":
        yield f"Index: {snapshot} with {report.pages} pages, {report.chunks} chunks."
    elif report.index == "here already":
        yield f"Index: {snapshot} was here already."
    else:
        why = "the file has none" if report.index == "none" else "left out"
        yield f"Index: {why}. The release answers once {snapshot} is here."
    yield f"Next: lockgate release verify {report.release[:12]}"


def _own(own: bool) -> str:
    return ", which is this installation's" if own else ""
