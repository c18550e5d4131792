"""A deterministic embedder without torch, and a small project to index."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingestion.service import EmbedderHandle, IndexService
from lockgate.models.catalogue import ModelFiles
from lockgate.settings import Settings
from lockgate.store.database import Database

DIMENSION = 16


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


WORDS = ModelFiles(
    name="words", kind="embedder", dimension=DIMENSION, max_tokens=256, files={"model": sha256(b"words")}
)


class WordEmbedder:
    """Texts with the same words have the same direction; counts how many texts it was given."""

    name = "words"
    digest = "a" * 64
    dimension = DIMENSION
    max_tokens = 256

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, hashlib.md5(word.encode()).digest()[0] % DIMENSION] += 1.0  # noqa: S324
        unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit

    def embed_batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        for start in range(0, len(texts), 8):
            places = list(range(start, min(start + 8, len(texts))))
            self.embedded += [texts[place] for place in places]
            yield places, self.embed([texts[place] for place in places])


def handle(embedder: WordEmbedder) -> EmbedderHandle:
    return EmbedderHandle(
        name=embedder.name,
        files=WORDS,
        digest=embedder.digest,
        dimension=embedder.dimension,
        count_tokens=embedder.count_tokens,
        load=lambda: embedder,
    )


def settings_for(project: Path) -> Settings:
    return Settings(project=project, _env_file=None)


def open_service(project: Path, db: Database, embedder: WordEmbedder) -> IndexService:
    return IndexService(settings_for(project), db, handle(embedder))


def write_pages(folder: Path, pages: dict[str, str]) -> None:
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
