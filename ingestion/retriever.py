"""Asking a snapshot: one hybrid query, and the two measures that decide whether the passages are relevant at all."""

from __future__ import annotations

from pydantic import Field

from ingestion.index import Hit, HybridQuery, SparseVector
from ingestion.service import IndexService, OpenSnapshot
from lockgate.content import ContentModel
from lockgate.types import Passage, Retrieval


class RetrievalOptions(ContentModel):
    """``dense_weight`` is the cosine's share of the fused score; ``candidates`` is how deep each arm looks."""

    dense_weight: float = Field(default=0.3, ge=0.0, le=1.0)
    candidates: int = Field(default=200, ge=1, le=10_000)
    evidence: int = Field(default=5, ge=1, le=100, description="Passages in which the question's rare terms may stand.")


class SnapshotRetriever:
    """Finds passages in the service's current snapshot, or in ``snapshot`` when one is given."""

    def __init__(
        self, service: IndexService, options: RetrievalOptions, *, snapshot: OpenSnapshot | None = None
    ) -> None:
        self._service = service
        self._options = options
        self._snapshot = snapshot

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        """At most ``limit`` passages, best first. Raises NotFound, saying what to run, while nothing is indexed."""
        service, options = self._service, self._options
        opened = self._snapshot or service.current()
        terms = service.terms.count(question)
        hybrid = opened.record.kind == "hybrid"
        dense = service.embedder.load().embed([question])[0] if hybrid else None
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
