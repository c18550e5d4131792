"""What the two searches find for a question, looked up once; every weight and k after that is sums in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingestion.index import HybridQuery, SparseVector
from ingestion.options import RetrievalOptions
from ingestion.service import IndexService, OpenSnapshot
from ingestion.terms import Terms
from lockgate.types import Chunk, Passage, Retrieval, SnapshotKind


@dataclass(slots=True)
class Candidates:
    """The passages that either search found for ``question``.

    ``dense`` and ``sparse`` are their scores in the two searches, 0 where one did not find them, and ``dense_place``
    and ``sparse_place`` their places in them, beyond all where it did not. ``shares`` holds what is known of each
    passage's share of the question's rare terms.
    """

    question: str
    chunks: Sequence[Chunk]
    cosines: Sequence[float | None]
    dense: NDArray[np.float64]
    sparse: NDArray[np.float64]
    dense_place: NDArray[np.int64]
    sparse_place: NDArray[np.int64]
    terms: Terms
    shares: dict[str, float] = field(default_factory=dict)


class CandidateLists:
    """Asks the snapshot for each question once; ``asked`` counts."""

    def __init__(self, service: IndexService, opened: OpenSnapshot) -> None:
        self._service, self._opened = service, opened
        self._found: dict[tuple[str, int], Candidates] = {}
        self.asked = 0

    @property
    def kind(self) -> SnapshotKind:
        return self._opened.record.kind

    def retrieve(self, question: str, options: RetrievalOptions, limit: int) -> Retrieval:
        """What ``ingestion.retriever.SnapshotRetriever`` with these options finds."""
        depth = max(options.candidates, limit)
        found = self._candidates(question, depth)
        chosen = _fused(found, options.dense_weight if self.kind == "hybrid" else None, depth)[:limit]
        cosines = [cosine for index, _ in chosen if (cosine := found.cosines[index]) is not None]
        shares = [self._share(found, found.chunks[index]) for index, _ in chosen[: options.evidence]]
        return Retrieval(
            question=question,
            passages=tuple(Passage(found.chunks[index], score, found.cosines[index]) for index, score in chosen),
            snapshot=self._opened.record.id,
            kind=self.kind,
            cosine=max(cosines) if cosines else None,
            rare_share=max(shares, default=0.0),
            indexing=None,
        )

    def _candidates(self, question: str, depth: int) -> Candidates:
        depth = max(depth, 50)
        if (question, depth) not in self._found:
            self.asked += 1
            self._found[question, depth] = self._search(question, depth)
        return self._found[question, depth]

    def _search(self, question: str, depth: int) -> Candidates:
        opened = self._opened
        terms = self._service.terms.count(question)
        sparse = SparseVector(terms.ids, opened.lexicon.question_weights(terms))
        nothing = SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))
        dense = opened.embedder.load().embed([question])[0] if self.kind == "hybrid" else None
        # Weight 0 for the vectors: every passage of both searches, with its score in the search by words.
        query = HybridQuery(opened.record.seq, sparse, dense, 0.0, depth, 2 * depth)
        both = opened.index.search(query)
        alone = [] if dense is None else opened.index.search(HybridQuery(query.seq, nothing, dense, 1.0, depth, depth))
        found = {hit.chunk.id: hit for hit in (*alone, *both)}
        by_words = {hit.chunk.id: hit.score for hit in both if hit.score > 0}
        by_meaning = {hit.chunk.id: hit.score for hit in alone}
        ids = list(found)
        return Candidates(
            question=question,
            chunks=[found[each].chunk for each in ids],
            cosines=[found[each].cosine for each in ids],
            dense=_scores(ids, by_meaning),
            sparse=_scores(ids, by_words),
            dense_place=_places(ids, by_meaning),
            sparse_place=_places(ids, by_words),
            terms=terms,
        )

    def _share(self, found: Candidates, chunk: Chunk) -> float:
        if chunk.id not in found.shares:
            passage = self._service.terms.count(chunk.embed_text)
            found.shares[chunk.id] = self._opened.lexicon.rare_share(found.terms, [passage])
        return found.shares[chunk.id]


class MemoryRetriever:
    """A retriever over the lists, with the options of one setting."""

    def __init__(self, lists: CandidateLists, options: RetrievalOptions) -> None:
        self._lists, self._options = lists, options

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        return self._lists.retrieve(question, self._options, limit)


def _scores(ids: Sequence[str], scores: dict[str, float]) -> NDArray[np.float64]:
    return np.array([scores.get(each, 0.0) for each in ids], dtype=np.float64)


def _places(ids: Sequence[str], scores: dict[str, float]) -> NDArray[np.int64]:
    places = {each: place for place, each in enumerate(scores)}  # the hits came best first
    return np.array([places.get(each, 2**31) for each in ids], dtype=np.int64)


def _fused(found: Candidates, dense_weight: float | None, depth: int) -> list[tuple[int, float]]:
    """(index, score), best first, in the order of ``ingestion.index.in_order``."""
    sparse = np.where(found.sparse_place < depth, found.sparse, 0.0)
    inside = found.sparse_place < depth
    if dense_weight is None:
        scores = sparse
    else:
        inside = inside | (found.dense_place < depth)
        scores = dense_weight * np.where(found.dense_place < depth, found.dense, 0.0) + (1 - dense_weight) * sparse
    order = sorted(np.flatnonzero(inside).tolist(), key=lambda each: (-round(float(scores[each]), 6), _id(found, each)))
    return [(each, float(scores[each])) for each in order]


def _id(found: Candidates, index: int) -> str:
    return found.chunks[index].id
