"""A snapshot on its way to another machine: out as pages and points, in as if a sync had made it there.

What comes in is checked whole before anything is written: the pages must give the snapshot's id, every chunk's text
must give the chunk's id, and the word counts must be those that were pinned. Then it is written as a sync writes: under
a number that no snapshot has yet, with a mark that a kill leaves behind, visible with one commit at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ingestion.chunking import chunk_id, text_hash
from ingestion.index import Index, IndexPoint, SparseVector, point_id
from ingestion.manifest import ManifestPage, build_manifest
from ingestion.service import IndexService, OpenSnapshot
from ingestion.terms import Lexicon, TermCounter, passage_weights
from lockgate.errors import Conflict, Corrupt, LockgateError, UserError
from lockgate.ports import Progress
from lockgate.release import PinnedSnapshot
from lockgate.store import snapshots as store
from lockgate.store.database import Database
from lockgate.store.objects import ObjectStore
from lockgate.store.snapshots import PageRecord, SnapshotRecord
from lockgate.types import Chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 1000
"""Chunks that are in memory at once."""

_UNIT_ERROR = 1e-2
"""How far a vector's length may be from 1: float32 and every pooling stay far below it."""


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Consecutive chunks of a snapshot, by page and position; ``vectors`` has one row each, None for kind bm25."""

    chunks: Sequence[Chunk]
    vectors: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A snapshot that comes in. ``batches`` starts anew at each call, because it is read twice: to check, to write."""

    pinned: PinnedSnapshot
    pages: Sequence[PageRecord]
    batches: Callable[[], Iterable[PointBatch]]


def export_pages(db: Database, opened: OpenSnapshot) -> list[PageRecord]:
    """In an order that no database's collation changes; without what is true of this machine only."""
    pages = [replace(page, mtime_ns=0) for page in store.pages_at(db, opened.record.seq)]
    return sorted(pages, key=lambda page: (page.source, page.path))


def export_points(opened: OpenSnapshot, pages: Iterable[PageRecord]) -> Iterator[PointBatch]:
    """The points of ``pages``, ``BATCH`` at a time. Raises Corrupt when the index lacks one, or its vector."""
    hybrid = opened.record.kind == "hybrid"
    names: list[tuple[str, str]] = []
    for page in pages:
        names += [(identifier, point_id(identifier, page.first)) for identifier in page.chunk_ids]
        while len(names) >= BATCH:
            yield _batch(opened.index, names[:BATCH], hybrid)
            del names[:BATCH]
    if names:
        yield _batch(opened.index, names, hybrid)


def _batch(index: Index, names: Sequence[tuple[str, str]], hybrid: bool) -> PointBatch:
    found = index.points([identifier for _, identifier in names])
    chunks = [chunk for chunk, _ in found]
    vectors = [vector for _, vector in found if vector is not None]
    if [chunk.id for chunk in chunks] != [name for name, _ in names] or (hybrid and len(vectors) != len(chunks)):
        raise Corrupt("The index does not hold every chunk of this snapshot.", hint="Run: lockgate ingestion sync")
    return PointBatch(chunks, np.stack(vectors) if hybrid else None)


def import_snapshot(service: IndexService, incoming: Incoming, progress: Progress) -> tuple[SnapshotRecord, bool]:
    """Make ``incoming`` a snapshot of this machine; False says that it was here already, and nothing was written.

    Snapshots that are here stay, and so does the current one; where there was none, this one is it. Raises Corrupt for
    what does not give the pinned hashes, UserError for another embedder's, Conflict while a sync runs.
    """
    with _workbench(service) as bench:
        if bench.digest != incoming.pinned.embedder:
            raise UserError(
                f"Snapshot {incoming.pinned.id[:12]} was made with another embedding model.",
                hint="Pull the model that the release names: lockgate models pull",
            )
        known = store.find_snapshot(bench.db, incoming.pinned.id)
        if known is not None:
            return known, False
        _Check(bench, incoming, progress).run()
        return _write(bench, incoming, progress), True


@dataclass(frozen=True, slots=True)
class _Workbench:
    """What an import works with, the index to itself."""

    db: Database
    objects: ObjectStore
    index: Index
    digest: str
    dimension: int
    terms: TermCounter
    refresh: Callable[[], None]


@contextlib.contextmanager
def _workbench(service: IndexService) -> Iterator[_Workbench]:
    """The inside of the service, locked as a sync locks it."""
    if not service._syncing.acquire(blocking=False):
        raise Conflict("A sync is running.", hint="Wait for it: lockgate ingestion status")
    try:
        if service._lost is not None:
            raise service._lost
        yield _Workbench(
            db=service._db,
            objects=service._objects,
            index=service._open_index(service.embedder),
            digest=service.embedder.digest,
            dimension=service.embedder.dimension,
            terms=service.terms,
            refresh=service._refresh,
        )
    finally:
        service._syncing.release()


class _Check:
    """Reads everything once and holds it against the pinned hashes; writes nothing."""

    def __init__(self, bench: _Workbench, incoming: Incoming, progress: Progress) -> None:
        self._bench = bench
        self._pinned = incoming.pinned
        self._pages = incoming.pages
        self._batches = incoming.batches
        self._progress = progress

    def run(self) -> None:
        pinned = self._pinned
        identifier, _ = manifest_of(pinned, self._pages)
        chunks = sum(len(page.chunk_ids) for page in self._pages)
        if (identifier, len(self._pages), chunks) != (pinned.id, pinned.documents, pinned.chunks):
            raise _corrupt(f"its pages are not those of snapshot {pinned.id[:12]}")
        lexicon = Lexicon.empty()
        done = 0
        expected = _expected(self._pages)
        for batch in self._batches():
            self._check_vectors(batch)
            for chunk in batch.chunks:
                _check_chunk(chunk, next(expected, None))
            counted = [self._bench.terms.count(chunk.embed_text).ids for chunk in batch.chunks]
            lexicon = lexicon.updated(counted, [])
            done += len(batch.chunks)
            self._progress("check index", done, chunks)
        if next(expected, None) is not None:
            raise _corrupt("chunks are missing")
        if hashlib.sha256(lexicon.to_bytes()).hexdigest() != pinned.lexicon:
            raise _corrupt("its word counts are not those that were pinned")

    def _check_vectors(self, batch: PointBatch) -> None:
        if batch.vectors is None:
            if self._pinned.kind == "hybrid":
                raise _corrupt("vectors are missing")
            return
        if batch.vectors.shape != (len(batch.chunks), self._bench.dimension):
            raise _corrupt(f"vectors of shape {batch.vectors.shape}")
        lengths = np.linalg.norm(batch.vectors, axis=1)
        # Said so that NaN fails, too.
        if not np.all(np.abs(lengths - 1.0) < _UNIT_ERROR):
            raise _corrupt("vectors that are not of length 1")


def manifest_of(pinned: PinnedSnapshot, pages: Iterable[PageRecord]) -> tuple[str, bytes]:
    """(id, bytes) of the manifest that ``pages`` give."""
    listed = (ManifestPage(page.source, page.path, page.version, page.chunk_ids) for page in pages)
    return build_manifest(pinned.kind, pinned.embedder, pinned.chunking, listed)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the snapshot a chunk stands; ``said`` counts what its page said before."""

    page: PageRecord
    position: int
    chunk_id: str
    said: Counter[tuple[str, str]]


def _expected(pages: Iterable[PageRecord]) -> Iterator[_Place]:
    for page in pages:
        said: Counter[tuple[str, str]] = Counter()
        for position, identifier in enumerate(page.chunk_ids):
            yield _Place(page, position, identifier, said)


def _check_chunk(chunk: Chunk, place: _Place | None) -> None:
    """The id of a chunk is the hash of where it stands and what is embedded of it, so that is bound to the release."""
    if place is None:
        raise _corrupt("more chunks than its pages have")
    page = place.page
    if (chunk.id, chunk.source, chunk.path, chunk.version, chunk.position) != (
        place.chunk_id,
        page.source,
        page.path,
        page.version,
        place.position,
    ):
        raise _corrupt(f"chunk {place.position} of {page.path!r} is another one")
    head = " > ".join(dict.fromkeys((chunk.title, *chunk.heading)))
    place.said[head, chunk.text] += 1
    if chunk_id(chunk.source, chunk.path, head, chunk.text, place.said[head, chunk.text]) != chunk.id:
        raise _corrupt(f"chunk {place.position} of {page.path!r} has another text")


def _corrupt(what: str) -> Corrupt:
    return Corrupt(f"The index that comes in is damaged: {what}.", hint="Export the release again.")


def _write(bench: _Workbench, incoming: Incoming, progress: Progress) -> SnapshotRecord:
    """As a sync that finds every page anew; see ``ingestion.sync``."""
    from ingestion.sync import clear_unfinished

    clear_unfinished(bench.db, bench.index)
    sync = store.begin_sync(bench.db, f"import {incoming.pinned.id[:12]}")
    seq = store.next_seq(bench.db)
    try:
        return _write_at(bench, incoming, seq, sync.id, progress)
    except BaseException as error:
        message = error.message if isinstance(error, LockgateError) else type(error).__name__
        store.end_sync(bench.db, sync.id, state="failed", report={"error": message})
        clear_unfinished(bench.db, bench.index)
        raise


def _write_at(bench: _Workbench, incoming: Incoming, seq: int, sync_id: str, progress: Progress) -> SnapshotRecord:
    pinned = incoming.pinned
    newest = store.newest_snapshot(bench.db)
    before = store.pages_at(bench.db, newest.seq) if newest else []
    bench.index.close_all(seq)
    lexicon = Lexicon.empty()
    done = 0
    for batch in incoming.batches():
        lexicon = lexicon.updated(_write_batch(bench, batch, seq, pinned), [])
        done += len(batch.chunks)
        progress("index", done, pinned.chunks)
    bench.index.flush()
    _, manifest = manifest_of(pinned, incoming.pages)
    record = SnapshotRecord(
        seq=seq,
        id=pinned.id,
        kind=pinned.kind,
        parent=None,
        manifest=bench.objects.put(manifest),
        lexicon=bench.objects.put(lexicon.to_bytes()),
        embedder=bench.digest,
        chunking=dict(pinned.chunking),
        documents=pinned.documents,
        chunks=pinned.chunks,
    )
    if record.lexicon != pinned.lexicon:
        raise _corrupt("it changed while it was read")
    store.commit_snapshot(
        bench.db,
        record,
        closed=before,
        added=[replace(page, first=seq) for page in incoming.pages],
        sync_id=sync_id,
        report={"snapshot": pinned.id, "pages": pinned.documents, "chunks": pinned.chunks},
        point=False,
    )
    bench.refresh()
    return record


def _write_batch(bench: _Workbench, batch: PointBatch, seq: int, pinned: PinnedSnapshot) -> list[NDArray[np.uint32]]:
    """The term ids of each chunk. The vectors are kept apart, too: a later sync of the same text need not embed it."""
    average = pinned.chunking.get("bm25_average_length", 0)
    counted = [bench.terms.count(chunk.embed_text) for chunk in batch.chunks]
    if batch.vectors is not None:
        store.save_vectors(bench.db, bench.digest, [text_hash(chunk) for chunk in batch.chunks], batch.vectors)
    dense = list(batch.vectors) if batch.vectors is not None else [None] * len(batch.chunks)
    bench.index.upsert(
        [
            IndexPoint(chunk, seq, SparseVector(terms.ids, passage_weights(terms, average)), vector)
            for chunk, terms, vector in zip(batch.chunks, counted, dense, strict=True)
        ]
    )
    return [terms.ids for terms in counted]
