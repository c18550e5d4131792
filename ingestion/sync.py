"""One sync: from source folders to the next snapshot, in steps that a kill can interrupt anywhere.

Nothing that is written before ``commit_snapshot`` is visible to anyone: new points carry the number of a snapshot
that does not exist yet, and points that leave stay visible to the snapshots before. A killed sync leaves a mark, and
the next one undoes its points first. Vectors are kept apart by text hash, so nothing is embedded twice.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.chunking import Chunking, CountTokens, text_hash
from ingestion.index import Index, IndexPoint, SparseVector, point_id
from ingestion.manifest import ManifestPage, build_manifest, chunking_record
from ingestion.prepare import Preparation, PreparedPage, prepare
from ingestion.source import FolderSource
from ingestion.terms import Lexicon, TermCounter, Terms, passage_weights
from lockgate.errors import LockgateError, UserError
from lockgate.ports import Progress
from lockgate.store import snapshots as store
from lockgate.store.database import Database
from lockgate.store.objects import ObjectStore
from lockgate.store.snapshots import PageRecord, SnapshotRecord
from lockgate.types import Chunk, SnapshotKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lockgate.ports import Embedder

BM25_FIRST_SECONDS = 60.0
"""A first corpus that takes longer to embed than this is answered from BM25 alone until the vectors are there."""

_SAVE_EVERY = 256
_PROBE_SECONDS = 2.0


@dataclass(slots=True)
class SyncReport:
    """What a sync did. ``rejected`` is (source, path, reason); times in seconds."""

    snapshot: str = ""
    kind: str = ""
    pages: int = 0
    chunks: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    duplicates: int = 0
    embedded: int = 0
    reused: int = 0
    seconds: float = 0.0
    embed_seconds: float = 0.0
    rejected: list[tuple[str, str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a sync works with. ``embedder`` is called only when there is something to embed."""

    db: Database
    objects: ObjectStore
    index: Index
    embedder_digest: str
    embedder: Callable[[], Embedder]
    count_tokens: CountTokens
    chunking: Chunking
    terms: TermCounter
    max_bytes: int
    project_dir: Path


@dataclass(frozen=True, slots=True)
class _Base:
    """The newest snapshot of this index and its pages; empty when everything is to be written anew."""

    newest: SnapshotRecord | None
    pages: list[PageRecord]
    average_length: int
    fresh: bool  # the pages of ``newest`` lie in another index or were cut otherwise


def run_sync(
    shop: Workshop, sources: Sequence[FolderSource], *, progress: Progress, on_snapshot: Callable[[], None]
) -> SyncReport:
    """Make the current snapshot hold exactly the pages of ``sources``; ``on_snapshot`` hears that the pointer moved.

    Raises UserError or NotFound when a folder is missing or nothing in it can be read; the snapshot before then stays.
    """
    started = time.perf_counter()
    report = SyncReport()
    clear_unfinished(shop.db, shop.index)
    sync = store.begin_sync(shop.db, ",".join(source.name for source in sources))
    try:
        base = _base(shop)
        prepared = _prepare_all(shop, sources, base, progress)
        if not base.fresh and len(prepared.changed) > len(prepared.unchanged):
            # BM25's average length is part of every stored weight: most pages are new, so it is measured anew.
            base = replace(base, fresh=True)
            prepared = _prepare_all(shop, sources, base, progress)
        _describe(report, prepared, base)
        _Sync(shop, base, prepared, report, sync.id, started, progress, on_snapshot).run()
    except BaseException as error:
        message = error.message if isinstance(error, LockgateError) else type(error).__name__
        store.end_sync(shop.db, sync.id, state="failed", report={**report.to_json(), "error": message})
        raise
    return report


def clear_unfinished(db: Database, index: Index) -> None:
    """Undo whatever a sync that did not end left in the index: points of snapshots that do not exist.

    Nothing else has such numbers, so this is right whatever happened: a kill, a full disk, a database that was lost.
    """
    index.undo(store.next_seq(db))
    for sync_id in store.interrupted_syncs(db):
        store.end_sync(db, sync_id, state="failed", report={"error": "interrupted"})


def _base(shop: Workshop) -> _Base:
    newest = store.newest_snapshot(shop.db)
    if newest is None:
        return _Base(None, [], 0, fresh=True)
    average = int(newest.chunking.get("bm25_average_length", 0))
    same = newest.embedder == shop.embedder_digest and newest.chunking == chunking_record(shop.chunking, average)
    pages = store.pages_at(shop.db, newest.seq)
    return _Base(newest, pages, average, fresh=not same)


def _prepare_all(shop: Workshop, sources: Sequence[FolderSource], base: _Base, progress: Progress) -> Preparation:
    known: dict[str, dict[str, PageRecord]] = defaultdict(dict)
    if not base.fresh:
        for page in base.pages:
            known[page.source][page.path] = page
    prepared = Preparation()
    total = len(base.pages)
    done = 0
    for source in sources:
        before = done

        def count(files: int, before: int = before) -> None:
            nonlocal done
            done = before + files
            progress("read", done, total if done < total else 0)

        prepare(
            source,
            source.root(shop.project_dir),
            known[source.name],
            chunking=shop.chunking,
            count_tokens=shop.count_tokens,
            max_bytes=shop.max_bytes,
            into=prepared,
            progress=count,
        )
    if not prepared.changed and not prepared.unchanged:
        where = ", ".join(str(source.root(shop.project_dir)) for source in sources)
        reasons = "".join(f"\n  {path}: {reason}" for _, path, reason in prepared.rejected[:5])
        raise UserError(
            f"{where}: no file here could be read as a document.{reasons}",
            hint="Supported: .md .markdown .mdx .html .htm .rst .txt .pdf",
        )
    return prepared


def _describe(report: SyncReport, prepared: Preparation, base: _Base) -> None:
    before = {(page.source, page.path) for page in base.pages}
    changed = {(page.source, page.path) for page in prepared.changed}
    now = changed | {(page.source, page.path) for page in prepared.unchanged}
    report.added = len(changed - before)
    report.changed = len(changed & before)
    report.removed = len(before - now)
    report.unchanged = len(prepared.unchanged)
    report.duplicates = prepared.duplicates
    report.rejected = prepared.rejected
    report.pages = len(now)


class _Sync:
    """The writing half of one sync; holds what its steps share."""

    def __init__(
        self,
        shop: Workshop,
        base: _Base,
        prepared: Preparation,
        report: SyncReport,
        sync_id: str,
        started: float,
        progress: Progress,
        on_snapshot: Callable[[], None],
    ) -> None:
        self.shop = shop
        self.base = base
        self.prepared = prepared
        self.report = report
        self.sync_id = sync_id
        self.started = started
        self.progress = progress
        self.on_snapshot = on_snapshot
        self.seq = store.next_seq(shop.db)
        kept = {(page.source, page.path, page.first) for page in prepared.unchanged}
        self.closed = [page for page in base.pages if (page.source, page.path, page.first) not in kept]
        self.added = [self._page_record(page) for page in prepared.changed]
        self.average_length = base.average_length
        self.lexicon = Lexicon.empty()
        self._bm25_decided = False
        self.terms: dict[str, Terms] = {}  # chunk id to terms, for the pages of this sync

    def run(self) -> None:
        store.refresh_page_stats(self.shop.db, self.prepared.touched)
        self._count_terms()
        existing = self._existing("hybrid")
        if existing is not None:
            self._finish_report(existing)
            store.point_current(self.shop.db, existing.seq, sync_id=self.sync_id, report=self.report.to_json())
            self.on_snapshot()
            return
        self._update_lexicon()
        pending = self._write_points()
        self._embed(pending)
        self.shop.index.flush()
        self._commit("hybrid", last=True)
        for after, until in store.forget_old_snapshots(self.shop.db):
            self.shop.index.drop_closed(until, after=after)

    # Steps

    def _count_terms(self) -> None:
        chunks = [chunk for page in self.prepared.changed for chunk in page.chunks]
        for done, chunk in enumerate(chunks, start=1):
            self.terms[chunk.id] = self.shop.terms.count(chunk.embed_text)
            if done % 500 == 0:
                self.progress("count", done, len(chunks))
        if self.base.fresh or not self.base.pages:
            lengths = [terms.length for terms in self.terms.values()]
            self.average_length = max(1, round(sum(lengths) / max(len(lengths), 1)))

    def _update_lexicon(self) -> None:
        base, shop = self.base, self.shop
        added = [terms.ids for terms in self.terms.values()]
        if base.fresh or base.newest is None:
            self.lexicon = Lexicon.empty().updated(added, [])
            return
        before = Lexicon.from_bytes(shop.objects.get(base.newest.lexicon))
        self.lexicon = before.updated(added, shop.index.term_ids(list(_point_ids(self.closed))))

    def _write_points(self) -> dict[str, list[str]]:
        """Write what changed; returns, per text hash without a vector, the points that wait for it."""
        shop, base = self.shop, self.base
        if base.fresh:
            shop.index.close_all(self.seq)
        else:
            shop.index.close_points(list(_point_ids(self.closed)), self.seq)
        chunks = [chunk for page in self.prepared.changed for chunk in page.chunks]
        hashes = {chunk.id: text_hash(chunk) for chunk in chunks}
        vectors = store.load_vectors(shop.db, shop.embedder_digest, sorted(set(hashes.values())))
        self.report.reused = sum(name in vectors for name in hashes.values())
        self._texts: dict[str, str] = {}
        pending: dict[str, list[str]] = defaultdict(list)
        for start in range(0, len(chunks), 1000):
            batch = chunks[start : start + 1000]
            shop.index.upsert([self._point(chunk, vectors.get(hashes[chunk.id])) for chunk in batch])
            self.progress("index", start + len(batch), len(chunks))
        for chunk in chunks:
            if hashes[chunk.id] not in vectors:
                pending[hashes[chunk.id]].append(point_id(chunk.id, self.seq))
                self._texts[hashes[chunk.id]] = chunk.embed_text
        for identifier, chunk in self._left_without_vector():
            name = text_hash(chunk)
            pending[name].append(identifier)
            self._texts[name] = chunk.embed_text
        return pending

    def _left_without_vector(self) -> Iterator[tuple[str, Chunk]]:
        """Unchanged points of a BM25-only snapshot whose hybrid successor was never finished."""
        if self.base.newest is not None and self.base.newest.kind == "bm25" and not self.base.fresh:
            fresh = {point_id(chunk.id, self.seq) for page in self.prepared.changed for chunk in page.chunks}
            for identifier, chunk in self.shop.index.missing_dense(self.seq):
                if identifier not in fresh:
                    yield identifier, chunk

    def _embed(self, pending: dict[str, list[str]]) -> None:
        if not pending:
            return
        shop = self.shop
        known = store.load_vectors(shop.db, shop.embedder_digest, sorted(pending))
        self._place(pending, list(known), list(known.values()))
        hashes = [name for name in pending if name not in known]
        if not hashes:
            return
        self.progress("load model", 0, 0)
        embedder = shop.embedder()
        started = time.perf_counter()
        names: list[str] = []
        vectors: list[NDArray[np.float32]] = []
        done = 0
        self.progress("embed", 0, len(hashes))
        sizes = [len(self._texts[name]) for name in hashes]
        total_size, size_done = max(sum(sizes), 1), 0
        for places, batch in embedder.embed_batches([self._texts[name] for name in hashes]):
            names += [hashes[place] for place in places]
            vectors += list(batch)
            done += len(places)
            size_done += sum(sizes[place] for place in places)
            if len(names) >= _SAVE_EVERY:
                self._keep(pending, names, vectors)
                names, vectors = [], []
            self.progress("embed", done, len(hashes))
            elapsed = time.perf_counter() - started
            # Batches come longest first, so the share of the text that is done is the fair clock.
            if elapsed > _PROBE_SECONDS and elapsed / size_done * total_size > BM25_FIRST_SECONDS:
                self._serve_bm25_first()
        self._keep(pending, names, vectors)
        self.report.embedded = len(hashes)
        self.report.embed_seconds = round(time.perf_counter() - started, 3)

    def _keep(
        self, pending: dict[str, list[str]], names: Sequence[str], vectors: Sequence[NDArray[np.float32]]
    ) -> None:
        """Vectors first into the store (a kill after this point costs nothing), then onto their points."""
        import numpy as np

        if names:
            store.save_vectors(self.shop.db, self.shop.embedder_digest, names, np.stack(vectors))
            self._place(pending, names, vectors)

    def _place(
        self, pending: dict[str, list[str]], names: Sequence[str], vectors: Sequence[NDArray[np.float32]]
    ) -> None:
        import numpy as np

        ids = [identifier for name in names for identifier in pending[name]]
        rows = [vector for name, vector in zip(names, vectors, strict=True) for _ in pending[name]]
        if ids:
            self.shop.index.set_dense(ids, np.stack(rows))

    def _serve_bm25_first(self) -> None:
        """Let people ask while the vectors are made, unless a hybrid snapshot already answers."""
        if self._bm25_decided:
            return
        self._bm25_decided = True
        current = store.current_snapshot(self.shop.db)
        answers = current is not None and current.embedder == self.shop.embedder_digest
        if (answers and current is not None and current.kind == "hybrid") or self._existing("bm25") is not None:
            return
        self.shop.index.flush()
        self._commit("bm25", last=False)
        # The points of the snapshot just made are its successor's too: nothing more to close or add.
        self.base = _Base(store.newest_snapshot(self.shop.db), self._all_pages(), self.average_length, fresh=False)
        self.seq += 1
        self.closed, self.added = [], []

    def _commit(self, kind: SnapshotKind, *, last: bool) -> None:
        shop = self.shop
        pages = self._all_pages()
        snapshot_id, manifest = build_manifest(kind, shop.embedder_digest, self._chunking(), _manifest_pages(pages))
        record = SnapshotRecord(
            seq=self.seq,
            id=snapshot_id,
            kind=kind,
            parent=self.base.newest.id if self.base.newest else None,
            manifest=shop.objects.put(manifest),
            lexicon=shop.objects.put(self.lexicon.to_bytes()),
            embedder=shop.embedder_digest,
            chunking=self._chunking(),
            documents=len(pages),
            chunks=sum(len(page.chunk_ids) for page in pages),
        )
        if last:
            self._finish_report(record)
        store.commit_snapshot(
            shop.db,
            record,
            closed=self.closed,
            added=self.added,
            sync_id=self.sync_id if last else None,
            report=self.report.to_json(),
        )
        self.on_snapshot()

    # What the steps share

    def _existing(self, kind: SnapshotKind) -> SnapshotRecord | None:
        """A snapshot in this index that already holds exactly these pages."""
        manifest_id, _ = build_manifest(
            kind, self.shop.embedder_digest, self._chunking(), _manifest_pages(self._all_pages())
        )
        found = store.find_snapshot(self.shop.db, manifest_id)
        return found if found and found.embedder == self.shop.embedder_digest else None

    def _all_pages(self) -> list[PageRecord]:
        if self.added or self.closed:
            return sorted([*self.prepared.unchanged, *self.added], key=lambda page: (page.source, page.path))
        return self.base.pages

    def _chunking(self) -> dict[str, int]:
        return chunking_record(self.shop.chunking, self.average_length)

    def _page_record(self, page: PreparedPage) -> PageRecord:
        return PageRecord(
            source=page.source,
            path=page.path,
            version=page.version,
            title=page.title,
            format=page.format,
            size=page.size,
            mtime_ns=page.mtime_ns,
            chunk_ids=tuple(chunk.id for chunk in page.chunks),
            first=self.seq,
        )

    def _point(self, chunk: Chunk, dense: NDArray[np.float32] | None) -> IndexPoint:
        terms = self.terms[chunk.id]
        weights = passage_weights(terms, self.average_length)
        return IndexPoint(chunk, self.seq, SparseVector(terms.ids, weights), dense)

    def _finish_report(self, record: SnapshotRecord) -> None:
        self.report.snapshot = record.id
        self.report.kind = record.kind
        self.report.chunks = record.chunks
        self.report.pages = record.documents
        self.report.seconds = round(time.perf_counter() - self.started, 3)


def _point_ids(pages: Iterable[PageRecord]) -> Iterator[str]:
    for page in pages:
        for chunk_id in page.chunk_ids:
            yield point_id(chunk_id, page.first)


def _manifest_pages(pages: Iterable[PageRecord]) -> Iterator[ManifestPage]:
    for page in pages:
        yield ManifestPage(page.source, page.path, page.version, page.chunk_ids)
