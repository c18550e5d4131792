"""Small protocols through which a lower folder reaches what a higher or sibling folder provides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lockgate.types import AnswerEvent, AskRequest, Message, PairScore, Retrieval

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); total is 0 while unknown."""


class Embedder(Protocol):
    """Turns text into unit vectors."""

    name: str
    digest: str  # of weights, tokenizer and pooling; two embedders with one digest give the same vectors
    dimension: int
    max_tokens: int

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by the embedder's own tokenizer, special tokens excluded."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, float32, shape (len(texts), dimension), in the order given."""
        ...

    def embed_batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """The same, batch by batch as they are done: (indices into texts, vectors)."""
        ...


class Generator(Protocol):
    """A chat model that streams text."""

    name: str
    digest: str
    context_window: int

    def count_tokens(self, text: str) -> int: ...

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> AsyncIterator[str]:
        """Pieces of text. Closing the iterator stops the work. Raises Unavailable when the queue is full."""
        ...


class PairScorer(Protocol):
    """Reads a claim beside a piece of evidence: does the evidence hold it?"""

    digest: str  # of the weights and the tokenizer

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[PairScore]:
        """One score a pair (claim, evidence), in order. Raises Unavailable when it has no number to give."""
        ...


class Retriever(Protocol):
    """Finds passages in the current snapshot."""

    def retrieve(self, question: str, *, limit: int) -> Retrieval: ...


class Asker(Protocol):
    """A chain that can be asked: in this process, or in the server that owns the index."""

    def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]: ...
