"""A snapshot's manifest: what it holds, as canonical JSON whose hash is the snapshot's id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ingestion import chunking as chunking_module
from ingestion.chunking import Chunking
from lockgate.errors import Corrupt
from lockgate.types import SnapshotKind

SCHEMA = 1

# Quotes inside a string are escaped, so this cannot stand in one.
_PAGES = '"pages":['


@dataclass(frozen=True, slots=True)
class ManifestPage:
    source: str
    path: str
    version: str
    chunk_ids: tuple[str, ...]


def chunking_record(chunking: Chunking, average_length: int) -> dict[str, int]:
    """What decides how text becomes points, in whole numbers only: the id must not hang on float formatting."""
    return {
        "version": chunking_module.VERSION,
        "max_tokens": chunking.max_tokens,
        "min_tokens": chunking.min_tokens,
        "bm25_average_length": average_length,
    }


def build_manifest(
    kind: SnapshotKind, embedder: str, chunking: dict[str, int], pages: Iterable[ManifestPage]
) -> tuple[str, bytes]:
    """(id, bytes). A BM25-only snapshot names no embedder, so it and the hybrid one have different ids."""
    body = {
        "schema": SCHEMA,
        "kind": kind,
        "embedder": embedder if kind == "hybrid" else "",
        "chunking": chunking,
        "pages": sorted([page.source, page.path, page.version, list(page.chunk_ids)] for page in pages),
    }
    data = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    return hashlib.sha256(data).hexdigest(), data


def read_pages(data: bytes) -> Iterator[ManifestPage]:
    """The pages of a stored manifest, by source and path, one at a time: there may be a hundred thousand.

    Raises Corrupt, when it gets there, for what ``build_manifest`` did not write.
    """
    decoder = json.JSONDecoder()
    try:
        text = data.decode("utf-8")
        place = text.index(_PAGES) + len(_PAGES)
        while text[place] != "]":
            page, place = decoder.raw_decode(text, place)
            source, path, version, chunk_ids = page
            yield ManifestPage(str(source), str(path), str(version), tuple(map(str, chunk_ids)))
            if text[place] == ",":
                place += 1
            elif text[place] != "]":
                raise ValueError(f"character {place}")
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        raise Corrupt(
            f"The page list of a snapshot cannot be read ({error}).", hint="Restore it from a backup."
        ) from None
