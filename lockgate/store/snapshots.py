"""Snapshots, their pages, the pointer to the current one, and the vectors kept for reuse."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, not_, or_, select, update
from sqlalchemy.orm import Session

from lockgate.store.database import Database
from lockgate.store.tables import (
    OPEN,
    Channel,
    ChannelMove,
    Document,
    Fact,
    Pointer,
    Release,
    Snapshot,
    Sync,
    Vector,
)
from lockgate.types import SnapshotKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CURRENT = "current"
KEEP = 5
"""So many of the newest snapshots stay queryable, besides the current, the pinned and those of releases in use."""

KEEP_PASSED = 5
"""Of so many of the releases that a channel served last, each counted once, the snapshots stay, for a rollback."""

KEEP_BUILT = 5
"""Of so many of the newest releases the snapshots stay: they are being compared, and no channel has them yet."""

_SQL_BATCH = 500


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    seq: int
    id: str
    kind: SnapshotKind
    parent: str | None
    manifest: str
    lexicon: str
    embedder: str
    chunking: dict[str, Any]
    documents: int
    chunks: int
    pinned: bool = False
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class PageRecord:
    """One version of one page; ``first`` is the snapshot it came with, so its points can be named."""

    source: str
    path: str
    version: str
    title: str
    format: str
    size: int
    mtime_ns: int
    chunk_ids: tuple[str, ...]
    first: int


@dataclass(frozen=True, slots=True)
class SyncRecord:
    id: str
    seq: int | None
    source: str
    state: str
    started_at: datetime
    finished_at: datetime | None
    report: dict[str, Any]


def current_snapshot(db: Database) -> SnapshotRecord | None:
    with db.reading() as session:
        row = session.scalar(
            select(Snapshot).join(Pointer, Pointer.snapshot_seq == Snapshot.seq).where(Pointer.name == CURRENT)
        )
        return _snapshot(row) if row else None


def newest_snapshot(db: Database) -> SnapshotRecord | None:
    """The one with the highest sequence number, which a rollback may have left behind."""
    with db.reading() as session:
        row = session.scalar(select(Snapshot).order_by(Snapshot.seq.desc()).limit(1))
        return _snapshot(row) if row else None


def find_snapshot(db: Database, name: str) -> SnapshotRecord | None:
    """By id, or by the first characters of one (at least six, unambiguous)."""
    with db.reading() as session:
        statement = select(Snapshot).where(
            Snapshot.id.startswith(name, autoescape=True) if len(name) >= 6 else Snapshot.id == name
        )
        rows = session.scalars(statement.limit(2)).all()
        return _snapshot(rows[0]) if len(rows) == 1 else None


def list_snapshots(db: Database) -> list[SnapshotRecord]:
    """Newest first."""
    with db.reading() as session:
        return [_snapshot(row) for row in session.scalars(select(Snapshot).order_by(Snapshot.seq.desc()))]


def pages_at(db: Database, seq: int) -> list[PageRecord]:
    """The pages that snapshot ``seq`` sees, by source and path."""
    with db.reading() as session:
        rows = session.scalars(
            select(Document)
            .where(Document.from_seq <= seq, Document.until_seq > seq)
            .order_by(Document.source, Document.path)
        )
        return [
            PageRecord(
                source=row.source,
                path=row.path,
                version=row.version,
                title=row.title,
                format=row.format,
                size=row.size,
                mtime_ns=row.mtime_ns,
                chunk_ids=tuple(row.chunk_ids),
                first=row.from_seq,
            )
            for row in rows
        ]


def begin_sync(db: Database, source: str) -> SyncRecord:
    """Leave a mark that a sync runs; a mark that is still there at the next start means that it was killed."""
    now = datetime.now(UTC)
    record = SyncRecord(uuid.uuid4().hex, None, source, "running", now, None, {})
    with db.session() as session:
        session.add(Sync(id=record.id, seq=None, source=source, state="running", started_at=now, report={}))
    return record


def end_sync(db: Database, sync_id: str, *, state: str, report: dict[str, Any]) -> None:
    with db.session() as session:
        _end_sync(session, sync_id, state=state, seq=None, report=report)


def interrupted_syncs(db: Database) -> list[str]:
    with db.reading() as session:
        return list(session.scalars(select(Sync.id).where(Sync.state == "running")))


def last_sync(db: Database) -> SyncRecord | None:
    with db.reading() as session:
        row = session.scalar(select(Sync).order_by(Sync.started_at.desc()).limit(1))
        if row is None:
            return None
        return SyncRecord(row.id, row.seq, row.source, row.state, row.started_at, row.finished_at, row.report)


def commit_snapshot(
    db: Database,
    record: SnapshotRecord,
    *,
    closed: Sequence[PageRecord],
    added: Sequence[PageRecord],
    sync_id: str | None,
    report: dict[str, Any],
    point: bool = True,
) -> None:
    """The one moment at which a snapshot comes to be: its row, its pages and the pointer, in one transaction.

    ``sync_id`` ends that sync too; None leaves it running (a BM25-only snapshot comes first, the hybrid one follows).
    ``point=False`` leaves the pointer where it is, if it is anywhere: an imported snapshot is for its release.
    """
    with db.session() as session:
        session.add(
            Snapshot(
                seq=record.seq,
                id=record.id,
                kind=record.kind,
                parent=record.parent,
                manifest=record.manifest,
                lexicon=record.lexicon,
                embedder=record.embedder,
                chunking=record.chunking,
                documents=record.documents,
                chunks=record.chunks,
                pinned=False,
                created_at=record.created_at,
            )
        )
        session.flush()
        for page in closed:
            session.execute(
                update(Document)
                .where(Document.source == page.source, Document.path == page.path, Document.from_seq == page.first)
                .values(until_seq=record.seq)
            )
        session.add_all(
            Document(
                source=page.source,
                path=page.path,
                version=page.version,
                title=page.title,
                format=page.format,
                size=page.size,
                mtime_ns=page.mtime_ns,
                chunk_ids=list(page.chunk_ids),
                from_seq=page.first,
                until_seq=OPEN,
            )
            for page in added
        )
        if point or session.get(Pointer, CURRENT) is None:
            _point(session, record.seq)
        if sync_id:
            _end_sync(session, sync_id, state="done", seq=record.seq, report=report)


def point_current(db: Database, seq: int, *, sync_id: str | None = None, report: dict[str, Any] | None = None) -> None:
    """Move the pointer to a snapshot that exists, and end the sync that found it to be the right one."""
    with db.session() as session:
        _point(session, seq)
        if sync_id:
            _end_sync(session, sync_id, state="done", seq=seq, report=report or {})


def refresh_page_stats(db: Database, pages: Iterable[PageRecord]) -> None:
    """Store the new size and time of files whose content did not change."""
    with db.session() as session:
        for page in pages:
            session.execute(
                update(Document)
                .where(Document.source == page.source, Document.path == page.path, Document.from_seq == page.first)
                .values(size=page.size, mtime_ns=page.mtime_ns)
            )


def forget_old_snapshots(db: Database) -> list[tuple[int, int]]:
    """Drop the rows of snapshots that nothing keeps: they are not among the newest, pinned, current or of a release
    in use.

    Returns spans (after, until): what came later than ``after`` and left by ``until`` is seen by no snapshot any more.
    """
    with db.session() as session:
        seqs = list(session.scalars(select(Snapshot.seq).order_by(Snapshot.seq.desc())))
        keep = set(seqs[:KEEP])
        keep.update(session.scalars(select(Snapshot.seq).where(Snapshot.pinned)))
        keep.update(session.scalars(select(Pointer.snapshot_seq)))
        in_use = select(Release.snapshot).where(Release.id.in_(_releases_in_use(session)))
        keep.update(session.scalars(select(Snapshot.seq).where(Snapshot.id.in_(in_use))))
        for seq in seqs:
            if seq not in keep:
                session.execute(delete(Snapshot).where(Snapshot.seq == seq))
        spans = [(after, until) for after, until in pairwise([0, *sorted(keep)]) if until - after > 1]
        for after, until in spans:
            session.execute(delete(Document).where(Document.from_seq > after, Document.until_seq <= until))
        return spans


def _releases_in_use(session: Session) -> set[str]:
    """What channels serve, roll out or may go back to, and what was built last to be served."""
    newest_built = (
        select(Release.id)
        .where(Release.purpose == "")
        .order_by(Release.created_at.desc(), Release.id)
        .limit(KEEP_BUILT)
    )
    used = set(session.scalars(newest_built))
    for channel in session.scalars(select(Channel)):
        used |= {channel.release, str(channel.rollout.get("release", ""))}
    newest = func.max(ChannelMove.version)
    passed = (
        select(ChannelMove.channel, ChannelMove.chain, ChannelMove.to_release)
        .group_by(ChannelMove.channel, ChannelMove.chain, ChannelMove.to_release)
        .order_by(newest.desc())
    )
    count: Counter[tuple[str, str]] = Counter()
    for channel_name, chain, release in session.execute(passed):
        count[channel_name, chain] += 1
        if count[channel_name, chain] <= KEEP_PASSED:
            used.add(release)
    return used


def discard_snapshots(db: Database, embedder: str) -> None:
    """Drop every snapshot of an index that was lost, with the pages that no other snapshot sees."""
    with db.session() as session:
        seqs = list(session.scalars(select(Snapshot.seq).where(Snapshot.embedder == embedder)))
        session.execute(delete(Pointer).where(Pointer.snapshot_seq.in_(seqs)))
        session.execute(delete(Snapshot).where(Snapshot.seq.in_(seqs)))
        left = list(session.scalars(select(Snapshot.seq)))
        seen = or_(False, *(and_(Document.from_seq <= seq, Document.until_seq > seq) for seq in left))
        session.execute(delete(Document).where(not_(seen)))


def next_seq(db: Database) -> int:
    """The number of the next snapshot: higher than any that was ever given out, so that none is used twice."""
    with db.reading() as session:
        highest = [
            session.scalar(select(func.max(Snapshot.seq))),
            session.scalar(select(func.max(Sync.seq))),
            session.scalar(select(func.max(Document.from_seq))),
            session.scalar(select(func.max(Document.until_seq)).where(Document.until_seq < OPEN)),
        ]
    return 1 + max((seq for seq in highest if seq is not None), default=0)


def set_pinned(db: Database, name: str, pinned: bool) -> SnapshotRecord | None:
    """Keep a snapshot beyond the newest five, or stop keeping it; None when there is no such snapshot."""
    found = find_snapshot(db, name)
    if found is None:
        return None
    with db.session() as session:
        session.execute(update(Snapshot).where(Snapshot.seq == found.seq).values(pinned=pinned))
    return replace(found, pinned=pinned)


def project_id(db: Database) -> str:
    """Names this project on servers that several projects share; made once, kept with the store."""
    with db.session() as session:
        row = session.get(Fact, "project_id")
        if row is None:
            row = Fact(name="project_id", value=uuid.uuid4().hex)
            session.add(row)
        return row.value


def load_vectors(db: Database, embedder: str, hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The kept vectors of these texts, unit length."""
    import numpy as np

    found: dict[str, NDArray[np.float32]] = {}
    with db.reading() as session:
        for start in range(0, len(hashes), _SQL_BATCH):
            rows = session.execute(
                select(Vector.text_hash, Vector.vector).where(
                    Vector.embedder == embedder, Vector.text_hash.in_(hashes[start : start + _SQL_BATCH])
                )
            )
            found.update((name, np.frombuffer(data, dtype="<f4")) for name, data in rows)
    return found


def save_vectors(db: Database, embedder: str, hashes: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Keep vectors, shape (len(hashes), dimension), for every later sync; texts already known are left alone."""
    import numpy as np

    known = set(load_vectors(db, embedder, hashes))
    data = np.ascontiguousarray(vectors, dtype="<f4")
    with db.session() as session:
        session.add_all(
            Vector(embedder=embedder, text_hash=name, vector=vector.tobytes())
            for name, vector in dict(zip(hashes, data, strict=True)).items()
            if name not in known
        )


def _point(session: Session, seq: int) -> None:
    session.merge(Pointer(name=CURRENT, snapshot_seq=seq))


def _end_sync(session: Session, sync_id: str, *, state: str, seq: int | None, report: dict[str, Any]) -> None:
    session.execute(
        update(Sync)
        .where(Sync.id == sync_id)
        .values(state=state, seq=seq, finished_at=datetime.now(UTC), report=report)
    )


def _snapshot(row: Snapshot) -> SnapshotRecord:
    kind: SnapshotKind = "hybrid" if row.kind == "hybrid" else "bm25"
    return SnapshotRecord(
        seq=row.seq,
        id=row.id,
        kind=kind,
        parent=row.parent,
        manifest=row.manifest,
        lexicon=row.lexicon,
        embedder=row.embedder,
        chunking=dict(row.chunking),
        documents=row.documents,
        chunks=row.chunks,
        pinned=row.pinned,
        created_at=row.created_at,
    )
