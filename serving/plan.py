"""What ``lockgate up`` is about to do: which models it fetches, from how much disk, which documents it indexes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lockgate.errors import NotFound, UserError
from lockgate.models.catalogue import MEGABYTE, ModelEntry, disk_bytes, download_bytes, load_catalogue
from lockgate.models.fetch import local_path
from lockgate.settings import Settings


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
    """Raises NotFound naming the command that fetches what is missing."""
    for entry in needed_models(settings):
        local_path(entry, settings.models_path)


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
