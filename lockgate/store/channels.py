"""Channels: where each points, and every move that brought it there. A move is a compare-and-swap on the version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from lockgate.actor import Actor
from lockgate.errors import Conflict, Corrupt, NotFound, UserError
from lockgate.store.database import Database
from lockgate.store.tables import Channel, ChannelMove, Release, Snapshot

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
STAGING = "staging"
PRODUCTION = "production"
MAX_LISTED = 10_000

Action = Literal["promote", "rollback", "rollout", "stop"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A new release beside the current one. ``share`` is the part of the conversations, in percent, that the new one
    answers (kind percent) or that are repeated aside (kind shadow); ``bounds`` are what it stops itself by."""

    id: str
    kind: Literal["percent", "shadow"]
    release: str
    share: float
    started_at: str
    budget: int = 0  # kind shadow: requests that may be repeated, 0 for kind percent
    forced: bool = False
    bounds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """``release`` is None and ``version`` 0 for a channel that was never set."""

    channel: str
    chain: str
    release: str | None = None
    version: int = 0
    forced: bool = False
    rollout: Rollout | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What to write. ``expected_version`` is that of the record on which the decision was made."""

    channel: str
    chain: str
    action: Action
    release: str
    expected_version: int
    actor: Actor
    reason: str = ""
    forced: bool = False
    evidence: Sequence[Mapping[str, Any]] = ()
    rollout: Rollout | None = None


@dataclass(frozen=True, slots=True)
class MoveRecord:
    """One line of a channel's history. ``version`` is the channel's after the move."""

    seq: int
    channel: str
    chain: str
    version: int
    action: Action
    from_release: str
    to_release: str
    actor: str
    verified: bool
    reason: str
    forced: bool
    evidence: tuple[Mapping[str, Any], ...]
    rollout: Rollout | None
    created_at: datetime


def check_name(channel: str) -> str:
    """Raises UserError for what cannot be the name of a channel."""
    if not NAME.match(channel):
        raise UserError(
            f"{channel[:80]!r} is not the name of a channel: lower-case letters, digits and dashes, a letter first."
        )
    return channel


def get_channel(db: Database, channel: str, chain: str) -> ChannelRecord:
    with db.reading() as session:
        row = session.get(Channel, (channel, chain))
    return _record(row) if row else ChannelRecord(channel, chain)


def list_channels(db: Database) -> list[ChannelRecord]:
    """Those that were ever set, by name and chain."""
    with db.reading() as session:
        return [_record(row) for row in session.scalars(select(Channel).order_by(Channel.channel, Channel.chain))]


def move_channel(db: Database, move: Move) -> ChannelRecord:
    """Point the channel at ``move.release`` and write the line of history, in one transaction.

    Raises Conflict, naming who and when, if the channel has moved since ``expected_version`` was read; nothing is
    written then.
    """
    check_name(move.channel)
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "release": move.release,
        "version": move.expected_version + 1,
        "forced": move.forced,
        "rollout": _rollout_json(move.rollout),
        "updated_at": now,
    }
    try:
        with db.session() as session:
            row = session.get(Channel, (move.channel, move.chain), populate_existing=True)
            before = row.release if row else ""
            if (row.version if row else 0) != move.expected_version:
                raise _Lost
            if row is None:
                session.add(Channel(channel=move.channel, chain=move.chain, **values))
            else:
                swap = (
                    update(Channel)
                    .where(
                        Channel.channel == move.channel,
                        Channel.chain == move.chain,
                        Channel.version == move.expected_version,
                    )
                    .values(**values)
                    .execution_options(synchronize_session=False)
                )
                # Where two writers may both have read the row (PostgreSQL), the condition lets one of them through.
                if cast("Any", session.execute(swap)).rowcount != 1:
                    raise _Lost
            session.flush()
            _require_snapshots(session, move)
            session.add(
                ChannelMove(
                    channel=move.channel,
                    chain=move.chain,
                    version=move.expected_version + 1,
                    action=move.action,
                    from_release=before,
                    to_release=move.release,
                    actor=move.actor.name,
                    verified=move.actor.verified,
                    reason=move.reason,
                    forced=move.forced,
                    evidence=[dict(item) for item in move.evidence],
                    rollout=values["rollout"],
                    created_at=now,
                )
            )
    except (_Lost, Conflict):
        raise _conflict(db, move) from None
    # Not read again: the next move may be there already.
    return ChannelRecord(
        channel=move.channel,
        chain=move.chain,
        release=move.release,
        version=move.expected_version + 1,
        forced=move.forced,
        rollout=move.rollout,
        updated_at=now,
    )


def history(db: Database, channel: str, chain: str, *, limit: int = 100) -> list[MoveRecord]:
    """Newest first."""
    if not 1 <= limit <= MAX_LISTED:
        raise UserError(f"limit: {limit} is not between 1 and {MAX_LISTED}.")
    query = (
        select(ChannelMove)
        .where(ChannelMove.channel == channel, ChannelMove.chain == chain)
        .order_by(ChannelMove.version.desc())
        .limit(limit)
    )
    with db.reading() as session:
        return [_move(row) for row in session.scalars(query)]


def release_at(db: Database, channel: str, chain: str, at: datetime) -> MoveRecord | None:
    """The move that was in force at ``at``; None before the first."""
    query = (
        select(ChannelMove)
        .where(ChannelMove.channel == channel, ChannelMove.chain == chain, ChannelMove.created_at <= at)
        .order_by(ChannelMove.version.desc())
        .limit(1)
    )
    with db.reading() as session:
        row = session.scalar(query)
    return _move(row) if row else None


def _require_snapshots(session: Session, move: Move) -> None:
    """In the same transaction as the move: a sync that drops old snapshots comes before it or after it, and what a
    channel points at is not dropped. A move past the gate, and one that only ends a rollout, is not held up."""
    if move.action == "stop" or move.forced or (move.rollout and move.rollout.forced):
        return
    for name in (move.release, move.rollout.release if move.rollout else None):
        row = session.get(Release, name) if name else None
        if row is not None and session.scalar(select(Snapshot.seq).where(Snapshot.id == row.snapshot)) is None:
            raise NotFound(
                f"The snapshot {row.snapshot[:12]} of release {row.id[:12]} is not here any more.",
                hint="A sync of the same documents brings it back; or build a new release.",
            )


class _Lost(Exception):
    """Another move came first."""


def _conflict(db: Database, move: Move) -> Conflict:
    newest = history(db, move.channel, move.chain, limit=1)
    if newest and newest[0].version != move.expected_version:
        last = newest[0]
        said = f"{last.actor} moved it to {last.to_release[:12]} at {last.created_at:%Y-%m-%d %H:%M:%S} UTC"
    else:
        said = "somebody else moved it"
    return Conflict(
        f"The channel {move.channel} of chain {move.chain} has changed meanwhile: {said}.",
        hint=f"Look at it (lockgate release history {move.channel}) and decide again.",
    )


def _rollout_json(rollout: Rollout | None) -> dict[str, Any]:
    return {**asdict(rollout), "bounds": dict(rollout.bounds)} if rollout else {}


def _rollout(body: Any, where: str) -> Rollout | None:
    if not body:
        return None
    try:
        return Rollout(**body)
    except TypeError:
        raise Corrupt(
            f"The rollout of {where} is not one that this version knows.",
            hint="A newer Lockgate may have begun it; use that version, or end it there.",
        ) from None


def _record(row: Channel) -> ChannelRecord:
    return ChannelRecord(
        channel=row.channel,
        chain=row.chain,
        release=row.release or None,
        version=row.version,
        forced=row.forced,
        rollout=_rollout(row.rollout, f"{row.channel} of {row.chain}"),
        updated_at=row.updated_at,
    )


def _move(row: ChannelMove) -> MoveRecord:
    return MoveRecord(
        seq=row.seq,
        channel=row.channel,
        chain=row.chain,
        version=row.version,
        action=cast("Action", row.action),
        from_release=row.from_release,
        to_release=row.to_release,
        actor=row.actor,
        verified=row.verified,
        reason=row.reason,
        forced=row.forced,
        evidence=tuple(row.evidence),
        rollout=_rollout(row.rollout, f"{row.channel} of {row.chain}"),
        created_at=row.created_at,
    )
