"""The passages of a snapshot, and which of them hold which words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lockgate.types import Chunk

Terms = frozenset[int]
"""Stems of the words that carry meaning, as the index counts them."""

CountTerms = Callable[[str], Terms]


@dataclass(frozen=True, slots=True)
class Page:
    """One page with its passages in reading order."""

    path: str
    version: str
    chunks: tuple[Chunk, ...]

    @property
    def title(self) -> str:
        return self.chunks[0].title


@dataclass(frozen=True)
class Corpus:
    """A snapshot, read once. ``pages`` are by path; ``holding`` has, for each term, the numbers of the passages with
    it."""

    snapshot: str
    pages: Mapping[str, Page]
    chunks: Sequence[Chunk] = field(repr=False)
    holding: Mapping[int, frozenset[int]] = field(repr=False)
    terms_of: CountTerms = field(repr=False)

    def passages_with(self, terms: Collection[int]) -> frozenset[int]:
        """The numbers of the passages that hold all of ``terms``; without terms, none."""
        sets = sorted((self.holding.get(term, frozenset()) for term in terms), key=len)
        found = sets[0] if sets else frozenset()
        for each in sets[1:]:
            found &= each
        return found

    def pages_with(self, terms: Collection[int]) -> frozenset[str]:
        """The pages of which one passage holds all of ``terms``."""
        return frozenset(self.chunks[number].path for number in self.passages_with(terms))


def build_corpus(snapshot: str, chunks: Iterable[Chunk], terms_of: CountTerms) -> Corpus:
    """Index passages, given by page and position. A path that two sources have names no page, so it is left out of
    ``pages``, but not of what is looked through."""
    kept = list(chunks)
    by_page: dict[str, list[Chunk]] = {}
    sources: dict[str, set[str]] = defaultdict(set)
    holding: dict[int, set[int]] = defaultdict(set)
    for number, chunk in enumerate(kept):
        by_page.setdefault(chunk.path, []).append(chunk)
        sources[chunk.path].add(chunk.source)
        for term in terms_of(chunk.embed_text):
            holding[term].add(number)
    pages = {
        path: Page(path, members[0].version, tuple(members))
        for path, members in by_page.items()
        if len(sources[path]) == 1
    }
    frozen = {term: frozenset(numbers) for term, numbers in holding.items()}
    return Corpus(snapshot, pages, kept, frozen, terms_of)


def index_terms() -> CountTerms:
    """Counts terms as the index does."""
    from ingestion.terms import TermCounter

    counter = TermCounter()
    return lambda text: frozenset(counter.count(text).ids.tolist())
