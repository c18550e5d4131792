"""From a manifest to a chain that can be asked. What is not pinned is not used: no file of the project is read here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from chains.chain import Chain, ChainParts
from chains.chat_model import LocalChatModel, probe_server, server_model
from chains.definition import ChainDefinition
from guardrails.policy import Policy, policy_from_text
from guardrails.tools import tools_with
from ingestion.embedding import open_pinned_embedder
from ingestion.retriever import SnapshotRetriever
from ingestion.service import EmbedderHandle, IndexService, OpenSnapshot
from lockgate.errors import Corrupt, Unavailable
from lockgate.models.catalogue import ModelFiles
from lockgate.ports import Generator
from lockgate.release import Manifest, PinnedModel, PromptRole
from lockgate.settings import Settings
from lockgate.store.database import Database
from prompts.prompt import Prompt, prompt_from_files

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from lockgate.ports import Retriever


class SharedModels:
    """The models that releases share: each is made once, by what it is, and loaded when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._chat: dict[str, BaseChatModel] = {}
        self._generators: dict[str, Generator] = {}
        self._embedders: dict[str, EmbedderHandle] = {}

    def chat(self, pinned: PinnedModel) -> BaseChatModel:
        """The pinned model. Raises Unavailable when it is behind a server and none is set, NotFound when its files are
        not on this machine."""
        key = f"{pinned.provider}:{pinned.name}:{pinned.digest}"
        with self._lock:
            if key not in self._chat:
                if pinned.files is None:
                    self._require_server(pinned)
                    self._chat[key] = server_model(self._settings, pinned.name)
                else:
                    self._chat[key] = LocalChatModel(generator=self._generator(key, pinned.files))
            return self._chat[key]

    def load(self, pinned: PinnedModel) -> None:
        """Load the model now, so that the first request does not wait. Raises Unavailable while one behind a URL does
        not answer."""
        self.chat(pinned)
        if pinned.files is None:
            probe_server(self._settings)
            return
        with self._lock:
            generator = self._generators.get(f"{pinned.provider}:{pinned.name}:{pinned.digest}")
        load: Callable[[], object] | None = getattr(generator, "load", None)
        if load is not None:
            load()

    def embedder(self, manifest: Manifest, service: IndexService) -> EmbedderHandle:
        """The service's own when it is the pinned one, so that both share one copy; else the pinned files."""
        pinned = manifest.embedder
        if pinned.digest == service.embedder.digest:
            return service.embedder
        with self._lock:
            if pinned.digest not in self._embedders:
                opened = open_pinned_embedder(self._settings, pinned.files)
                if opened.digest != pinned.digest:
                    raise Corrupt(
                        f"The embedding model {pinned.name} on this machine is not the one that the release pins.",
                        hint="Run: lockgate models verify",
                    )
                self._embedders[pinned.digest] = opened
            return self._embedders[pinned.digest]

    def close(self) -> None:
        """Stop the in-process models' threads."""
        with self._lock:
            for generator in self._generators.values():
                close: Callable[[], None] | None = getattr(generator, "close", None)
                if close is not None:
                    close()
            self._chat.clear()
            self._generators.clear()
            self._embedders.clear()

    def _require_server(self, pinned: PinnedModel) -> None:
        if not self._settings.openai_base_url:
            raise Unavailable(
                f"The release's model {pinned.name} is behind a server, and OPENAI_BASE_URL is not set.",
                hint="Set it to the address of the server, such as http://localhost:8001/v1",
            )

    def _generator(self, key: str, files: ModelFiles) -> Generator:
        from lockgate.models.generator import load_generator

        if key not in self._generators:
            self._generators[key] = load_generator(self._settings, files)
        return self._generators[key]


def assemble_chain(manifest: Manifest, db: Database, service: IndexService, models: SharedModels) -> Chain:
    """The chain that ``manifest`` pins. Raises NotFound when its snapshot or a model is not here, Corrupt when a pinned
    text is not what its hash says, Unavailable when it pins an adapter: without it, it would be another release."""
    if problem := adapter_problem(manifest):
        raise Unavailable(f"Release {manifest.id[:12]} cannot answer: {problem}")
    embedder = models.embedder(manifest, service)
    opened = snapshot_of(manifest, service, embedder)
    opened()
    definition = definition_of(manifest)
    retriever = SnapshotRetriever(service, definition.retrieval, opened)
    return Chain(pinned_parts(manifest, db, retriever, embedder, lambda: models.chat(manifest.model)))


def pinned_parts(
    manifest: Manifest,
    db: Database,
    retriever: Retriever,
    embedder: EmbedderHandle,
    chat_model: Callable[[], BaseChatModel],
) -> ChainParts:
    """What ``manifest`` pins, with the parts that a manifest only names given."""
    return ChainParts(
        definition=definition_of(manifest),
        release=manifest.id,
        mode=manifest.route.mode,
        retriever=retriever,
        embedder=embedder.load,
        chat_model=chat_model,
        model=manifest.model.name,
        answer_prompt=checked_prompt(manifest, "answer"),
        condense_prompt=checked_prompt(manifest, "condense"),
        policy=policy_of(manifest),
        db=db,
        count_tokens=embedder.count_tokens,
        guard_tools=tools_with(embedder.load),
    )


def snapshot_of(manifest: Manifest, service: IndexService, embedder: EmbedderHandle) -> Callable[[], OpenSnapshot]:
    return lambda: service.open_snapshot(manifest.snapshot.id, embedder)


def adapter_problem(manifest: Manifest) -> str:
    """Why the pinned adapter cannot be used, as a sentence; "" when none is pinned."""
    adapter, model = manifest.adapter, manifest.model
    if adapter is None:
        return ""
    if adapter.base not in (model.digest, model.name):
        base = f"was trained on another base, {adapter.base[:80]}, than the model that the release pins, {model.name}"
        return f"adapter {adapter.digest[:12]} {base}."
    return f"adapter {adapter.digest[:12]} cannot be loaded by this version."


def definition_of(manifest: Manifest) -> ChainDefinition:
    """Raises Corrupt for a definition that this version does not understand."""
    try:
        return ChainDefinition.model_validate(manifest.chain)
    except ValidationError as error:
        item = error.errors()[0]
        key = ".".join(str(part) for part in item["loc"])
        raise Corrupt(
            f"Release {manifest.id[:12]}: its chain is not one that this version understands: key {key!r}: "
            f"{item['msg']}.",
            hint=f"It was built by Lockgate {manifest.lockgate}.",
        ) from None


def prompt_of(manifest: Manifest, role: PromptRole) -> Prompt:
    pinned = manifest.prompts.get(role)
    if pinned is None:
        raise Corrupt(f"Release {manifest.id[:12]} pins no prompt for the role {role!r}.")
    return prompt_from_files(pinned.name, pinned.files, where=f"release {manifest.id[:12]}")


def checked_prompt(manifest: Manifest, role: PromptRole) -> Prompt:
    """The pinned prompt. Raises Corrupt when this version reads another hash out of the pinned texts."""
    prompt = prompt_of(manifest, role)
    if prompt.hash != manifest.prompts[role].hash:
        raise Corrupt(f"Release {manifest.id[:12]}: the text of prompt {prompt.name} does not have the pinned hash.")
    return prompt


def policy_of(manifest: Manifest) -> Policy:
    pinned = manifest.policy
    return policy_from_text(pinned.name, pinned.text, where=f"release {manifest.id[:12]}, policy {pinned.name}")
