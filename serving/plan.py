"""What ``lockgate up`` is about to do: which models it fetches, from how much disk, which documents it indexes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import Corrupt, NotFound, UserError
from lockgate.models.catalogue import (
    MEGABYTE,
    ModelEntry,
    ModelFiles,
    disk_bytes,
    download_bytes,
    load_catalogue,
)
from lockgate.models.fetch import local_path
from lockgate.settings import Settings

if TYPE_CHECKING:
    from lockgate.release import Manifest
    from lockgate.store.database import Database


@dataclass(frozen=True, slots=True)
class Plan:
    """``sync`` is what ``serving.wiring.Application.start`` takes; ``documents`` says the same in words."""

    needed: tuple[ModelEntry, ...]
    missing: tuple[ModelEntry, ...]
    models_path: Path
    free_bytes: int
    sync: str | None
    documents: str

    def lines(self) -> list[str]:
        """The plan in words."""
        if self.missing:
            names = ", ".join(entry.name for entry in self.missing)
            size = sum(download_bytes(entry) for entry in self.missing) // MEGABYTE
            disk = sum(disk_bytes(entry) for entry in self.missing) // MEGABYTE
            models = f"Models     fetch {names}: {size} MB to download, {disk} MB of disk"
        else:
            models = f"Models     {', '.join(entry.name for entry in self.needed)}: here"
        return [
            models,
            f"Disk       {self.free_bytes // MEGABYTE:,} MB free at {self.models_path}",
            f"Documents  {self.documents}",
        ]


def needed_models(settings: Settings) -> tuple[ModelEntry, ...]:
    """The embedder and, unless a server answers for it, the chat model of the default chain."""
    from chains.definition import load_chain

    catalogue = load_catalogue(settings.project_dir)
    embedder = catalogue.get(settings.embedder, kind="embedder")
    if settings.openai_base_url:
        return (embedder,)
    name = settings.model or load_chain(settings.project_dir, settings.chain).model
    return (embedder, catalogue.get(name, kind="chat"))


def missing_models(settings: Settings) -> tuple[ModelEntry, ...]:
    return tuple(entry for entry in needed_models(settings) if not _is_here(entry, settings))


def require_models(settings: Settings) -> None:
    """Those of the release that would answer now, else those of a release built now. Raises NotFound naming the command
    that fetches what is missing."""
    for entry in _pinned_models(settings) or needed_models(settings):
        local_path(entry, settings.models_path)


def _pinned_models(settings: Settings) -> tuple[ModelFiles, ...]:
    """Nothing while no channel of the default chain is set."""
    from lockgate.store.database import open_database

    with open_database(settings.database) as db:
        try:
            manifest = default_manifest(settings, db)
        except (NotFound, Corrupt):
            return ()  # the other channels may answer; the server tells what is wrong with this one
    if manifest is None:
        return ()
    return tuple(files for files in (manifest.embedder.files, manifest.model.files) if files is not None)


def default_manifest(settings: Settings, db: Database) -> Manifest | None:
    """That of the release which answers a request that names no model; None while no channel is set. Raises NotFound
    and Corrupt when it is gone or was touched."""
    from chains.target import Target, resolve
    from lockgate.store.releases import open_releases

    store = open_releases(settings, db)
    try:
        pointed = resolve(db, store, Target(), settings.chain)
    except NotFound:
        return None
    return store.manifest(pointed.release)


def make_plan(settings: Settings, documents: Path | None) -> Plan:
    """Raises NotFound or UserError when ``documents`` is no folder."""
    sync, words = _choose_documents(settings, documents)
    return Plan(
        needed=needed_models(settings),
        missing=missing_models(settings),
        models_path=settings.models_path,
        free_bytes=free_bytes(settings.models_path),
        sync=sync,
        documents=words,
    )


def free_bytes(path: Path) -> int:
    """Free disk where ``path`` is or will be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _is_here(entry: ModelEntry, settings: Settings) -> bool:
    try:
        local_path(entry, settings.models_path)
    except NotFound:
        return False
    return True


def _choose_documents(settings: Settings, documents: Path | None) -> tuple[str | None, str]:
    from ingestion.source import folder_source, load_sources

    if documents is not None:
        folder = folder_source(documents).path
        return folder, folder
    try:
        sources = load_sources(settings.project_dir)
    except NotFound:
        folder_of_project = settings.project_dir / "docs"
        if folder_of_project.is_dir():
            return str(folder_of_project), str(folder_of_project)
        return None, "none given; what is indexed already stays. Add some: lockgate up FOLDER"
    for source in sources:
        if not source.root(settings.project_dir).is_dir():
            raise UserError(
                f"The source {source.name!r} names {source.root(settings.project_dir)}, which is no folder.",
                hint="Correct its file in ingestion/sources/, or give a folder: lockgate up FOLDER",
            )
    return "", ", ".join(str(source.root(settings.project_dir)) for source in sources)
