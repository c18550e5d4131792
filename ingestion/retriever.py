"""Asking a snapshot: one hybrid query, and the two measures that decide whether the passages are relevant at all."""

from __future__ import annotations

from collections.abc import Callable

from ingestion.index import Hit, HybridQuery, SparseVector
from ingestion.options import RetrievalOptions
from ingestion.service import IndexService, OpenSnapshot
from lockgate.types import Passage, Retrieval


class SnapshotRetriever:
    """Finds passages in the snapshot that ``opened`` gives: asked anew each time, because a sync that starts over, or
    drops old snapshots, opens them anew."""

    def __init__(self, service: IndexService, options: RetrievalOptions, opened: Callable[[], OpenSnapshot]) -> None:
        self._service = service
        self._options = options
        self._opened = opened

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        """At most ``limit`` passages, best first. Raises NotFound, saying what to run, when there is no snapshot."""
        service, options = self._service, self._options
        opened = self._opened()
        terms = service.terms.count(question)
        hybrid = opened.record.kind == "hybrid"
        dense = opened.embedder.load().embed([question])[0] if hybrid else None
        hits = opened.index.search(
            HybridQuery(
                seq=opened.record.seq,
                sparse=SparseVector(terms.ids, opened.lexicon.question_weights(terms)),
                dense=dense,
                dense_weight=options.dense_weight,
                candidates=max(options.candidates, limit),
                limit=limit,
            )
        )
        cosines = [hit.cosine for hit in hits if hit.cosine is not None]
        evidence = [service.terms.count(hit.chunk.embed_text) for hit in hits[: options.evidence]]
        return Retrieval(
            question=question,
            passages=tuple(_passage(hit) for hit in hits),
            snapshot=opened.record.id,
            kind=opened.record.kind,
            cosine=max(cosines) if cosines else None,
            rare_share=opened.lexicon.rare_share(terms, evidence),
            indexing=service.indexing,
        )


def _passage(hit: Hit) -> Passage:
    return Passage(hit.chunk, hit.score, hit.cosine)
