"""The index on a Qdrant server (``QDRANT_URL``), through qdrant-client; the same points and queries as the folder's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from lockgate.errors import Unavailable
from lockgate.types import Chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient

_BATCH = 256


def connect(url: str, api_key: str) -> QdrantClient:
    """A client for the server at ``url``. Raises Unavailable when it does not answer."""
    from qdrant_client import QdrantClient

    client = QdrantClient(url=url, api_key=api_key or None, timeout=30, check_compatibility=False)
    try:
        client.get_collections()
    except Exception as error:
        raise Unavailable(
            f"QDRANT_URL: the Qdrant server at {url} does not answer ({type(error).__name__}).",
            hint="Start it, or unset QDRANT_URL to use the index in the state folder.",
        ) from error
    return client


class ServerIndex:
    """Uses the collection, or creates it with the fields that snapshots filter by."""

    def __init__(self, client: QdrantClient, collection: str, dimension: int) -> None:
        from qdrant_client import models

        self._client = client
        self._models = models
        self._collection = collection
        if not client.collection_exists(collection):
            client.create_collection(
                collection,
                vectors_config={DENSE: models.VectorParams(size=dimension, distance=models.Distance.DOT)},
                sparse_vectors_config={BM25: models.SparseVectorParams()},
            )
            for name, schema in (("first", "integer"), ("until", "integer"), ("chunk", "keyword")):
                client.create_payload_index(collection, name, field_schema=models.PayloadSchemaType(schema))

    def upsert(self, points: Sequence[IndexPoint]) -> None:
        models = self._models
        for batch in batches(points, _BATCH):
            self._client.upsert(
                self._collection,
                points=[
                    models.PointStruct(
                        id=point_id(point.chunk.id, point.first),
                        vector=self._vectors(point),
                        payload=to_payload(point.chunk, point.first),
                    )
                    for point in batch
                ],
                wait=True,
            )

    def _vectors(self, point: IndexPoint) -> dict[str, Any]:
        vectors: dict[str, Any] = {
            BM25: self._models.SparseVector(indices=point.sparse.ids.tolist(), values=point.sparse.weights.tolist())
        }
        if point.dense is not None:
            vectors[DENSE] = point.dense.tolist()
        return vectors

    def set_dense(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        models = self._models
        for start in range(0, len(ids), _BATCH):
            pairs = zip(ids[start : start + _BATCH], vectors[start : start + _BATCH], strict=True)
            self._client.update_vectors(
                self._collection,
                points=[models.PointVectors(id=i, vector={DENSE: v.tolist()}) for i, v in pairs],
                wait=True,
            )

    def close_points(self, ids: Sequence[str], seq: int) -> None:
        for batch in batches(ids, _BATCH):
            self._client.set_payload(self._collection, payload={"until": seq}, points=list(batch), wait=True)

    def close_all(self, seq: int) -> None:
        models = self._models
        older = models.Filter(
            must=[
                models.FieldCondition(key="first", range=models.Range(lt=seq)),
                models.FieldCondition(key="until", range=models.Range(gt=seq)),
            ]
        )
        self._client.set_payload(
            self._collection, payload={"until": seq}, points=models.FilterSelector(filter=older), wait=True
        )

    def undo(self, seq: int) -> None:
        models = self._models
        born = models.Filter(must=[models.FieldCondition(key="first", range=models.Range(gte=seq))])
        self._client.delete(self._collection, points_selector=models.FilterSelector(filter=born), wait=True)
        ended = models.Filter(must=[models.FieldCondition(key="until", range=models.Range(gte=seq, lt=OPEN))])
        self._client.set_payload(
            self._collection, payload={"until": OPEN}, points=models.FilterSelector(filter=ended), wait=True
        )

    def drop_closed(self, seq: int, *, after: int = 0) -> None:
        models = self._models
        dead = models.Filter(
            must=[
                models.FieldCondition(key="first", range=models.Range(gt=after)),
                models.FieldCondition(key="until", range=models.Range(lte=seq)),
            ]
        )
        self._client.delete(self._collection, points_selector=models.FilterSelector(filter=dead), wait=True)

    def term_ids(self, ids: Sequence[str]) -> list[NDArray[np.uint32]]:
        found: dict[str, NDArray[np.uint32]] = {}
        for batch in batches(ids, _BATCH):
            for record in self._client.retrieve(
                self._collection, ids=list(batch), with_payload=False, with_vectors=[BM25]
            ):
                vector: Any = record.vector.get(BM25) if isinstance(record.vector, dict) else None
                indices = vector.indices if vector is not None else []
                found[str(record.id)] = np.asarray(indices, dtype=np.uint32)
        return [found[i] for i in ids if i in found]

    def points(self, ids: Sequence[str]) -> list[tuple[Chunk, NDArray[np.float32] | None]]:
        found: dict[str, tuple[Chunk, NDArray[np.float32] | None]] = {}
        for batch in batches(ids, _BATCH):
            for record in self._client.retrieve(
                self._collection, ids=list(batch), with_payload=True, with_vectors=[DENSE]
            ):
                found[str(record.id)] = from_payload(record.payload or {}), dense_of(record.vector)
        return [found[i] for i in ids if i in found]

    def missing_dense(self, seq: int) -> list[tuple[str, Chunk]]:
        models = self._models
        bare = self._live(seq)
        bare.must_not = [models.HasVectorCondition(has_vector=DENSE)]
        return [(str(record.id), from_payload(record.payload)) for record in self._scroll(bare)]

    def search(self, query: HybridQuery) -> list[Hit]:
        models = self._models
        live = self._live(query.seq)
        arms: list[Any] = []
        weights: list[float] = []
        if len(query.sparse.ids):
            sparse = models.SparseVector(indices=query.sparse.ids.tolist(), values=query.sparse.weights.tolist())
            arms.append(models.Prefetch(query=sparse, using=BM25, filter=live, limit=query.candidates))
            weights.append(1.0 if query.dense is None else 1.0 - query.dense_weight)
        if query.dense is not None:
            arms.append(models.Prefetch(query=query.dense.tolist(), using=DENSE, filter=live, limit=query.candidates))
            weights.append(query.dense_weight)
        if not arms:
            return []
        total = models.SumExpression(
            sum=[models.MultExpression(mult=[weight, f"$score[{i}]"]) for i, weight in enumerate(weights)]
        )
        found = self._client.query_points(
            self._collection,
            prefetch=arms,
            query=models.FormulaQuery(formula=total, defaults={f"$score[{i}]": 0.0 for i in range(len(arms))}),
            limit=query.limit,
            with_payload=True,
            with_vectors=[DENSE] if query.dense is not None else False,
        ).points
        return in_order(
            Hit(from_payload(point.payload or {}), float(point.score), cosine(query.dense, point.vector))
            for point in found
        )

    def neighbours(self, seq: int, chunk_ids: Sequence[str]) -> list[Chunk]:
        models = self._models
        wanted = self._live(seq)
        wanted.must = [
            *(wanted.must if isinstance(wanted.must, list) else []),
            models.FieldCondition(key="chunk", match=models.MatchAny(any=list(chunk_ids))),
        ]
        by_id = {record.payload["chunk"]: from_payload(record.payload) for record in self._scroll(wanted)}
        return [by_id[i] for i in chunk_ids if i in by_id]

    def count(self, seq: int) -> int:
        return self._client.count(self._collection, count_filter=self._live(seq), exact=True).count

    def flush(self) -> None:
        """Every write above waits for the server, which keeps its own write-ahead log."""

    def close(self) -> None:
        self._client.close()

    def _live(self, seq: int) -> Any:
        models = self._models
        return models.Filter(
            must=[
                models.FieldCondition(key="first", range=models.Range(lte=seq)),
                models.FieldCondition(key="until", range=models.Range(gt=seq)),
            ]
        )

    def _scroll(self, condition: Any) -> Iterator[Any]:
        offset: Any = None
        while True:
            records, offset = self._client.scroll(
                self._collection,
                scroll_filter=condition,
                limit=_BATCH,
                offset=offset,
                with_payload=True,
                with_vectors=False,
            )
            yield from records
            if offset is None:
                return
