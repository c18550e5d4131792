"""What the transfer tests run in processes of their own, and how they take a snapshot out of one project."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ingestion.transfer
from ingestion.index_edge import EdgeIndex
from ingestion.service import IndexService
from ingestion.terms import Lexicon
from ingestion.transfer import Incoming, export_pages, export_points, import_snapshot
from lockgate.release import PinnedSnapshot
from lockgate.store import snapshots
from lockgate.store.database import Database, open_database
from lockgate.store.objects import ObjectStore
from tests.ingestion.fakes import WordEmbedder, open_service, quiet, settings_for


def outgoing(service: IndexService, db: Database, snapshot: str | None = None) -> Incoming:
    """A snapshot of ``service`` as a release pins it and an archive carries it."""
    opened = service.open_snapshot(snapshot) if snapshot else service.current()
    record = opened.record
    objects = ObjectStore(service._settings.state_dir / "objects")
    pinned = PinnedSnapshot(
        id=record.id,
        kind=record.kind,
        manifest=record.manifest,
        lexicon=objects.put(Lexicon.from_bytes(objects.get(record.lexicon)).to_bytes()),
        embedder=record.embedder,
        chunking=dict(record.chunking),
        documents=record.documents,
        chunks=record.chunks,
    )
    pages = export_pages(db, opened)
    return Incoming(pinned, pages, lambda: export_points(opened, pages))


def import_and_die(here: Path, there: Path, step: int) -> None:
    """Killed before or after the call of that number, of those that write anything anywhere."""
    count = 0

    def tick() -> None:
        nonlocal count
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            tick()
            result = function(*arguments, **options)
            tick()
            return result

        return call

    ingestion.transfer.BATCH = 50
    with open_database(settings_for(here).database) as db, open_service(here, db, WordEmbedder()) as service:
        sent = outgoing(service, db)
        batches = list(sent.batches())
    with open_database(settings_for(there).database) as db, open_service(there, db, WordEmbedder()) as service:
        for holder, names in (
            (snapshots, ("begin_sync", "save_vectors", "commit_snapshot")),
            (EdgeIndex, ("undo", "close_all", "upsert", "flush")),
            (ObjectStore, ("put",)),
        ):
            for name in names:
                setattr(holder, name, counted(getattr(holder, name)))
        import_snapshot(service, Incoming(sent.pinned, sent.pages, lambda: batches), quiet)


def sync_own(project: Path) -> None:
    with open_database(settings_for(project).database) as db, open_service(project, db, WordEmbedder()) as service:
        service.sync(project / "docs", quiet)


def start_over(project: Path) -> None:
    shutil.rmtree(project / ".lockgate")
    sync_own(project)
