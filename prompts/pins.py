"""Which releases pin which version of a prompt, and which channels served them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lockgate.errors import LockgateError
from lockgate.release import Manifest
from lockgate.settings import Settings
from lockgate.store.channels import MAX_LISTED as MAX_MOVES
from lockgate.store.channels import history, list_channels
from lockgate.store.database import Database, open_database
from lockgate.store.releases import MAX_LISTED, ReleaseStore, open_releases


@dataclass(frozen=True, slots=True)
class ChannelUse:
    """A channel that has pointed at a release; ``is_current`` when it does now."""

    channel: str
    chain: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Pin:
    """One release that pins one version of a prompt."""

    name: str
    hash: str
    files: Mapping[str, str] = field(repr=False)
    release: str
    chain: str
    created_at: datetime
    channels: tuple[ChannelUse, ...]
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pins:
    """``notes`` name the releases whose manifest could not be read."""

    pins: tuple[Pin, ...] = ()
    notes: tuple[str, ...] = ()


@contextmanager
def opened_releases(settings: Settings) -> Iterator[tuple[Database, ReleaseStore] | None]:
    """The database and the releases in it; None where there is no database yet, and none is made."""
    if not settings.database_url and not Path(settings.state_dir / "lockgate.db").exists():
        yield None
        return
    with open_database(settings.database) as db:
        yield db, open_releases(settings, db)


def read_pins(settings: Settings) -> Pins:
    """Every prompt that a release pins, the newest release first."""
    with opened_releases(settings) as opened:
        if opened is None:
            return Pins()
        db, store = opened
        uses = _channel_uses(db)
        pins: list[Pin] = []
        notes: list[str] = []
        for record in store.list(limit=MAX_LISTED):
            try:
                manifest = store.manifest(record.id)
            except LockgateError as error:
                notes.append(str(error))
                continue
            pins += _pins(manifest, record.created_at, tuple(uses[record.id]))
    return Pins(tuple(pins), tuple(notes))


def _pins(manifest: Manifest, created_at: datetime, channels: tuple[ChannelUse, ...]) -> Iterator[Pin]:
    for prompt in {pinned.hash: pinned for pinned in manifest.prompts.values()}.values():
        roles = tuple(str(role) for role, pinned in manifest.prompts.items() if pinned.hash == prompt.hash)
        yield Pin(prompt.name, prompt.hash, prompt.files, manifest.id, manifest.name, created_at, channels, roles)


def _channel_uses(db: Database) -> dict[str, list[ChannelUse]]:
    """The channels of each release, those of a rollout counted in."""
    uses: dict[str, list[ChannelUse]] = defaultdict(list)
    for record in list_channels(db):
        moves = history(db, record.channel, record.chain, limit=MAX_MOVES)
        served = {move.to_release for move in moves} | {move.rollout.release for move in moves if move.rollout}
        now = {record.release, record.rollout.release if record.rollout else None}
        for release in served:
            uses[release].append(ChannelUse(record.channel, record.chain, release in now))
    return uses
