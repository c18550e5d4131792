"""What a request asks for: a release by its id, or a channel, which points at one. The words are those of the API's
``model``: ``production``, ``docs@production``, a chain's name, or a release's id."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lockgate.errors import NotFound
from lockgate.store.channels import NAME as CHANNEL
from lockgate.store.channels import PRODUCTION, STAGING, ChannelRecord, get_channel, list_channels
from lockgate.store.database import Database
from lockgate.store.releases import ReleaseStore

_CHAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_WHOLE_ID = re.compile(r"[0-9a-f]{64}\Z")
_PART_OF_ID = re.compile(r"[0-9a-f]{12,63}\Z")
MAX_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Target:
    """``release`` alone, or a channel of a chain; no channel means production where it is set, else staging; no chain
    means the project's default one."""

    release: str = ""
    chain: str = ""
    channel: str = ""

    @property
    def model(self) -> str:
        """The same in the words of the API; "" for whatever is the default."""
        if self.release:
            return self.release
        return f"{self.chain}@{self.channel}" if self.chain and self.channel else self.chain or self.channel


@dataclass(frozen=True, slots=True)
class Pointed:
    """What a target comes to now. ``channel`` is None for a release that was asked by its id."""

    release: str
    channel: ChannelRecord | None


def read_target(db: Database, name: str, default_chain: str) -> Target:
    """The target that an API's ``model`` names. Raises NotFound, listing what there is, for a name that means nothing.

    A name that is a channel is taken as one first, then as a chain, then as the beginning of a release's id.
    """
    if not name:
        return Target()
    if _WHOLE_ID.match(name):
        return Target(release=name)
    if "@" in name:
        chain, _, channel = name.partition("@")
        if not _CHAIN.match(chain) or not CHANNEL.match(channel):
            raise _unknown(name, list_channels(db), default_chain)
        return Target(chain=chain, channel=channel)
    known = list_channels(db)
    if name in (STAGING, PRODUCTION) or name in {record.channel for record in known}:
        return Target(channel=name)
    if name == default_chain or name in {record.chain for record in known}:
        return Target(chain=name)
    if _PART_OF_ID.match(name):
        return Target(release=name)
    raise _unknown(name, known, default_chain)


def _unknown(name: str, known: list[ChannelRecord], default_chain: str) -> NotFound:
    return NotFound(
        f"The model {_short(name)!r} does not exist. Models: {', '.join(models(known, default_chain)) or 'none yet'}.",
        hint="A model is a channel, chain@channel or a release's id. To set a channel: "
        "lockgate release promote RELEASE CHANNEL",
    )


def models(known: list[ChannelRecord], default_chain: str) -> list[str]:
    """Every name that can be asked now, the default one first; ids of releases are left to who knows them."""
    chains = sorted({record.chain for record in known}, key=lambda name: (name != default_chain, name))
    names = []
    for chain in chains:
        channels = [record.channel for record in known if record.chain == chain and record.release]
        if PRODUCTION in channels or STAGING in channels:
            names.append(chain)
        if chain == default_chain:
            names += channels
        names += [f"{chain}@{channel}" for channel in channels]
    return names


def resolve(db: Database, store: ReleaseStore, target: Target, default_chain: str) -> Pointed:
    """Where ``target`` points now. Raises NotFound, naming the command, for a channel that is not set."""
    if target.release:
        return Pointed(store.find(target.release).id, None)
    chain = target.chain or default_chain
    if target.channel:
        record = get_channel(db, target.channel, chain)
        if record.release is None:
            known = list_channels(db)
            if chain != default_chain and chain not in {each.chain for each in known}:
                raise _unknown(target.model, known, default_chain)
            raise _not_set(chain, target.channel)
        return Pointed(record.release, record)
    for channel in (PRODUCTION, STAGING):
        record = get_channel(db, channel, chain)
        if record.release is not None:
            return Pointed(record.release, record)
    raise _not_set(chain, STAGING)


def _not_set(chain: str, channel: str) -> NotFound:
    return NotFound(
        f"The channel {_short(channel)!r} of chain {_short(chain)!r} points at no release.",
        hint=f"Run: lockgate release build --chain {_short(chain)}, then: "
        f"lockgate release promote RELEASE {_short(channel)}",
    )


def _short(name: str) -> str:
    return name if len(name) <= MAX_SHOWN else name[: MAX_SHOWN - 3] + "..."
