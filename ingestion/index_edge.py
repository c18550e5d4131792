"""The index in a folder: Qdrant Edge, Qdrant's own engine in this process. One process holds it at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ingestion.index import (
    BM25,
    DENSE,
    OPEN,
    Hit,
    HybridQuery,
    IndexPoint,
    batches,
    cosine,
    dense_of,
    from_payload,
    in_order,
    point_id,
    to_payload,
)
from lockgate.atomic import disk_errors
from lockgate.errors import Corrupt, Unavailable
from lockgate.types import Chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 1000
_INDEXED_FIELDS = ("first", "until")


class EdgeIndex:
    """Opens the folder, or creates it. Raises Corrupt when the folder holds something that Edge cannot load."""

    def __init__(self, path: Path, dimension: int) -> None:
        import qdrant_edge as edge

        self._edge = edge
        self._lock = threading.Lock()  # one writer; Edge itself lets readers run beside it
        with disk_errors(path):
            if (path / "edge_config.json").exists():
                self._shard = self._load(path)
            else:
                path.mkdir(parents=True, exist_ok=True)
                self._shard = edge.EdgeShard.create(str(path), self._config(dimension))
                for name in _INDEXED_FIELDS:
                    self._shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Integer))
                self._shard.flush()

    def _config(self, dimension: int) -> Any:
        edge = self._edge
        return edge.EdgeConfig(
            vectors={DENSE: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Dot)},
            sparse_vectors={BM25: edge.EdgeSparseVectorParams()},
        )

    def _load(self, path: Path) -> Any:
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise Unavailable(f"{path}: the index cannot be opened: no permission.", hint="Check the folder's owner.")
        try:
            return self._edge.EdgeShard.load(str(path))
        except Exception as error:
            raise Corrupt(
                f"{path}: the index cannot be opened ({error}).",
                hint="Run: lockgate ingestion sync (it writes the index anew from the kept vectors)",
            ) from error

    def upsert(self, points: Sequence[IndexPoint]) -> None:
        edge = self._edge
        for batch in batches(points, _BATCH):
            self._update(
                edge.UpdateOperation.upsert_points(
                    [
                        edge.Point(
                            id=point_id(point.chunk.id, point.first),
                            vector=self._vectors(point),
                            payload=to_payload(point.chunk, point.first),
                        )
                        for point in batch
                    ]
                )
            )

    def _vectors(self, point: IndexPoint) -> dict[str, Any]:
        vectors: dict[str, Any] = {
            BM25: self._edge.SparseVector(indices=point.sparse.ids.tolist(), values=point.sparse.weights.tolist())
        }
        if point.dense is not None:
            vectors[DENSE] = point.dense.tolist()
        return vectors

    def set_dense(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        edge = self._edge
        for start in range(0, len(ids), _BATCH):
            self._update(
                edge.UpdateOperation.update_vectors(
                    [
                        edge.PointVectors(id=i, vector={DENSE: v.tolist()})
                        for i, v in zip(ids[start : start + _BATCH], vectors[start : start + _BATCH], strict=True)
                    ]
                )
            )

    def close_points(self, ids: Sequence[str], seq: int) -> None:
        for batch in batches(ids, _BATCH):
            self._update(self._edge.UpdateOperation.set_payload(list(batch), {"until": seq}))

    def close_all(self, seq: int) -> None:
        edge = self._edge
        older = edge.Filter(
            must=[
                edge.FieldCondition(key="first", range=edge.RangeFloat(lt=seq)),
                edge.FieldCondition(key="until", range=edge.RangeFloat(gt=seq)),
            ]
        )
        self._update(edge.UpdateOperation.set_payload_by_filter(older, {"until": seq}))

    def undo(self, seq: int) -> None:
        edge = self._edge
        self._update(edge.UpdateOperation.delete_points_by_filter(self._range("first", gte=seq)))
        ended = edge.Filter(
            must=[
                edge.FieldCondition(key="until", range=edge.RangeFloat(gte=seq)),
                edge.FieldCondition(key="until", range=edge.RangeFloat(lt=OPEN)),
            ]
        )
        self._update(edge.UpdateOperation.set_payload_by_filter(ended, {"until": OPEN}))

    def drop_closed(self, seq: int, *, after: int = 0) -> None:
        edge = self._edge
        dead = edge.Filter(
            must=[
                edge.FieldCondition(key="first", range=edge.RangeFloat(gt=after)),
                edge.FieldCondition(key="until", range=edge.RangeFloat(lte=seq)),
            ]
        )
        self._update(edge.UpdateOperation.delete_points_by_filter(dead))

    def term_ids(self, ids: Sequence[str]) -> list[NDArray[np.uint32]]:
        found: dict[str, NDArray[np.uint32]] = {}
        for batch in batches(ids, _BATCH):
            for record in self._shard.retrieve(list(batch), with_payload=False, with_vector=[BM25]):
                vector = (record.vector or {}).get(BM25)
                indices = vector.indices if vector is not None else []
                found[str(record.id)] = np.asarray(indices, dtype=np.uint32)
        return [found[i] for i in ids if i in found]

    def points(self, ids: Sequence[str]) -> list[tuple[Chunk, NDArray[np.float32] | None]]:
        found: dict[str, tuple[Chunk, NDArray[np.float32] | None]] = {}
        for batch in batches(ids, _BATCH):
            for record in self._shard.retrieve(list(batch), with_payload=True, with_vector=[DENSE]):
                found[str(record.id)] = from_payload(record.payload), dense_of(record.vector)
        return [found[i] for i in ids if i in found]

    def missing_dense(self, seq: int) -> list[tuple[str, Chunk]]:
        edge = self._edge
        live = self._live(seq)
        bare = edge.Filter(must=live.must, must_not=[edge.HasVectorCondition(DENSE)])
        return [(str(record.id), from_payload(record.payload)) for record in self._scroll(bare)]

    def search(self, query: HybridQuery) -> list[Hit]:
        edge = self._edge
        live = self._live(query.seq)
        sparse = edge.Prefetch(
            limit=query.candidates,
            filter=live,
            query=edge.Query.Nearest(
                edge.SparseVector(indices=query.sparse.ids.tolist(), values=query.sparse.weights.tolist()), BM25
            ),
        )
        arms = [sparse] if len(query.sparse.ids) else []
        weights = [1.0] if query.dense is None else [1.0 - query.dense_weight]
        if not arms:
            weights = []
        if query.dense is not None:
            arms.append(
                edge.Prefetch(
                    limit=query.candidates, filter=live, query=edge.Query.Nearest(query.dense.tolist(), DENSE)
                )
            )
            weights.append(query.dense_weight)
        if not arms:
            return []
        expression = edge.Expression
        formula = expression.Sum(
            [
                expression.Mult([expression.Constant(weight), expression.Variable(f"$score[{i}]")])
                for i, weight in enumerate(weights)
            ]
        )
        found = self._shard.query(
            edge.QueryRequest(
                limit=query.limit,
                prefetches=arms,
                query=edge.Formula(formula, {f"$score[{i}]": 0.0 for i in range(len(arms))}),
                with_payload=True,
                with_vector=[DENSE] if query.dense is not None else False,
            )
        )
        return in_order(
            Hit(from_payload(point.payload), float(point.score), cosine(query.dense, point.vector)) for point in found
        )

    def neighbours(self, seq: int, chunk_ids: Sequence[str]) -> list[Chunk]:
        edge = self._edge
        wanted = edge.FieldCondition(key="chunk", match=edge.MatchAny(list(chunk_ids)))
        live = self._live(seq)
        by_id = {
            record.payload["chunk"]: from_payload(record.payload)
            for record in self._scroll(edge.Filter(must=[*live.must, wanted]))
        }
        return [by_id[i] for i in chunk_ids if i in by_id]

    def count(self, seq: int) -> int:
        return int(self._shard.count(self._edge.CountRequest(filter=self._live(seq), exact=True)))

    def flush(self) -> None:
        with self._lock:
            self._shard.flush()

    def close(self) -> None:
        with self._lock:
            self._shard.close()

    def _update(self, operation: Any) -> None:
        with self._lock:
            self._shard.update(operation)

    def _range(self, key: str, **bounds: float) -> Any:
        edge = self._edge
        return edge.Filter(must=[edge.FieldCondition(key=key, range=edge.RangeFloat(**bounds))])

    def _live(self, seq: int) -> Any:
        edge = self._edge
        return edge.Filter(
            must=[
                edge.FieldCondition(key="first", range=edge.RangeFloat(lte=seq)),
                edge.FieldCondition(key="until", range=edge.RangeFloat(gt=seq)),
            ]
        )

    def _scroll(self, condition: Any) -> Iterator[Any]:
        offset = None
        while True:
            records, offset = self._shard.scroll(
                self._edge.ScrollRequest(
                    limit=_BATCH, offset=offset, filter=condition, with_payload=True, with_vector=False
                )
            )
            yield from records
            if offset is None:
                return
