"""What the console shows of releases and channels, read from the store; nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockgate.errors import NotFound
from lockgate.store.channels import (
    PRODUCTION,
    STAGING,
    ChannelRecord,
    MoveRecord,
    check_name,
    get_channel,
    history,
    list_channels,
)

if TYPE_CHECKING:
    from chains.release_diff import ReleaseDiff
    from evals.release_facts import ReleaseFacts
    from lockgate.store.releases import ReleaseRecord
    from serving.workbench import Workbench

RELEASES = 100
MOVES = 200
LOOKED_BACK = 1000
"""Moves of a channel among which the one is looked for that brought its release."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A channel that is set: the name that a request gives as its model, and what answers it."""

    model: str
    channel: str
    chain: str
    release: str
    forced: bool
    rollout: str  # in words, "" for none


@dataclass(frozen=True, slots=True)
class ChannelView:
    """``since`` is the move that brought the release; ``report`` is that of a rollout under way, else None."""

    record: ChannelRecord
    since: MoveRecord | None
    report: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ChainView:
    name: str
    channels: tuple[ChannelView, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """``channels`` are in words, as ``chains.release_commands.channel_marks`` has them."""

    record: ReleaseRecord
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleasesView:
    """``more`` says that older releases are not listed."""

    chains: tuple[ChainView, ...]
    releases: tuple[ReleaseRow, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class ChannelHistory:
    """``report`` is that of the channel's rollout, or of its last one; its ``state`` says which."""

    record: ChannelRecord
    moves: Sequence[MoveRecord]
    report: Mapping[str, Any]


def read_pointers(bench: Workbench) -> tuple[Pointer, ...]:
    """Every channel that is set, those of the default chain first, production before staging before others."""
    from serving.watch import describe_rollout

    default = bench.settings.chain
    order = {PRODUCTION: 0, STAGING: 1}
    records = [record for record in list_channels(bench.db) if record.release]
    records.sort(key=lambda one: (one.chain != default, one.chain, order.get(one.channel, 2), one.channel))
    return tuple(
        Pointer(
            model=record.channel if record.chain == default else f"{record.chain}@{record.channel}",
            channel=record.channel,
            chain=record.chain,
            release=record.release or "",
            forced=record.forced,
            rollout=describe_rollout(record.rollout),
        )
        for record in records
    )


def read_releases(bench: Workbench) -> ReleasesView:
    """Every chain's channels, staging and production also where they were never set, and the newest releases."""
    from chains.release_commands import channel_marks
    from lockgate.store.releases import open_releases

    found = open_releases(bench.settings, bench.db).list(limit=RELEASES + 1)
    marks = channel_marks(bench.db)
    set_ones = list_channels(bench.db)
    default = bench.settings.chain
    names = {default, *(record.chain for record in set_ones), *(record.chain for record in found)}
    chains = [
        ChainView(name, tuple(_channel(bench, record) for record in _channels_of(name, set_ones)))
        for name in sorted(names, key=lambda name: (name != default, name))
    ]
    rows = [ReleaseRow(record, tuple(marks[record.id])) for record in found[:RELEASES]]
    return ReleasesView(tuple(chains), tuple(rows), len(found) > RELEASES)


def read_release(bench: Workbench, name: str) -> ReleaseFacts:
    """``name`` is an id, the beginning of one, or a channel. Raises NotFound, UserError, Corrupt."""
    from evals.release_facts import read_facts

    return read_facts(bench.settings, bench.db, name)


def compare_releases(bench: Workbench, before: str, after: str) -> ReleaseDiff:
    """Raises NotFound, UserError, Corrupt."""
    from chains.release_commands import release_named
    from chains.release_diff import diff_releases
    from lockgate.store.releases import open_releases

    store = open_releases(bench.settings, bench.db)
    first, second = (store.manifest(release_named(bench.settings, bench.db, name)) for name in (before, after))
    return diff_releases(first, second, store.objects)


def read_channel(bench: Workbench, chain: str, channel: str) -> ChannelHistory:
    """Raises NotFound for a channel that was never set."""
    from serving.rollout_report import rollout_report

    record = get_channel(bench.db, check_name(channel), chain)
    if not record.version:
        raise NotFound(
            f"The channel {channel} of chain {chain[:80]!r} was never set.",
            hint=f"Set it with: lockgate release promote RELEASE {channel}",
        )
    moves = history(bench.db, channel, chain, limit=MOVES)
    return ChannelHistory(record, moves, rollout_report(bench.db, record))


def _channels_of(chain: str, records: Sequence[ChannelRecord]) -> list[ChannelRecord]:
    """Production first, since it is what users get."""
    known = {record.channel: record for record in records if record.chain == chain}
    names = [PRODUCTION, STAGING, *(name for name in known if name not in (PRODUCTION, STAGING))]
    return [known.get(name) or ChannelRecord(name, chain) for name in names]


def _channel(bench: Workbench, record: ChannelRecord) -> ChannelView:
    from serving.rollout_report import rollout_report

    report = rollout_report(bench.db, record) if record.rollout else None
    return ChannelView(record, _since(bench, record), report)


def _since(bench: Workbench, record: ChannelRecord) -> MoveRecord | None:
    """The move since which the channel has pointed at its release without a break."""
    if not record.version:
        return None
    found = None
    for move in history(bench.db, record.channel, record.chain, limit=LOOKED_BACK):
        if move.to_release != record.release:
            break
        found = move
    return found
