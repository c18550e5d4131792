"""BM25 terms: text to weighted term ids, and the lexicon that counts in how many passages each term stands.

Tokenizing, stop words and stemming are Qdrant's own (`qdrant_edge.Bm25`), so that an index written here matches what
a Qdrant server's BM25 model writes. Weights follow Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25
and Beyond" (2009): the passage side is stored, the inverse document frequency is applied to the question, from the
lexicon of the snapshot that is asked. So one index can hold several snapshots, each with its own exact statistics.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lockgate.errors import Corrupt

if TYPE_CHECKING:
    from numpy.typing import NDArray

K1 = 1.2
B = 0.75


@dataclass(frozen=True, slots=True)
class Terms:
    """Distinct term ids (uint32, sorted) of one text and how often each occurs (float32, same shape)."""

    ids: NDArray[np.uint32]
    counts: NDArray[np.float32]

    @property
    def length(self) -> float:
        """Number of terms, repetitions counted."""
        return float(self.counts.sum())


class TermCounter:
    """Counts terms with Qdrant's English tokenizer, stop words and stemmer."""

    @cached_property
    def _bm25(self) -> Any:
        from qdrant_edge import Bm25, Bm25Config

        # With b = 0 and no length the stored weight is c * (k + 1) / (c + k), which can be solved for the count c.
        return Bm25(Bm25Config(k=K1, b=0.0, avg_len=1.0, language="english"))

    def count(self, text: str) -> Terms:
        vector = self._bm25.embed_document(text)
        ids = np.asarray(vector.indices, dtype=np.uint32)
        weights = np.asarray(vector.values, dtype=np.float64)
        counts = np.rint(weights * K1 / (K1 + 1.0 - weights)).astype(np.float32)
        order = np.argsort(ids)
        return Terms(ids[order], counts[order])


def passage_weights(terms: Terms, average_length: int) -> NDArray[np.float32]:
    """BM25's passage side for each term: c (k1 + 1) / (c + k1 (1 - b + b |d| / avgdl)); at most k1 + 1."""
    norm = K1 * (1 - B + B * terms.length / max(average_length, 1))
    return (terms.counts * (K1 + 1) / (terms.counts + norm)).astype(np.float32)


_MAGIC = b"lockgate-lexicon-1\n"
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How many of a snapshot's ``chunks`` hold each term: sorted ``ids`` (uint32) and ``counts`` (uint32)."""

    chunks: int
    ids: NDArray[np.uint32]
    counts: NDArray[np.uint32]

    @classmethod
    def empty(cls) -> Lexicon:
        return cls(0, np.zeros(0, np.uint32), np.zeros(0, np.uint32))

    def updated(self, added: Iterable[NDArray[np.uint32]], removed: Iterable[NDArray[np.uint32]]) -> Lexicon:
        """The lexicon after passages with these term ids came and went."""
        plus, minus = list(added), list(removed)
        ids = np.concatenate([self.ids, *plus, *minus]) if plus or minus else self.ids
        change = np.concatenate(
            [
                self.counts.astype(np.int64),
                np.ones(sum(len(part) for part in plus), np.int64),
                -np.ones(sum(len(part) for part in minus), np.int64),
            ]
        )
        unique, where = np.unique(ids, return_inverse=True)
        counts = np.zeros(len(unique), np.int64)
        np.add.at(counts, where, change)
        keep = counts > 0
        return Lexicon(
            self.chunks + len(plus) - len(minus), unique[keep].astype(np.uint32), counts[keep].astype(np.uint32)
        )

    def idf(self, ids: NDArray[np.uint32]) -> NDArray[np.float32]:
        """ln(1 + (N - n + 0.5) / (n + 0.5)) for each id; the form that is never negative."""
        n = np.zeros(len(ids), np.float64)
        if len(self.ids):
            places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
            found = self.ids[places] == ids
            n[found] = self.counts[places[found]]
        return np.log1p((self.chunks - n + 0.5) / (n + 0.5)).astype(np.float32)

    def question_weights(self, terms: Terms) -> NDArray[np.float32]:
        """Inverse document frequencies scaled so that no passage can score over 1."""
        idf = self.idf(terms.ids)
        return (idf / max(float(idf.sum()) * (K1 + 1), 1e-9)).astype(np.float32)

    def rare_share(self, terms: Terms, passages: Sequence[Terms]) -> float:
        """The largest share of the question's terms, by squared inverse document frequency, that one passage holds.

        One passage, because words scattered over several answer nothing; squared, because a term that stands in every
        page says nothing and a rare one decides. 0 when the question has no terms.
        """
        weights = self.idf(terms.ids).astype(np.float64) ** 2
        total = float(weights.sum())
        if not total:
            return 0.0
        return max((float(weights[np.isin(terms.ids, passage.ids)].sum()) / total for passage in passages), default=0.0)

    def to_bytes(self) -> bytes:
        """The same lexicon always gives the same bytes: their hash is part of a release's id."""
        numbers = np.array([self.chunks, len(self.ids)], dtype="<i8")
        return b"".join(
            (_MAGIC, numbers.tobytes(), self.ids.astype("<u4").tobytes(), self.counts.astype("<u4").tobytes())
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Lexicon:
        """Raises Corrupt when ``data`` is not a stored lexicon."""
        try:
            if data.startswith(_ZIP):  # as Lockgate 0.1 stored it
                with np.load(io.BytesIO(data), allow_pickle=False) as parts:
                    return cls(int(parts["chunks"]), parts["ids"], parts["counts"])
            return cls._from_numbers(data)
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise Corrupt("The stored lexicon cannot be read.", hint="Run: lockgate ingestion sync") from error

    @classmethod
    def _from_numbers(cls, data: bytes) -> Lexicon:
        body = memoryview(data)[len(_MAGIC) :]
        if not data.startswith(_MAGIC) or len(body) < 16:
            raise ValueError("no lexicon")
        chunks, terms = (int(number) for number in np.frombuffer(body[:16], dtype="<i8"))
        if chunks < 0 or terms < 0 or len(body) != 16 + 8 * terms:
            raise ValueError("cut short")
        ids, counts = np.frombuffer(body[16:], dtype="<u4").astype(np.uint32).reshape(2, terms)
        return cls(chunks, ids, counts)
