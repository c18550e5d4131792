"""``lockgate models``: fetch, list and verify model files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lockgate.errors import Corrupt, NotFound, UserError
from lockgate.models.catalogue import MEGABYTE, Catalogue, ModelEntry, disk_bytes, download_bytes, load_catalogue
from lockgate.models.fetch import VerifyResult, ensure, model_folder, verify
from lockgate.settings import settings_of
from lockgate.terminal import progress_bars

app = typer.Typer(help="Model weights: fetch, list and verify them.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def pull(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Models of the catalogue; default: the default ones.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every model of the catalogue.")] = False,
) -> None:
    """Fetch models and check their SHA-256. What is here and whole is not fetched again."""
    settings = settings_of(ctx.obj)
    catalogue = load_catalogue(settings.project_dir)
    if names and every:
        raise UserError("Give names or --all, not both.")
    entries = _chosen(catalogue, names) if names else catalogue.models if every else catalogue.defaults()
    pull_models(entries, settings.models_path)


def pull_models(entries: Sequence[ModelEntry], models_path: Path) -> None:
    """Fetch ``entries``: sizes and free disk first, then a progress bar on stderr, one line a model on stdout."""
    absent = [entry for entry in entries if not model_folder(entry, models_path).is_dir()]
    if absent:
        typer.echo(describe_download(absent, models_path), err=True)
    with progress_bars(in_bytes=True) as progress:
        folders = [(entry.name, ensure(entry, models_path, progress=progress)) for entry in entries]
    for name, folder in folders:
        typer.echo(f"{name}\t{folder}")


def describe_download(entries: Sequence[ModelEntry], models_path: Path) -> str:
    """What fetching ``entries`` will download and need, against the free disk; one line."""
    existing = next(path for path in (models_path, *models_path.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    download = sum(download_bytes(entry) for entry in entries) // MEGABYTE
    disk = sum(disk_bytes(entry) for entry in entries) // MEGABYTE
    names = ", ".join(entry.name for entry in entries)
    return (
        f"Downloading {download} MB ({names}), up to {disk} MB of disk; {free // MEGABYTE} MB are free in {existing}."
    )


@app.command("list")
def list_models(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """The models of the catalogue and whether they are on this machine."""
    settings = settings_of(ctx.obj)
    rows = [_row(entry, settings.models_path) for entry in load_catalogue(settings.project_dir).models]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = "here" if row["fetched"] else f"not fetched ({row['download_mb']} MB)"
        typer.echo(f"{row['name']}\t{row['kind']}\t{row['licence']}\t{state}\t{row['description']}")


@app.command("verify")
def verify_models(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Models of the catalogue; default: those fetched.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every file again and compare. Fails when a file differs, or a named model is not here."""
    settings = settings_of(ctx.obj)
    catalogue = load_catalogue(settings.project_dir)
    entries = _chosen(catalogue, names) if names else catalogue.models
    results = [verify(entry, settings.models_path) for entry in entries]
    if not names:
        results = [result for result in results if result.status != "missing"]
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results], indent=2))
    else:
        for result in results:
            typer.echo("\t".join([result.name, result.status, *result.problems]))
        if not results:
            typer.echo("No model is fetched yet. Run: lockgate models pull", err=True)
    _raise_on_failure(results)


def _raise_on_failure(results: Sequence[VerifyResult]) -> None:
    corrupt = " ".join(result.name for result in results if result.status == "corrupt")
    missing = " ".join(result.name for result in results if result.status == "missing")
    if corrupt:
        raise Corrupt(f"Damaged: {corrupt}.", hint=f"Run: lockgate models pull {corrupt}")
    if missing:
        raise NotFound(f"Not on this machine: {missing}.", hint=f"Run: lockgate models pull {missing}")


def _chosen(catalogue: Catalogue, names: Sequence[str]) -> tuple[ModelEntry, ...]:
    return tuple(catalogue.get(name) for name in dict.fromkeys(names))


def _row(entry: ModelEntry, models_path: Path) -> dict[str, object]:
    folder = model_folder(entry, models_path)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "description": entry.description,
        "licence": entry.licence,
        "default": entry.default,
        "download_mb": entry.download_mb,
        "disk_mb": entry.disk_mb,
        "sources": [source.label for source in entry.sources],
        "fetched": folder.is_dir(),
        "path": str(folder),
    }
