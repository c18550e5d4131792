"""From a request to the release that answers it: the pointer is read for every request, chains are kept by release."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from chains.target import Target, resolve
from lockgate.errors import LockgateError, Unavailable
from lockgate.store.channels import ChannelRecord, Rollout
from lockgate.types import Answer, AnswerEvent, AskRequest, Finished, Served
from serving.rollout import conversation_key, pick_arm
from serving.rollout_failure import record_failure

if TYPE_CHECKING:
    from chains.assembly import SharedModels
    from chains.chain import Chain
    from ingestion.service import IndexService
    from lockgate.store.database import Database
    from lockgate.store.releases import ReleaseStore

KEPT = 16
"""Chains kept in memory; models and index are shared, so one takes kilobytes."""


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a request. ``aside`` is the release that repeats it, where a shadow rollout sampled it."""

    chain: Chain
    served: Served
    aside: Rollout | None = None


class ChainShelf:
    """Chains by release id. Each is assembled once, by whoever asks for it first."""

    def __init__(self, db: Database, store: ReleaseStore, service: IndexService, models: SharedModels) -> None:
        self._db = db
        self._store = store
        self._service = service
        self._models = models
        self._lock = threading.Lock()
        self._chains: OrderedDict[str, Chain] = OrderedDict()

    def get(self, release: str) -> Chain:
        """Raises NotFound when the release, its snapshot or a model is not here, Corrupt when one was touched."""
        from chains.assembly import assemble_chain

        with self._lock:
            chain = self._chains.get(release)
            if chain is not None:
                self._chains.move_to_end(release)
                return chain
        chain = assemble_chain(self._store.manifest(release), self._db, self._service, self._models)
        with self._lock:
            chain = self._chains.setdefault(release, chain)
            while len(self._chains) > KEPT:
                self._chains.popitem(last=False)
            return chain

    def has(self, release: str) -> bool:
        with self._lock:
            return release in self._chains


class Router:
    """Decides, for each request anew, which release answers it."""

    def __init__(self, db: Database, store: ReleaseStore, shelf: ChainShelf, default_chain: str) -> None:
        self._db = db
        self._store = store
        self._shelf = shelf
        self._default_chain = default_chain

    def check(self, target: Target) -> None:
        """Raises NotFound, naming the command, when ``target`` is nothing that can be asked now."""
        resolve(self._db, self._store, target, self._default_chain)

    def route(self, target: Target, request: AskRequest) -> Route:
        pointed = resolve(self._db, self._store, target, self._default_chain)
        channel = pointed.channel
        if channel is None:
            return Route(self._shelf.get(pointed.release), Served())
        served = Served(channel.channel, channel.forced)
        if channel.rollout is None or request.origin not in ("api", "cli"):
            # Evals measure a release, so they never take part in a rollout.
            return Route(self._shelf.get(pointed.release), served)
        return self._roll(channel, channel.rollout, pointed.release, served, request)

    def _roll(
        self, channel: ChannelRecord, rollout: Rollout, current: str, served: Served, request: AskRequest
    ) -> Route:
        arm = pick_arm(rollout, conversation_key(request))
        if rollout.kind == "percent":
            release = rollout.release if arm == "candidate" else current
            forced = rollout.forced if arm == "candidate" else channel.forced
            side = Served(channel.channel, forced, rollout.id, arm)
            try:
                return Route(self._shelf.get(release), side)
            except LockgateError as error:
                if arm != "candidate" or isinstance(error, Unavailable):  # the latter is about this server
                    raise
                # It counts against the new release; the user is answered by the one that works.
                failed = replace(request, served=side)
                record_failure(self._db, failed, chain=channel.chain, release=release, error=error)
                return Route(self._shelf.get(current), served)
        if arm != "candidate":
            return Route(self._shelf.get(current), served)
        sampled = Served(channel.channel, channel.forced, rollout.id, "current")
        return Route(self._shelf.get(current), sampled, aside=rollout)


class RoutedAsker:
    """ports.Asker for a target. A request stays with its release to the end, wherever the pointer moves meanwhile."""

    def __init__(self, router: Router, target: Target, shadow: Callable[[Rollout, AskRequest, Answer], None]) -> None:
        self._router = router
        self._target = target
        self._shadow = shadow

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        route = await asyncio.to_thread(self._router.route, self._target, request)
        routed = replace(request, served=route.served)
        answer: Answer | None = None
        try:
            async with aclosing(cast("Any", route.chain.ask(routed))) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        answer = event.answer
                    yield event
        finally:
            # Also when whoever asked closes this right after the answer.
            if route.aside is not None and answer is not None:
                self._shadow(route.aside, request, answer)
