"""Watching the channels: what they point at is ready before it is asked, and rollouts that do harm are ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lockgate.errors import LockgateError, NotFound
from serving.check_trials import CheckStanding, CheckTrials

if TYPE_CHECKING:
    from guardrails.guard import Guard
    from lockgate.release import Manifest
    from lockgate.store.channels import ChannelRecord, Rollout
    from serving.parts import Parts

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
"""How often the channels are looked at. Requests read the pointer themselves; this is for what is ready beforehand."""


@dataclass(frozen=True, slots=True)
class PointedRelease:
    """A channel that is set, and the release that it points at."""

    record: ChannelRecord
    manifest: Manifest


class ChannelWatch:
    """Knows where a request without a model goes. ``look`` may be called from any thread."""

    def __init__(self, parts: Parts, chain: str, loads_models: Callable[[], bool]) -> None:
        """``chain`` is the default one; models are loaded ahead only while ``loads_models`` says so."""
        self._parts = parts
        self._chain = chain
        self._loads_models = loads_models
        self._lock = threading.Lock()  # guards everything below
        self._seen: dict[tuple[str, str], int] = {}
        self._pointed: PointedRelease | None = None
        self._broken: LockgateError | None = None
        self._guard: Guard | None = None
        self._trials = CheckTrials()

    @property
    def pointed(self) -> PointedRelease | None:
        """None while no channel of the default chain is set, or its release cannot answer."""
        with self._lock:
            return self._pointed

    @property
    def broken(self) -> LockgateError | None:
        """Why the release that the default channel points at cannot answer."""
        with self._lock:
            return self._broken

    def checks(self) -> CheckStanding:
        """How the checks of the release stand that ``pointed`` is."""
        with self._lock:
            guard, pointed = self._guard, self._pointed
        if guard is None or pointed is None:
            return CheckStanding()
        return self._trials.standing(guard, pointed.record.channel)

    def run(self, closing: threading.Event) -> None:
        while not closing.wait(WATCH_SECONDS):
            try:
                self.look()
            except LockgateError as error:
                log.warning("The channels could not be looked at: %s", error)
            except Exception:
                log.exception("The channels could not be looked at.")

    def look(self) -> None:
        """See what moved, end rollouts that do harm, and have ready what is pointed at now."""
        from lockgate.store.channels import list_channels

        moved = []
        for record in list_channels(self._parts.db):
            current = self._parts.keeper.check(record) if record.rollout else record
            with self._lock:
                if self._seen.get((record.channel, record.chain)) != current.version:
                    self._seen[record.channel, record.chain] = current.version
                    moved.append(current)
        pointed, broken, guard = self._default()
        if guard is not None:
            self._trials.see_to(guard)
        with self._lock:
            self._pointed, self._broken, self._guard = pointed, broken, guard
        # After everything that must not wait: a model may take seconds to load.
        for record in moved:
            self._make_ready(record)

    def _default(self) -> tuple[PointedRelease | None, LockgateError | None, Guard | None]:
        from chains.target import Target, resolve

        parts, before = self._parts, self.pointed
        try:
            found = resolve(parts.db, parts.store, Target(), self._chain)
        except NotFound:
            return None, None, None
        assert found.channel is not None  # noqa: S101 - Target() names no release
        try:
            # Assembled, not only read: a release whose snapshot or model is not here cannot answer either.
            guard = parts.shelf.get(found.release).guard
            known = before is not None and before.manifest.id == found.release
            manifest = before.manifest if known and before else parts.store.manifest(found.release)
            return PointedRelease(found.channel, manifest), None, guard
        except LockgateError as error:
            # One broken release must not keep the other channels from answering.
            return None, error, None

    def _make_ready(self, record: ChannelRecord) -> None:
        """So that the first request after a move does not wait. What cannot be is told to whoever asks for it."""
        for release in (record.release, record.rollout.release if record.rollout else None):
            if release is None:
                continue
            try:
                self._trials.see_to(self._parts.shelf.get(release).guard)
                if self._loads_models():
                    self._parts.models.load(self._parts.store.manifest(release).model)
            except LockgateError as error:
                log.error("%s of %s: %s cannot answer: %s", record.channel, record.chain, release, error)


def describe_rollout(rollout: Rollout | None) -> str:
    """In words, "" for none."""
    if rollout is None:
        return ""
    forced = " (forced)" if rollout.forced else ""
    what = "of the conversations" if rollout.kind == "percent" else "of the requests aside"
    return f"{rollout.share:g} % {what}: release {rollout.release[:12]}{forced}"
