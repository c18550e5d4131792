"""``lockgate models``: fetch, list and verify model files."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lockgate.errors import Corrupt, NotFound, UserError
from lockgate.models.catalogue import MEGABYTE, Catalogue, ModelEntry, disk_bytes, download_bytes, load_catalogue
from lockgate.models.fetch import VerifyResult, ensure, model_folder, verify
from lockgate.ports import Progress
from lockgate.settings import load_settings

app = typer.Typer(help="Model weights: fetch, list and verify them.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models of the catalogue; default: the default ones.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every model of the catalogue.")] = False,
) -> None:
    """Fetch models and check their SHA-256. What is here and whole is not fetched again."""
    settings = load_settings()
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
    with progress_bar() as progress:
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


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A ``Progress`` that draws one bar per stage on stderr; a plain line per stage where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield _line_per_stage()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bars.stop_task(task)
                tasks[stage] = bars.add_task(stage, total=None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield report


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """The models of the catalogue and whether they are on this machine."""
    settings = load_settings()
    rows = [_row(entry, settings.models_path) for entry in load_catalogue(settings.project_dir).models]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = "here" if row["fetched"] else f"not fetched ({row['download_mb']} MB)"
        typer.echo(f"{row['name']}\t{row['kind']}\t{row['licence']}\t{state}\t{row['description']}")


@app.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Models of the catalogue; default: those fetched.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every file again and compare. Fails when a file differs, or a named model is not here."""
    settings = load_settings()
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


def _line_per_stage() -> Progress:
    """For logs: a line when a stage begins, then its progress at most every two seconds."""
    last, since = "", 0.0

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last, since
        now = time.monotonic()
        begins = stage != last
        if begins or now - since >= 2:
            last, since = stage, now
            share = f" {100 * done // total} %" if total and not begins else f" {done // MEGABYTE} MB" if done else ""
            typer.echo(f"{stage}{share}", err=True)

    return report
