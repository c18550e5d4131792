"""The parts of an answer: citations, the passages a prompt may hold, the URLs that passages vouch for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from chains.extractive import Quote
from lockgate.types import Citation, Passage, Usage

CountTokens = Callable[[Sequence[str]], list[int]]

_URL = re.compile(r"https?://[^\s<>\"'`)\]]+")
_NOT_FOUND = re.compile(r"^\W*not in the documents\b", re.IGNORECASE)


def citation(number: int, passage: Passage) -> Citation:
    chunk = passage.chunk
    return Citation(
        number=number,
        chunk_id=chunk.id,
        source=chunk.source,
        path=chunk.path,
        title=chunk.title,
        heading=chunk.heading,
        version=chunk.version,
        text=chunk.text,
        anchor=chunk.anchor,
        page=chunk.page,
    )


def citations_of_quotes(quotes: Sequence[Quote], passages: Sequence[Passage]) -> tuple[Citation, ...]:
    numbered = {quote.number: passages[quote.unit.passage] for quote in quotes}
    return tuple(citation(number, passage) for number, passage in sorted(numbered.items()))


def citations_of_passages(cited: Mapping[int, int], passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """``cited`` maps the place of a passage to its number."""
    return tuple(citation(number, passages[place]) for place, number in sorted(cited.items(), key=lambda item: item[1]))


def within_budget(passages: Sequence[Passage], budget: int, count_tokens: CountTokens) -> tuple[Passage, ...]:
    """Whole passages, best first, of at most ``budget`` tokens together; the first always."""
    kept: list[Passage] = []
    used = 0
    for passage, size in zip(passages, count_tokens([p.chunk.embed_text for p in passages]), strict=True):
        if kept and used + size > budget:
            continue
        kept.append(passage)
        used += size
    return tuple(kept)


def prompt_passages(passages: Sequence[Passage]) -> list[dict[str, object]]:
    return [
        {
            "number": number,
            "title": passage.chunk.title,
            "heading": " > ".join(passage.chunk.heading),
            "text": passage.chunk.text,
        }
        for number, passage in enumerate(passages, start=1)
    ]


def urls(passages: Iterable[Passage]) -> set[str]:
    """The URLs that stand literally in the passages: an answer may link to those."""
    return {match.rstrip(".,;:!?") for passage in passages for match in _URL.findall(passage.chunk.text)}


def pieces(text: str) -> Iterator[str]:
    """A finished text in lines and sentences, so that it appears in reading steps."""
    yield from (match for match in re.findall(r".*?(?:\]\s*|\n|$)", text, re.DOTALL) if match)


def says_not_found(text: str, abstention: str) -> bool:
    """Whether the model said that the passages hold no answer, in the words its prompt gives it."""
    return bool(_NOT_FOUND.match(text)) or text.strip() == abstention


def usage(count_tokens: CountTokens, prompt: str, completion: str) -> Usage:
    prompt_tokens, completion_tokens = count_tokens([prompt, completion])
    return Usage(prompt_tokens, completion_tokens)
