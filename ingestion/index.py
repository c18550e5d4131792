"""The narrow interface to a vector index. Edge (a folder) and a Qdrant server fill it alike.

One index holds several snapshots. Every point carries the sequence number of the snapshot it came with (``first``) and
of the one it left with (``until``); a snapshot with number s sees the points with first <= s < until. So a sync touches
only the points of changed pages, readers of the current snapshot never see an unfinished one, and undoing a killed sync
is two operations.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from lockgate.types import Chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPEN = 2**53 - 1
"""``until`` of a point that no later snapshot has dropped; the largest integer that survives JSON everywhere."""

T = TypeVar("T")

DENSE = "dense"
BM25 = "bm25"


@dataclass(frozen=True, slots=True)
class SparseVector:
    ids: NDArray[np.uint32]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class IndexPoint:
    """A chunk to store; ``dense`` (unit length) may follow later."""

    chunk: Chunk
    first: int
    sparse: SparseVector
    dense: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class HybridQuery:
    """What to look for in snapshot ``seq``.

    The score is ``dense_weight * cosine + (1 - dense_weight) * bm25``, both in [0, 1]: a convex combination, which
    Bruch et al., "An Analysis of Fusion Functions for Hybrid Retrieval" (2023), found better than rank fusion.
    ``dense`` is None for a BM25-only snapshot.
    """

    seq: int
    sparse: SparseVector
    dense: NDArray[np.float32] | None
    dense_weight: float
    candidates: int
    limit: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A found chunk; ``cosine`` is None where the point has no dense vector or the query had none."""

    chunk: Chunk
    score: float
    cosine: float | None


class Index(Protocol):
    """All calls are safe from several threads."""

    def upsert(self, points: Sequence[IndexPoint]) -> None: ...

    def set_dense(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Add dense vectors, shape (len(ids), dimension), to points that exist."""
        ...

    def close_points(self, ids: Sequence[str], seq: int) -> None:
        """Make these points invisible from snapshot ``seq`` on."""
        ...

    def close_all(self, seq: int) -> None:
        """Make every point that came before snapshot ``seq`` invisible from it on."""
        ...

    def undo(self, seq: int) -> None:
        """Remove whatever was written for snapshots from ``seq`` on, as if they had never begun."""
        ...

    def drop_closed(self, seq: int, *, after: int = 0) -> None:
        """Delete the points that no snapshot from ``seq`` on can see, of those that came later than ``after``."""
        ...

    def term_ids(self, ids: Sequence[str]) -> list[NDArray[np.uint32]]:
        """The BM25 term ids of these points, in the order given."""
        ...

    def points(self, ids: Sequence[str]) -> list[tuple[Chunk, NDArray[np.float32] | None]]:
        """Each of these points' chunk and dense vector, in the order given; those that are not there are left out."""
        ...

    def missing_dense(self, seq: int) -> list[tuple[str, Chunk]]:
        """(point id, chunk) of each point of snapshot ``seq`` that has no dense vector yet."""
        ...

    def search(self, query: HybridQuery) -> list[Hit]: ...

    def neighbours(self, seq: int, chunk_ids: Sequence[str]) -> list[Chunk]:
        """The chunks with these chunk ids in snapshot ``seq``."""
        ...

    def count(self, seq: int) -> int:
        """Exact number of points that snapshot ``seq`` sees."""
        ...

    def flush(self) -> None:
        """Return only when everything written is on disk."""
        ...

    def close(self) -> None: ...


def point_id(chunk_id: str, first: int) -> str:
    """A UUID for a chunk as it came with snapshot ``first``."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{chunk_id}:{first}".encode()).digest()[:16]))


def to_payload(chunk: Chunk, first: int) -> dict[str, Any]:
    return {
        "chunk": chunk.id,
        "first": first,
        "until": OPEN,
        "source": chunk.source,
        "path": chunk.path,
        "title": chunk.title,
        "heading": list(chunk.heading),
        "version": chunk.version,
        "position": chunk.position,
        "anchor": chunk.anchor,
        "page": chunk.page,
        "tokens": chunk.tokens,
        "text": chunk.text,
    }


def from_payload(payload: dict[str, Any]) -> Chunk:
    return Chunk(
        id=payload["chunk"],
        source=payload["source"],
        path=payload["path"],
        title=payload["title"],
        heading=tuple(payload["heading"]),
        version=payload["version"],
        position=int(payload["position"]),
        text=payload["text"],
        tokens=int(payload["tokens"]),
        anchor=payload["anchor"],
        page=payload["page"],
    )


def cosine(question: NDArray[np.float32] | None, vectors: Any) -> float | None:
    """Of a question (unit length) and a point's vectors by name, None where either has no dense one."""
    passage = dense_of(vectors)
    return None if question is None or passage is None else float(question @ passage)


def dense_of(vectors: Any) -> NDArray[np.float32] | None:
    """The dense one of a point's vectors by name."""
    dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
    return None if dense is None else np.asarray(dense, dtype=np.float32)


def in_order(hits: Iterable[Hit]) -> list[Hit]:
    """Best first; equal ones by their id, or the order would be that in which points happened to be written.

    Equal to six digits: the engine adds float32 in an order of its own, which the last digit shows.
    """
    return sorted(hits, key=lambda hit: (-round(hit.score, 6), hit.chunk.id))


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
