"""Asking from a command: through the server that owns the index, else with everything in this process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from chains.target import Target, resolve
from lockgate.owner import ServerHandle, acquire, find_server
from lockgate.ports import Asker, Retriever
from lockgate.remote import RemoteAsker, RemoteRetriever
from lockgate.settings import Settings
from lockgate.types import AnswerEvent, AskRequest, Retrieval, Served

if TYPE_CHECKING:
    from chains.assembly import SharedModels
    from chains.chain import Chain
    from ingestion.service import IndexService
    from lockgate.store.database import Database


@dataclass(frozen=True, slots=True)
class LocalAsker:
    """A release's chain and its retriever, wherever they run. ``served`` says through which channel it is asked."""

    asker: Asker
    retriever: Retriever
    served: Served | None = None

    def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        return self.asker.ask(replace(request, served=self.served) if self.served else request)

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        return self.retriever.retrieve(question, limit=limit)


class ReleaseHost(Protocol):
    """Gives any number of releases to ask; they share models and index."""

    def open(self, target: Target) -> LocalAsker:
        """Raises NotFound for a release that is not here and a channel that is not set."""
        ...


@contextlib.contextmanager
def open_host(settings: Settings, command: str) -> Iterator[ReleaseHost]:
    """The server that owns the index, or this process with the index to itself for as long as the block lasts.

    Raises Conflict when another command has the index, NotFound when a model is not pulled.
    """
    if handle := find_server(settings.state_dir):
        yield _RemoteHost(handle)
        return
    with acquire(settings.state_dir, command):
        from chains.assembly import SharedModels
        from ingestion.embedding import open_embedder
        from ingestion.service import IndexService
        from lockgate.store.database import open_database

        with open_database(settings.database) as db, IndexService(settings, db, open_embedder(settings)) as service:
            models = SharedModels(settings)
            try:
                yield LocalHost(settings, db, service, models)
            finally:
                models.close()


@contextlib.contextmanager
def open_asker(settings: Settings, target: Target, *, command: str) -> Iterator[LocalAsker]:
    """One release or channel, asked from a command."""
    with open_host(settings, command) as host:
        yield host.open(target)


class LocalHost:
    """Releases in this process, which owns the index."""

    def __init__(self, settings: Settings, db: Database, service: IndexService, models: SharedModels) -> None:
        self._settings = settings
        self._db = db
        self._service = service
        self._models = models

    def open(self, target: Target) -> LocalAsker:
        from chains.assembly import assemble_chain
        from lockgate.store.releases import open_releases

        store = open_releases(self._settings, self._db)
        pointed = resolve(self._db, store, target, self._settings.chain)
        chain: Chain = assemble_chain(store.manifest(pointed.release), self._db, self._service, self._models)
        channel = pointed.channel
        served = Served(channel.channel, channel.forced) if channel else None
        return LocalAsker(chain, chain.retriever, served)


class _RemoteHost:
    def __init__(self, handle: ServerHandle) -> None:
        self._handle = handle

    def open(self, target: Target) -> LocalAsker:
        return LocalAsker(RemoteAsker(self._handle, target.model), RemoteRetriever(self._handle, target.model))
