"""Which snapshots stay: the newest, the pinned, the current, and those that a release in use answers from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from lockgate.actor import Actor
from lockgate.errors import NotFound
from lockgate.store.channels import Action, Move, Rollout, get_channel, move_channel
from lockgate.store.database import Database
from lockgate.store.snapshots import (
    KEEP,
    KEEP_BUILT,
    KEEP_PASSED,
    PageRecord,
    SnapshotRecord,
    commit_snapshot,
    current_snapshot,
    forget_old_snapshots,
    list_snapshots,
    pages_at,
    point_current,
    set_pinned,
)
from lockgate.store.tables import Document, Release

START = datetime(2026, 1, 1, tzinfo=UTC)


def name(seq: int) -> str:
    return f"{seq:064x}"


def snapshot(seq: int) -> SnapshotRecord:
    return SnapshotRecord(seq, name(seq), "hybrid", None, "m", "l", "e", {}, 1, 1)


def page(path: str, first: int) -> PageRecord:
    return PageRecord("docs", path, f"v{first}", "T", "markdown", 1, 0, (f"{path}:{first}",), first)


def sync(db: Database, seq: int, **options: Any) -> None:
    """One page that every snapshot has anew, and one that came with the first."""
    closed = [page("new.md", seq - 1)] if seq > 1 else []
    added = [page("new.md", seq)] + ([page("old.md", 1)] if seq == 1 else [])
    commit_snapshot(db, snapshot(seq), closed=closed, added=added, sync_id=None, report={}, **options)


def build(db: Database, release: str, seq: int, *, age: int = 0) -> None:
    """A release of snapshot ``seq``; the greater its ``age``, the longer ago it was built."""
    with db.session() as session:
        session.add(
            Release(id=release, chain="docs", snapshot=name(seq), provenance={}, created_at=START - timedelta(days=age))
        )


def promote(
    db: Database,
    release: str,
    *,
    channel: str = "production",
    chain: str = "docs",
    action: Action = "promote",
    rollout: Rollout | None = None,
    forced: bool = False,
) -> None:
    version = get_channel(db, channel, chain).version
    move_channel(db, Move(channel, chain, action, release, version, Actor("ada"), rollout=rollout, forced=forced))


def build_newer(db: Database, seq: int) -> None:
    """So many newer releases, all of snapshot ``seq``, that none of the older counts as one of the newest."""
    for number in range(KEEP_BUILT):
        build(db, f"newer-{number}", seq, age=-1)


def kept(db: Database) -> list[int]:
    forget_old_snapshots(db)
    return sorted(record.seq for record in list_snapshots(db))


@pytest.fixture
def twenty(db: Database) -> Database:
    for seq in range(1, 21):
        sync(db, seq)
    return db


NEWEST = list(range(21 - KEEP, 21))


def test_without_releases_the_newest_the_pinned_and_the_current_stay(twenty: Database) -> None:
    set_pinned(twenty, name(3), True)
    point_current(twenty, 7)
    assert kept(twenty) == [3, 7, *NEWEST]


def test_the_snapshots_of_the_newest_releases_stay(twenty: Database) -> None:
    for number in range(KEEP_BUILT + 3):
        build(twenty, f"r{number}", 1 + number, age=number)
    assert kept(twenty) == [*range(1, KEEP_BUILT + 1), *NEWEST]


def test_what_a_channel_serves_stays_however_old_it_is(twenty: Database) -> None:
    build(twenty, "served", 2, age=900)
    build(twenty, "staged", 4, age=900)
    build(twenty, "unused", 6, age=900)
    build_newer(twenty, 20)
    promote(twenty, "served")
    promote(twenty, "staged", channel="staging", chain="support")
    assert kept(twenty) == [2, 4, *NEWEST]


def test_what_is_being_rolled_out_stays(twenty: Database) -> None:
    for release, seq in (("served", 2), ("candidate", 5)):
        build(twenty, release, seq, age=900)
    build_newer(twenty, 20)
    promote(twenty, "served")
    rollout = Rollout("x", "percent", "candidate", 10.0, START.isoformat())
    promote(twenty, "served", action="rollout", rollout=rollout)
    assert kept(twenty) == [2, 5, *NEWEST]
    promote(twenty, "served", action="stop")
    assert kept(twenty) == [2, *NEWEST]


def test_what_a_channel_may_go_back_to_stays(twenty: Database) -> None:
    """Releases count once, however often the channel went back and forth between two of them."""
    served = [f"r{number}" for number in range(KEEP_PASSED + 3)]
    for number, release in enumerate(served):
        build(twenty, release, 1 + number, age=900)
        promote(twenty, release)
    build_newer(twenty, 20)
    for _ in range(10):
        promote(twenty, served[-2], action="rollback")
        promote(twenty, served[-1])
    first = len(served) - KEEP_PASSED + 1
    assert kept(twenty) == [*range(first, len(served) + 1), *NEWEST]


def test_each_channel_of_each_chain_keeps_its_own(twenty: Database) -> None:
    build_newer(twenty, 20)
    for number, (channel, chain) in enumerate(
        [("production", "docs"), ("staging", "docs"), ("production", "support"), ("canary", "docs")], start=1
    ):
        build(twenty, f"r{number}", number, age=900)
        promote(twenty, f"r{number}", channel=channel, chain=chain)
        for other in range(KEEP_PASSED - 1):
            promote(twenty, f"newer-{other}", channel=channel, chain=chain)
    assert kept(twenty) == [1, 2, 3, 4, *NEWEST]
    for channel in ("production", "staging"):
        promote(twenty, f"newer-{KEEP_PASSED - 1}", channel=channel)
    assert kept(twenty) == [3, 4, *NEWEST]


def test_a_release_whose_snapshot_is_elsewhere_keeps_nothing(twenty: Database) -> None:
    build(twenty, "imported", 999)
    with pytest.raises(NotFound, match="not here any more"):
        promote(twenty, "imported")
    promote(twenty, "imported", forced=True)
    promote(twenty, "never-built", channel="staging")
    assert kept(twenty) == NEWEST


def test_pages_that_no_kept_snapshot_sees_go_and_the_others_stay(twenty: Database) -> None:
    build(twenty, "served", 3, age=900)
    build_newer(twenty, 20)
    promote(twenty, "served")
    assert forget_old_snapshots(twenty) == [(0, 3), (3, 16)]
    with twenty.reading() as session:
        rows = session.execute(select(Document.path, Document.from_seq).order_by(Document.from_seq, Document.path))
        assert [tuple(row) for row in rows] == [
            ("old.md", 1),
            ("new.md", 3),
            *(("new.md", seq) for seq in range(16, 21)),
        ]
    for seq in (3, *NEWEST):
        assert [found.first for found in pages_at(twenty, seq)] == [seq, 1]
    assert forget_old_snapshots(twenty) == [(0, 3), (3, 16)]


def test_an_empty_store_forgets_nothing(db: Database) -> None:
    assert forget_old_snapshots(db) == []


def test_a_snapshot_can_come_without_moving_the_pointer(db: Database) -> None:
    sync(db, 1, point=False)
    current = current_snapshot(db)
    assert current is not None
    assert current.seq == 1, "the first one is the current one, whoever brought it"
    sync(db, 2, point=False)
    assert current_snapshot(db) == replace(snapshot(1), created_at=current.created_at)
    sync(db, 3)
    current = current_snapshot(db)
    assert current is not None
    assert current.seq == 3
