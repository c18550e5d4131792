"""The index as one process owns it: which snapshot is current, syncing to the next one, asking it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.chunking import Chunking, CountTokens
from ingestion.index import Index
from ingestion.source import FolderSource, folder_source, load_sources
from ingestion.sync import SyncReport, Workshop, repair, run_sync
from ingestion.terms import Lexicon, TermCounter
from lockgate.errors import Conflict, Corrupt, NotFound
from lockgate.ports import Progress
from lockgate.settings import Settings
from lockgate.store import snapshots as store
from lockgate.store.database import Database
from lockgate.store.objects import ObjectStore
from lockgate.store.snapshots import SnapshotRecord
from lockgate.types import SnapshotKind

if TYPE_CHECKING:
    from lockgate.ports import Embedder

NOTHING_INDEXED = "Nothing is indexed yet."
INDEX_FIRST = "Run: lockgate ingestion sync PATH"


@dataclass(frozen=True, slots=True)
class EmbedderHandle:
    """An embedder that is loaded only when needed: what a sync of unchanged pages and a status need is known before.

    ``load`` gives the same object every time; ``count_tokens`` needs no model weights.
    """

    digest: str
    dimension: int
    count_tokens: CountTokens
    load: Callable[[], Embedder]


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """A snapshot that can be asked."""

    record: SnapshotRecord
    index: Index
    lexicon: Lexicon


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """``snapshot`` is None while nothing is indexed; ``indexing`` is the share of a running sync, None when idle."""

    snapshot: str | None
    kind: SnapshotKind | None
    documents: int
    chunks: int
    indexing: float | None


class IndexService:
    """Owns the index of one project. All methods may be called from several threads; one sync runs at a time."""

    def __init__(
        self, settings: Settings, db: Database, embedder: EmbedderHandle, *, chunking: Chunking | None = None
    ) -> None:
        self._settings = settings
        self._db = db
        self.embedder = embedder
        self._chunking = chunking or Chunking()
        self._objects = ObjectStore(settings.state_dir / "objects")
        self.terms = TermCounter()
        self._indexes: dict[str, Index] = {}
        self._opening = threading.RLock()
        self._syncing = threading.Lock()
        self._share: float | None = None
        self._current: OpenSnapshot | None = None
        self._open_index(embedder.digest, embedder.dimension)
        self._refresh()

    @property
    def indexing(self) -> float | None:
        """Share in [0, 1] of the running sync's embedding, None when no sync embeds."""
        return self._share

    def current(self) -> OpenSnapshot:
        """Raises NotFound, saying what to run, while nothing is indexed."""
        current = self._current
        if current is not None:
            return current
        record = store.current_snapshot(self._db)
        if record is not None:
            raise _other_embedder(record)
        raise NotFound(NOTHING_INDEXED, hint=INDEX_FIRST)

    def open_snapshot(self, name: str) -> OpenSnapshot:
        """One of the kept snapshots, by id or its first characters."""
        record = store.find_snapshot(self._db, name)
        if record is None:
            raise NotFound(f"There is no snapshot {name!r}.", hint="See: lockgate ingestion snapshots")
        return self._open(record)

    def status(self) -> IndexStatus:
        current = self._current
        if current is None:
            return IndexStatus(None, None, 0, 0, self._share)
        record = current.record
        return IndexStatus(record.id, record.kind, record.documents, record.chunks, self._share)

    def sync(self, path: Path | None, progress: Progress) -> SyncReport:
        """Sync the folder ``path``, or the project's sources when it is None.

        Raises Conflict when a sync is running, NotFound or UserError for a folder that cannot be indexed.
        """
        sources = [folder_source(path)] if path else load_sources(self._settings.project_dir)
        return self.sync_sources(sources, progress)

    def sync_sources(self, sources: Sequence[FolderSource], progress: Progress) -> SyncReport:
        if not self._syncing.acquire(blocking=False):
            raise Conflict("A sync is already running.", hint="Wait for it: lockgate ingestion status")
        try:
            index = self._open_index(self.embedder.digest, self.embedder.dimension)
            shop = Workshop(
                db=self._db,
                objects=self._objects,
                index=index,
                embedder_digest=self.embedder.digest,
                embedder=self.embedder.load,
                count_tokens=self.embedder.count_tokens,
                chunking=self._chunking,
                terms=self.terms,
                max_bytes=self._settings.max_file_mb * 1_000_000,
                project_dir=self._settings.project_dir,
            )
            return run_sync(shop, sources, progress=self._watch(progress), on_snapshot=self._refresh)
        finally:
            self._share = None
            self._syncing.release()

    def close(self) -> None:
        with self._opening:
            self._current = None
            for index in self._indexes.values():
                index.close()
            self._indexes.clear()

    def __enter__(self) -> IndexService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self, progress: Progress) -> Progress:
        def watch(stage: str, done: int, total: int) -> None:
            if stage == "embed":
                self._share = done / total if total else 0.0
            progress(stage, done, total)

        return watch

    def _refresh(self) -> None:
        record = store.current_snapshot(self._db)
        ours = record is not None and record.embedder == self.embedder.digest
        self._current = self._open(record) if record and ours else None

    def _open(self, record: SnapshotRecord) -> OpenSnapshot:
        index = self._indexes.get(record.embedder)
        if index is None:
            if record.embedder != self.embedder.digest:
                raise _other_embedder(record)
            index = self._open_index(record.embedder, self.embedder.dimension)
        return OpenSnapshot(record, index, Lexicon.from_bytes(self._objects.get(record.lexicon)))

    def _open_index(self, digest: str, dimension: int) -> Index:
        with self._opening:
            if digest in self._indexes:
                return self._indexes[digest]
            try:
                index = self._make_index(digest, dimension)
            except Corrupt:
                self._set_aside(digest)
                index = self._make_index(digest, dimension)
            repair(self._db, index)
            newest = store.newest_snapshot(self._db)
            if newest and newest.embedder == digest and index.count(newest.seq) != newest.chunks:
                # The index lost points that the store knows of: start over, from the kept vectors.
                index.close_all(1)
                index.undo(1)
                store.discard_snapshots(self._db, digest)
            self._indexes[digest] = index
            return index

    def _make_index(self, digest: str, dimension: int) -> Index:
        if self._settings.qdrant_url:
            from ingestion.index_server import ServerIndex, connect

            client = connect(self._settings.qdrant_url, self._settings.qdrant_api_key)
            return ServerIndex(client, f"lockgate-{digest[:16]}", dimension)
        from ingestion.index_edge import EdgeIndex

        return EdgeIndex(self._folder(digest), dimension)

    def _folder(self, digest: str) -> Path:
        return self._settings.state_dir / "index" / digest[:16]

    def _set_aside(self, digest: str) -> None:
        """Keep a folder that cannot be opened for whoever wants to look, and start over from the kept vectors."""
        folder = self._folder(digest)
        folder.rename(folder.with_name(f"{folder.name}.broken-{time.time_ns()}"))
        store.discard_snapshots(self._db, digest)


def _other_embedder(record: SnapshotRecord) -> NotFound:
    return NotFound(
        f"Snapshot {record.id[:12]} was made with another embedding model.",
        hint="Set LOCKGATE_EMBEDDER back, or run: lockgate ingestion sync",
    )
