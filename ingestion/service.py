"""The index as one process owns it: which snapshot is current, syncing to the next one, asking it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.chunking import Chunking, CountTokens
from ingestion.index import Index
from ingestion.options import index_folder
from ingestion.source import FolderSource, folder_source, load_sources
from ingestion.sync import SyncReport, Workshop, clear_unfinished, run_sync
from ingestion.terms import Lexicon, TermCounter
from lockgate.errors import Conflict, Corrupt, NotFound, Unavailable
from lockgate.ports import Progress
from lockgate.settings import Settings
from lockgate.store import snapshots as store
from lockgate.store.database import Database
from lockgate.store.objects import ObjectStore
from lockgate.store.snapshots import SnapshotRecord
from lockgate.types import SnapshotKind

if TYPE_CHECKING:
    from lockgate.models.catalogue import ModelFiles
    from lockgate.ports import Embedder

NOTHING_INDEXED = "Nothing is indexed yet."
INDEX_FIRST = "Run: lockgate ingestion sync PATH"
SYNC_AGAIN = "Run: lockgate ingestion sync (it writes the index anew from the kept vectors)"
CLOSE_SECONDS = 20.0
"""How long closing waits for a running sync to reach a step at which it can stop."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbedderHandle:
    """An embedder that is loaded only when needed: what a sync of unchanged pages and a status need is known before.

    ``load`` gives the same object every time; ``count_tokens`` needs no model weights; ``files`` are what a release
    pins.
    """

    name: str
    files: ModelFiles
    digest: str
    dimension: int
    count_tokens: CountTokens
    load: Callable[[], Embedder]


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """A snapshot that can be asked, with the embedder that it was made with."""

    record: SnapshotRecord
    index: Index
    lexicon: Lexicon
    embedder: EmbedderHandle


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
        self._closing = threading.Event()
        self._share: float | None = None
        self._current: OpenSnapshot | None = None
        self._opened: dict[str, OpenSnapshot] = {}
        self._lost: Corrupt | None = None
        try:
            self._open_index(embedder)
            self._refresh()
        except Corrupt as error:
            self._lose(error)

    @property
    def indexing(self) -> float | None:
        """Share in [0, 1] of the running sync's embedding, None when no sync embeds."""
        return self._share

    def current(self) -> OpenSnapshot:
        """Raises NotFound, saying what to run, while nothing is indexed."""
        current = self._current
        if current is not None:
            return current
        if self._lost is not None:
            raise self._lost
        record = store.current_snapshot(self._db)
        if record is not None:
            raise _other_embedder(record)
        raise NotFound(NOTHING_INDEXED, hint=INDEX_FIRST)

    def open_snapshot(self, name: str, embedder: EmbedderHandle | None = None) -> OpenSnapshot:
        """One of the kept snapshots, by id or its first characters; quick when it was asked for before.

        ``embedder`` is the one that it was made with, when that is not this service's own. Raises NotFound when it is
        not kept (any more), Corrupt when the index was lost.
        """
        if self._lost is not None:
            raise self._lost
        opened = self._opened.get(name)
        if opened is not None:
            return opened
        record = store.find_snapshot(self._db, name)
        if record is None:
            raise NotFound(
                f"There is no snapshot {name[:12]!r} here.",
                hint="See: lockgate ingestion snapshots. A sync of the same documents brings back one that is gone.",
            )
        opened = self._open(record, embedder)
        self._opened[name] = opened
        return opened

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
            if self._lost is not None:
                self._start_over()
            index = self._open_index(self.embedder)
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
        """Stop a running sync at its next step, wait for it, and close the index."""
        self._closing.set()
        if not self._syncing.acquire(timeout=CLOSE_SECONDS):
            log.warning("A sync did not stop within %s s; the next start clears what it leaves.", CLOSE_SECONDS)
            return
        try:
            with self._opening:
                self._current = None
                self._opened.clear()
                for index in self._indexes.values():
                    index.close()
                self._indexes.clear()
        finally:
            self._syncing.release()

    def __enter__(self) -> IndexService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self, progress: Progress) -> Progress:
        def watch(stage: str, done: int, total: int) -> None:
            if self._closing.is_set():
                raise Unavailable("The server stops; the sync was not finished.", hint="Run it again: it goes on.")
            if stage == "embed":
                self._share = done / total if total else 0.0
            progress(stage, done, total)

        return watch

    def _refresh(self) -> None:
        self._opened.clear()  # a sync may have dropped some
        record = store.current_snapshot(self._db)
        ours = record is not None and record.embedder == self.embedder.digest
        self._current = self._open(record) if record and ours else None

    def _open(self, record: SnapshotRecord, embedder: EmbedderHandle | None = None) -> OpenSnapshot:
        embedder = embedder or self.embedder
        if record.embedder != embedder.digest:
            raise _other_embedder(record)
        index = self._open_index(embedder)
        try:
            lexicon = Lexicon.from_bytes(self._objects.get(record.lexicon))
        except NotFound as error:
            raise Corrupt(f"The word counts of snapshot {record.id[:12]} are gone.", hint=SYNC_AGAIN) from error
        return OpenSnapshot(record, index, lexicon, embedder)

    def _open_index(self, embedder: EmbedderHandle) -> Index:
        """Raises Corrupt when the folder cannot be opened, or holds fewer points than the store knows of."""
        digest = embedder.digest
        with self._opening:
            if digest in self._indexes:
                return self._indexes[digest]
            index = self._make_index(embedder)
            if digest == self.embedder.digest:
                # Another embedder's index is only read here; syncs write to one's own.
                clear_unfinished(self._db, index)
            newest = store.newest_snapshot(self._db)
            found = index.count(newest.seq) if newest and newest.embedder == digest else 0
            self._indexes[digest] = index
            if newest and newest.embedder == digest and found != newest.chunks:
                raise Corrupt(f"The index holds {found} of {newest.chunks} chunks.", hint=SYNC_AGAIN)
            return index

    def _make_index(self, embedder: EmbedderHandle) -> Index:
        digest, dimension = embedder.digest, embedder.dimension
        if self._settings.qdrant_url:
            from ingestion.index_server import ServerIndex, connect

            client = connect(self._settings.qdrant_url, self._settings.qdrant_api_key)
            # Projects that share a server must not see each other's points.
            name = f"lockgate-{store.project_id(self._db)[:16]}-{digest[:16]}"
            return ServerIndex(client, name, dimension)
        from ingestion.index_edge import EdgeIndex

        return EdgeIndex(self._folder(digest), dimension)

    def _folder(self, digest: str) -> Path:
        return index_folder(self._settings.state_dir, digest)

    def _lose(self, error: Corrupt) -> None:
        """Note that the index cannot answer. Only a sync starts over: a read must not throw state away."""
        log.warning("%s %s", error.message, error.hint)
        self._lost, self._current = error, None

    def _start_over(self) -> None:
        """Make an empty index in place of the lost one; the kept vectors fill it without embedding."""
        digest = self.embedder.digest
        with self._opening:
            if digest not in self._indexes and not self._settings.qdrant_url:
                # It cannot be opened: keep the folder for whoever wants to look.
                folder = self._folder(digest)
                folder.rename(folder.with_name(f"{folder.name}.broken-{time.time_ns()}"))
            store.discard_snapshots(self._db, digest)
            self._opened.clear()
            self._lost = None


def _other_embedder(record: SnapshotRecord) -> NotFound:
    return NotFound(
        f"Snapshot {record.id[:12]} was made with another embedding model.",
        hint="Set LOCKGATE_EMBEDDER back, or run: lockgate ingestion sync",
    )
