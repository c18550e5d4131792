"""From settings and an index to chains that can be asked. Used by the server and by commands that own the index."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from chains.chain import Chain, ChainParts
from chains.chat_model import LocalChatModel, probe_server, server_model
from chains.definition import ChainDefinition, load_chain
from chains.modes import better_mode
from guardrails.policy import load_policy
from ingestion.retriever import SnapshotRetriever
from ingestion.service import IndexService, OpenSnapshot
from lockgate.ports import Generator
from lockgate.settings import Settings
from lockgate.store.database import Database
from prompts.collection import find_prompt

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel


class ChatModels:
    """The models that chains share: each is made once, and loaded when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._models: dict[str, BaseChatModel] = {}
        self._generators: dict[str, Generator] = {}

    def get(self, name: str) -> BaseChatModel:
        """The model behind OPENAI_BASE_URL when that is set, else the catalogue's, in this process."""
        with self._lock:
            if name not in self._models:
                if self._settings.openai_base_url:
                    self._models[name] = server_model(self._settings, name)
                else:
                    self._models[name] = LocalChatModel(generator=self._generator(name))
            return self._models[name]

    def load(self, name: str) -> None:
        """Load the model now, so that the first request does not wait. Raises Unavailable while one behind a URL does
        not answer."""
        self.get(name)
        if self._settings.openai_base_url:
            probe_server(self._settings)
            return
        with self._lock:
            generator = self._generators.get(name)
        load: Callable[[], object] | None = getattr(generator, "load", None)
        if load is not None:
            load()

    def close(self) -> None:
        """Stop the in-process models' threads."""
        with self._lock:
            for generator in self._generators.values():
                close: Callable[[], None] | None = getattr(generator, "close", None)
                if close is not None:
                    close()
            self._models.clear()
            self._generators.clear()

    def _generator(self, name: str) -> Generator:
        from lockgate.models.generator import load_generator

        if name not in self._generators:
            self._generators[name] = load_generator(self._settings, name)
        return self._generators[name]


def assemble_chain(
    settings: Settings,
    db: Database,
    service: IndexService,
    models: ChatModels,
    name: str,
    *,
    snapshot: OpenSnapshot | None = None,
) -> Chain:
    """The chain ``name`` over the service's current snapshot, or over ``snapshot``."""
    definition = load_chain(settings.project_dir, name)
    model = model_name(settings, definition)
    return Chain(
        ChainParts(
            definition=definition,
            retriever=SnapshotRetriever(service, definition.retrieval, snapshot=snapshot),
            embedder=service.embedder.load,
            chat_model=lambda: models.get(model),
            model=model,
            answer_prompt=find_prompt(settings.project_dir, definition.prompts.answer),
            condense_prompt=find_prompt(settings.project_dir, definition.prompts.condense),
            policy=load_policy(settings.project_dir, definition.policy),
            db=db,
            count_tokens=service.embedder.count_tokens,
            auto_mode=lambda: better_mode(db, definition, model),
        )
    )


def model_name(settings: Settings, definition: ChainDefinition) -> str:
    return settings.model or definition.model
