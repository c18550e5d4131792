"""The default answer: the two to four passage sentences that best answer, quoted in reading order, each cited."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chains.markers import escape_markers
from chains.sentences import Unit, content_words, units
from lockgate.types import Passage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lockgate.ports import Embedder

CANDIDATES = 48
"""Units that are compared by meaning; words choose them, so that the embedder's work is bounded."""

FEWEST, MOST = 2, 4
_FEWEST_WORDS = 2
_CONTEXT_CHARACTERS = 160
_PIPE = re.compile(r"(?<!\\)\|")
_LONGEST = 600
"""A longer unit (a big code block, say) is no sentence to quote; its neighbours are."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A unit chosen for the answer; ``number`` is its citation's."""

    unit: Unit
    number: int
    score: float


@dataclass(frozen=True, slots=True)
class ExtractiveWeights:
    """How a unit's score is made: meaning, words shared with the question, and the rank of its passage.

    Chosen on the dev half of docs-smoke by token F1 (docs/log.md has the figures of the other half).
    """

    cosine: float = 0.5
    words: float = 0.3
    rank: float = 0.2
    code: float = -0.05  # code shows how, but rarely reads as an answer by itself
    drop: float = 0.95  # a third and fourth unit must reach this share of the best one's score
    repeat: float = 0.92  # units closer than this to a chosen one say the same again


WEIGHTS = ExtractiveWeights()


def choose_quotes(
    question: str, passages: Sequence[Passage], embedder: Embedder | None, *, weights: ExtractiveWeights = WEIGHTS
) -> list[Quote]:
    """The best units in the order of their passages; ``embedder`` is None for a snapshot without vectors.

    Citation numbers count the passages in the order in which the answer first uses them.
    """
    found = [unit for unit in units(list(passages)) if len(unit.text) <= _LONGEST and not _only_leads_in(unit)]
    if not found:
        found = [Unit(0, 0, passages[0].chunk.text[:_LONGEST], "sentence")] if passages else []
    asked = content_words(question)
    by_words = np.array([_overlap(asked, unit, passages) for unit in found], dtype=np.float32)
    by_rank = np.array([1.0 / (1 + unit.passage) for unit in found], dtype=np.float32)
    first = np.argsort(-(by_words + 0.5 * by_rank), kind="stable")[:CANDIDATES]
    found = [found[i] for i in first]
    by_words, by_rank = by_words[first], by_rank[first]
    vectors = _vectors(question, found, embedder)
    cosine = vectors[1:] @ vectors[0] if vectors is not None else np.zeros(len(found), dtype=np.float32)
    is_code = np.array([unit.kind == "code" for unit in found], dtype=np.float32)
    score = weights.cosine * cosine + weights.words * by_words + weights.rank * by_rank + weights.code * is_code
    chosen = _pick(found, score, vectors[1:] if vectors is not None else None, weights)
    chosen.sort(key=lambda i: (found[i].passage, found[i].position))
    numbers: dict[int, int] = {}
    return [Quote(found[i], numbers.setdefault(found[i].passage, len(numbers) + 1), float(score[i])) for i in chosen]


def _only_leads_in(unit: Unit) -> bool:
    """A heading or the sentence before a list: it announces an answer and holds none."""
    return unit.kind == "sentence" and (unit.text.endswith(":") or len(content_words(unit.text)) < _FEWEST_WORDS)


def _overlap(asked: frozenset[str], unit: Unit, passages: Sequence[Passage]) -> float:
    """Share of the question's content words that stand in the unit; its heading and lead-in count half."""
    if not asked:
        return 0.0
    own = content_words(unit.text)
    chunk = passages[unit.passage].chunk
    around = content_words(" ".join((chunk.title, *chunk.heading, unit.context))) - own
    return (len(asked & own) + 0.5 * len(asked & around)) / len(asked)


def _vectors(question: str, found: Sequence[Unit], embedder: Embedder | None) -> NDArray[np.float32] | None:
    if embedder is None or not found:
        return None
    texts = [f"{unit.context[-_CONTEXT_CHARACTERS:]} {unit.text}".strip() for unit in found]
    return embedder.embed([question, *texts])


def _pick(
    found: Sequence[Unit], score: NDArray[np.float32], vectors: NDArray[np.float32] | None, weights: ExtractiveWeights
) -> list[int]:
    order = [int(i) for i in np.argsort(-score, kind="stable")]
    chosen: list[int] = []
    for i in order:
        if len(chosen) == MOST or (len(chosen) >= FEWEST and score[i] < weights.drop * score[order[0]]):
            break
        if not any(_same(found, vectors, i, j, weights.repeat) for j in chosen):
            chosen.append(i)
    return chosen


def _same(found: Sequence[Unit], vectors: NDArray[np.float32] | None, i: int, j: int, repeat: float) -> bool:
    if found[i].text == found[j].text:
        return True
    return vectors is not None and float(vectors[i] @ vectors[j]) >= repeat


def write_quotes(quotes: Sequence[Quote]) -> str:
    """The answer text: running sentences, with list items, table rows and code set apart, each with its marker."""
    parts: list[str] = []
    for quote in quotes:
        marker = f"[{quote.number}]"
        # A bracketed number of the document is no citation.
        text = quote.unit.text if quote.unit.kind == "code" else escape_markers(quote.unit.text)
        if quote.unit.kind == "sentence":
            gap = " " if parts and parts[-1].startswith("\x00") else "\n\n" if parts else ""
            parts.append(f"\x00{gap}{text} {marker}")
        elif quote.unit.kind == "code":
            parts.append(f"\n\n{text}\n\n{marker}" if parts else f"{text}\n\n{marker}")
        elif quote.unit.kind == "row":
            parts.append(("\n" if parts else "") + f"- {_row_in_words(text, quote.unit.context)} {marker}")
        else:
            parts.append(("\n" if parts else "") + f"- {text} {marker}")
    return "".join(part.lstrip("\x00") for part in parts)


def _row_in_words(row: str, header: str) -> str:
    """A table row with the names of its columns, without which "Yes — No" says nothing."""
    cells, names = _cells(row), _cells(header)
    if len(names) != len(cells):
        names = [""] * len(cells)
    named = [f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=True) if cell]
    return " · ".join(named)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in _PIPE.split(row.strip().removeprefix("|").removesuffix("|"))]
