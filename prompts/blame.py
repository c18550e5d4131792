"""What a channel was serving at some time: the release, and the texts of its prompts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from lockgate.errors import LockgateError, NotFound, UserError
from lockgate.release import Manifest, PinnedPrompt
from lockgate.settings import Settings
from lockgate.store.channels import PRODUCTION, MoveRecord, check_name, history, release_at
from lockgate.store.database import Database
from lockgate.store.releases import ReleaseStore
from prompts.pins import opened_releases
from prompts.roles import RoleOf, pinned_as

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time; ``read_as`` says how its text was understood where that was not certain, else ""."""

    time: datetime
    read_as: str


@dataclass(frozen=True, slots=True)
class ServedPrompt:
    """``candidate`` is what the release of a rollout under way had in that role, None where it had the same text."""

    role: str
    prompt: PinnedPrompt
    candidate: PinnedPrompt | None


@dataclass(frozen=True, slots=True)
class Blame:
    """``move`` brought the release to the channel, and names who and why; ``notes`` what could not be read."""

    prompts: tuple[ServedPrompt, ...]
    release: str
    move: MoveRecord
    at: Moment
    notes: tuple[str, ...] = ()


def blame(
    settings: Settings, name: str | None, at: str, *, channel: str = PRODUCTION, chain: str | None = None
) -> Blame:
    """The prompt ``name``, or all, as ``channel`` of ``chain`` (default: LOCKGATE_CHAIN) served it at ``at``.

    Raises UserError for a time that cannot be read or is still to come, NotFound when the channel was not set then,
    the release has no such prompt, or its manifest is gone.
    """
    moment = read_time(at)
    channel, chain = check_name(channel), chain or settings.chain
    if moment.time > datetime.now(UTC):
        raise UserError(f"{moment.time.isoformat()} is still to come: nothing has been served then.")
    with opened_releases(settings) as opened:
        if opened is None:
            raise _never(channel, chain)
        db, store = opened
        move = release_at(db, channel, chain, moment.time)
        if move is None:
            raise _not_yet(db, channel, chain, moment)
        manifest = store.manifest(move.to_release)
        candidate, notes = _candidate(store, move)
    found = (
        pinned_as(settings, manifest, name)
        if name is not None
        else [RoleOf(str(role), pinned) for role, pinned in manifest.prompts.items()]
    )
    if name is not None and found[0].pinned.name != name:
        notes.append(f"{name[:80]!r} was called {found[0].pinned.name!r} there: the {found[0].role} prompt.")
    prompts = tuple(_served(candidate, one) for one in found)
    return Blame(prompts, manifest.id, move, moment, tuple(notes))


def _candidate(store: ReleaseStore, move: MoveRecord) -> tuple[Manifest | None, list[str]]:
    """The release of a rollout under way. That it cannot be read hides nothing of the channel's own."""
    if move.rollout is None:
        return None, []
    try:
        return store.manifest(move.rollout.release), []
    except LockgateError as error:
        return None, [f"What the release of the rollout pinned cannot be read: {error}"]


def _served(candidate: Manifest | None, one: RoleOf) -> ServedPrompt:
    others = {str(role): pinned for role, pinned in candidate.prompts.items()} if candidate else {}
    other = others.get(one.role)
    return ServedPrompt(one.role, one.pinned, other if other and other.hash != one.pinned.hash else None)


def read_time(text: str) -> Moment:
    """An ISO time or date. Without a zone it is local time; a date alone is its first second."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UserError(
            f"--at: {text[:60]!r} is not a time.", hint="Write for example 2026-03-01T14:30 or 2026-03-01T14:30:00Z."
        ) from None
    if time.tzinfo is not None:
        return Moment(time, "")
    try:
        local = time.astimezone()
    except (OverflowError, ValueError, OSError):
        raise UserError(f"--at: {text[:60]!r} is too far away.") from None
    first = "the first second of that day, " if _DATE.match(text.strip()) else ""
    return Moment(local, f"read as {first}local time: {local.isoformat()}")


def _not_yet(db: Database, channel: str, chain: str, moment: Moment) -> NotFound:
    moves = history(db, channel, chain, limit=10_000)
    if not moves:
        return _never(channel, chain)
    first = moves[-1].created_at.isoformat(timespec="seconds")
    return NotFound(
        f"The channel {channel} of chain {chain} was not set at {moment.time.isoformat()}, but first at {first}.",
        hint=f"See: lockgate release history {channel}",
    )


def _never(channel: str, chain: str) -> NotFound:
    return NotFound(
        f"The channel {channel} of chain {chain} was never set.",
        hint=f"Run: lockgate release promote RELEASE {channel}",
    )
