"""Asking from a command: through the server that owns the index, else with everything in this process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from lockgate.errors import UserError
from lockgate.owner import acquire, find_server
from lockgate.ports import Asker, Retriever
from lockgate.remote import RemoteAsker, RemoteRetriever
from lockgate.settings import Settings
from lockgate.types import AnswerEvent, AskRequest, Retrieval


@dataclass(frozen=True, slots=True)
class LocalAsker:
    """A chain and its retriever, wherever they run."""

    asker: Asker
    retriever: Retriever

    def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        return self.asker.ask(request)

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        return self.retriever.retrieve(question, limit=limit)


@contextlib.contextmanager
def open_asker(
    settings: Settings, *, chain: str | None = None, snapshot: str | None = None, command: str = "lockgate chains ask"
) -> Iterator[LocalAsker]:
    """Raises NotFound (no such chain, model not pulled, nothing indexed), Conflict when another command has the index.

    ``snapshot`` names one of the kept snapshots; that needs the index to oneself, since a server answers from its own.
    """
    if handle := find_server(settings.state_dir):
        if snapshot or (chain and chain != settings.chain):
            raise UserError(
                f"`{handle.command}` (process {handle.pid}) owns the index and asks its own chain and snapshot.",
                hint="Stop it, or leave out --chain and --snapshot.",
            )
        yield LocalAsker(RemoteAsker(handle), RemoteRetriever(handle))
        return
    with acquire(settings.state_dir, command):
        from chains.assembly import ChatModels, assemble_chain
        from ingestion.embedding import open_embedder
        from ingestion.retriever import SnapshotRetriever
        from ingestion.service import IndexService
        from lockgate.store.database import open_database

        with open_database(settings.database) as db, IndexService(settings, db, open_embedder(settings)) as service:
            opened = service.open_snapshot(snapshot) if snapshot else service.current()
            models = ChatModels(settings)
            try:
                built = assemble_chain(
                    settings, db, service, models, chain or settings.chain, snapshot=opened if snapshot else None
                )
                yield LocalAsker(built, SnapshotRetriever(service, built.definition.retrieval, snapshot=opened))
            finally:
                models.close()
