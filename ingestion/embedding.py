"""The settings' embedder as the index needs it: digest and tokenizer at once, weights when they are asked for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ingestion.service import EmbedderHandle
from lockgate.models.catalogue import ModelFiles, load_catalogue
from lockgate.models.embedder import embedder_digest, load_embedder
from lockgate.models.fetch import local_path, read_manifest
from lockgate.models.tokens import open_token_counter
from lockgate.settings import Settings

if TYPE_CHECKING:
    from lockgate.ports import Embedder


def open_embedder(settings: Settings) -> EmbedderHandle:
    """The embedder that syncs use. Raises NotFound naming the command that fetches the model when it is not there."""
    return open_pinned_embedder(settings, load_catalogue(settings.project_dir).get(settings.embedder, kind="embedder"))


def open_pinned_embedder(settings: Settings, files: ModelFiles) -> EmbedderHandle:
    """The embedder ``files``, whatever the project's catalogue says by now."""
    folder = local_path(files, settings.models_path)
    counter = open_token_counter(folder, max_tokens=files.max_tokens)
    lock = threading.Lock()
    loaded: list[Embedder] = []

    def load() -> Embedder:
        with lock:
            if not loaded:
                loaded.append(load_embedder(settings, files))
            return loaded[0]

    return EmbedderHandle(
        name=files.name,
        files=files.identity,
        digest=embedder_digest(folder, read_manifest(folder).files, files.max_tokens or 0),
        dimension=files.dimension or 0,
        count_tokens=counter.count_tokens,
        load=load,
    )
