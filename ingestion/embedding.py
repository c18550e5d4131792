"""The settings' embedder as the index needs it: digest and tokenizer at once, weights when they are asked for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ingestion.service import EmbedderHandle
from lockgate.models.catalogue import load_catalogue
from lockgate.models.embedder import embedder_digest, load_embedder
from lockgate.models.fetch import local_path, read_manifest
from lockgate.models.tokens import load_token_counter
from lockgate.settings import Settings

if TYPE_CHECKING:
    from lockgate.ports import Embedder


def open_embedder(settings: Settings) -> EmbedderHandle:
    """Raises NotFound naming the command that fetches the model when it is not there."""
    entry = load_catalogue(settings.project_dir).get(settings.embedder, kind="embedder")
    folder = local_path(entry, settings.models_path)
    counter = load_token_counter(settings, settings.embedder)
    lock = threading.Lock()
    loaded: list[Embedder] = []

    def load() -> Embedder:
        with lock:
            if not loaded:
                loaded.append(load_embedder(settings, settings.embedder))
            return loaded[0]

    return EmbedderHandle(
        digest=embedder_digest(folder, read_manifest(folder).files, entry.max_tokens or 0),
        dimension=entry.dimension or 0,
        count_tokens=counter.count_tokens,
        load=load,
    )
