"""A project that releases can be built from without real models: an embedder of words, a chat model of one file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingestion.service import IndexService
from lockgate.actor import Actor
from lockgate.models.catalogue import ModelFiles, load_catalogue
from lockgate.models.fetch import MANIFEST, model_folder
from lockgate.settings import Settings
from lockgate.store.database import Database, open_database
from tests.ingestion.fakes import WORDS, WordEmbedder, handle, quiet, sha256, write_pages

PAGES = {
    "keys.md": "# Keys\n\n## Rotation\n\nRotate a signing key with the rotate command every ninety days.\n",
    "ports.md": "# Ports\n\nThe server listens on port 8000 unless told otherwise.\n",
}
ANN = Actor("ann")

_CHAT = f"""models:
- name: smollm2-135m-instruct
  kind: chat
  description: A file that stands for a model.
  licence: none
  context_window: 2048
  download_mb: 1
  disk_mb: 1
  sources: [{{type: local, path: nowhere}}]
  files: {{weights: {sha256(b"weights")}}}
"""


@dataclass(frozen=True)
class Project:
    """An indexed project and its open parts."""

    settings: Settings
    db: Database
    service: IndexService

    @property
    def folder(self) -> Path:
        return self.settings.project_dir

    def build(self, chain: str = "docs") -> str:
        from chains.release import build_release

        return build_release(self.settings, self.db, self.service.embedder, chain, actor=ANN).id

    def sync(self, pages: Mapping[str, str]) -> str:
        """Write pages, index the folder; the id of the snapshot."""
        write_pages(self.folder / "docs", dict(pages))
        return self.service.sync(self.folder / "docs", quiet).snapshot


def make_project(folder: Path, pages: Mapping[str, str] = PAGES) -> Settings:
    """The files of a project, with models that ``verify_release`` finds."""
    write_pages(folder / "docs", dict(pages))
    (folder / "models.yaml").write_text(_CHAT)
    settings = Settings(project=folder, models_dir=folder / "models", _env_file=None)
    put_model(settings, WORDS, {"model": b"words"})
    put_model(settings, load_catalogue(folder).get("smollm2-135m-instruct"), {"weights": b"weights"})
    return settings


def put_model(settings: Settings, files: ModelFiles, content: Mapping[str, bytes]) -> None:
    folder = model_folder(files, settings.models_path)
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    hashes = {name: sha256(data) for name, data in content.items()}
    manifest = {"name": files.name, "source": "test", "files": hashes, "origin": hashes, "converted_with": {}}
    (folder / MANIFEST).write_text(json.dumps(manifest))


@contextlib.contextmanager
def open_project(folder: Path, pages: Mapping[str, str] = PAGES) -> Iterator[Project]:
    """A project with its pages indexed."""
    settings = make_project(folder, pages)
    with (
        open_database(settings.database) as db,
        IndexService(settings, db, handle(WordEmbedder())) as service,
    ):
        project = Project(settings, db, service)
        project.sync({})
        yield project
