"""What grounding says of an answer: a result for each sentence that claims something, and one for the whole.

Plain values: guardrails makes them, answers and traces carry them, the console and evals read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Status = Literal["supported", "contradicted", "not_found"]


@dataclass(frozen=True, slots=True)
class Span:
    """The part ``start``..``end`` of the answer that lacks support, and why in a few words."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Support:
    """The part ``start``..``end`` of passage number ``passage`` (0-based) that is nearest to a sentence."""

    passage: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SentenceResult:
    """The sentence at ``start``..``end`` of the answer.

    ``score`` in [0, 1] is how likely no passage holds it. ``read`` says whether the encoder read it; words and exact
    checks settle the others. ``best`` is its best evidence, None without any.
    """

    start: int
    end: int
    status: Status
    score: float
    spans: tuple[Span, ...]
    best: Support | None
    read: bool


@dataclass(frozen=True, slots=True)
class GroundingReport:
    """``score`` in [0, 1] is how likely a sentence of the answer lacks support; ``flagged`` is score >= threshold.

    A flagged answer is one for review; an answer that is not flagged is not verified. ``unclaimed`` are the places of
    sentences that claim nothing of the subject (lead-ins, offers, "the passages do not say"). In a very long answer
    ``left_out`` sentences are judged by their words, though the encoder should have read them, and ``unjudged`` ones
    not at all: they flag the answer.
    """

    score: float
    flagged: bool
    threshold: float
    sentences: tuple[SentenceResult, ...]
    unclaimed: tuple[tuple[int, int], ...]
    left_out: int
    unjudged: int
    detector: str

    @property
    def unsupported(self) -> tuple[SentenceResult, ...]:
        return tuple(result for result in self.sentences if result.status != "supported")

    @property
    def settled_share(self) -> float:
        """The share of sentences that the encoder did not have to read; 1.0 where there is no sentence."""
        return sum(not result.read for result in self.sentences) / len(self.sentences) if self.sentences else 1.0

    def moved(self, place: Callable[[int], int]) -> GroundingReport:
        """The same of an answer in which what stood at n stands at ``place(n)``."""

        def sentence(each: SentenceResult) -> SentenceResult:
            spans = tuple(Span(place(span.start), place(span.end), span.reason) for span in each.spans)
            return replace(each, start=place(each.start), end=place(each.end), spans=spans)

        return replace(
            self,
            sentences=tuple(map(sentence, self.sentences)),
            unclaimed=tuple((place(start), place(end)) for start, end in self.unclaimed),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a trace or an API."""
        return asdict(self)
