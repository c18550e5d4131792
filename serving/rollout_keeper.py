"""Watching rollouts: looks at the figures of both arms as requests come in, and stops the one that is bad or done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from lockgate.actor import LOCKGATE
from lockgate.errors import Conflict, LockgateError
from lockgate.store.arms import count_repeated, newest_request
from lockgate.store.channels import ChannelRecord, Move, Rollout, get_channel, move_channel
from lockgate.store.database import Database
from serving.rollout_verdict import StopReason, describe_arm, judge_rollout, read_arms

log = logging.getLogger(__name__)

ANYWAY_SECONDS = 30.0
"""A rollout without a newer request is looked at again after this time: a slow request ends later than newer ones."""

REST = 20.0
"""A look is followed by a rest of so many times what it took: watching takes at most a twentieth of a core, also where
an arm's requests lie far apart among a million others."""


@dataclass(frozen=True, slots=True)
class _Look:
    rollout: str
    newest: datetime | None
    at: float
    seconds: float = 0.0


class RolloutKeeper:
    """For a server's background loop. Several servers may watch one database: the first to move the channel wins."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._looks: dict[tuple[str, str], _Look] = {}
        self._troubled: set[tuple[str, str]] = set()

    def check(self, record: ChannelRecord) -> ChannelRecord:
        """Stop the channel's rollout if it has to; the record as it is then. Never raises.

        Costs one step in an index while no request has come since the last look.
        """
        key = (record.channel, record.chain)
        try:
            checked = self._check(key, record)
        except LockgateError as error:
            if key not in self._troubled:  # once, not every second for as long as a database is away
                log.warning("The rollout of %s cannot be watched: %s", record.channel, error)
            self._troubled.add(key)
            return record
        except Exception:
            if key not in self._troubled:
                log.exception("The rollout of %s cannot be watched.", record.channel)
            self._troubled.add(key)
            return record
        self._troubled.discard(key)
        return checked

    def _check(self, key: tuple[str, str], record: ChannelRecord) -> ChannelRecord:
        rollout = record.rollout
        if rollout is None or record.release is None:
            self._looks.pop(key, None)
            return record
        look = _Look(rollout.id, newest_request(self._db, rollout.id), self._clock())
        if self._can_wait(self._looks.get(key), look):
            return record
        reason = self._judge(record.release, record.channel, rollout)
        if reason is None:
            self._looks[key] = replace(look, seconds=self._clock() - look.at)
            return record
        return self._stop(record, record.release, rollout, reason)

    def _can_wait(self, before: _Look | None, now: _Look) -> bool:
        if before is None or before.rollout != now.rollout:
            return False
        passed = now.at - before.at
        return passed < (ANYWAY_SECONDS if before.newest == now.newest else REST * before.seconds)

    def _judge(self, release: str, channel: str, rollout: Rollout) -> StopReason | None:
        figures = read_arms(self._db, rollout, release, channel)
        bad = judge_rollout(figures, rollout.bounds)
        if bad is not None or rollout.kind != "shadow":
            return bad
        repeated = count_repeated(self._db, rollout.id)
        if repeated < rollout.budget:
            return None
        arms = {name: describe_arm(arm) for name, arm in figures.items()}
        return StopReason(
            f"its budget is used up ({repeated} requests repeated), and nothing showed the new release beyond a bound",
            {"kind": "rollout", "metric": "budget", "arms": arms},
        )

    def _stop(self, record: ChannelRecord, release: str, rollout: Rollout, reason: StopReason) -> ChannelRecord:
        evidence: Mapping[str, Any] = {
            **reason.evidence,
            "rollout": {**asdict(rollout), "bounds": dict(rollout.bounds)},
        }
        move = Move(
            channel=record.channel,
            chain=record.chain,
            action="stop",
            release=release,
            expected_version=record.version,
            actor=LOCKGATE,
            reason=f"The rollout of {rollout.release[:12]} stopped itself: {reason.text}.",
            forced=record.forced,
            evidence=[evidence],
        )
        try:
            stopped = move_channel(self._db, move)
        except Conflict:
            # A person or another server was first; what they decided stands.
            return get_channel(self._db, record.channel, record.chain)
        log.warning("%s of %s: %s", record.channel, record.chain, move.reason)
        return stopped
