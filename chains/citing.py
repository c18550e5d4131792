"""Citations for a model's own words: a sentence is cited only where a passage holds what it says.

The check is lexical and exact: all numbers and names of the sentence, and nearly all of its content words, stand in the
passage. It says "these words come from there", not "this is true".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chains.sentences import content_words, exact_parts
from lockgate.types import Passage

WORDS_HELD = 0.8
"""Share of a sentence's content words that its passage must hold; the rest is grammar that the stop words missed."""

_MARKER = re.compile(r"\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_OPEN_MARKER = re.compile(r"\s*\[[\d,\s]{0,12}$|\s+$")
_END = re.compile(r"[.!?][\"')\]]*(?=\s)|\n")


@dataclass(slots=True)
class SentenceCiter:
    """Turns a stream of model text into text whose citations are checked.

    Words go out as they come; markers that the model wrote are taken out, and a checked one is put after the sentence.
    ``cited`` maps a passage's place to its citation number, in order of use; ``uncited`` counts sentences without one.
    """

    passages: Sequence[Passage]
    cited: dict[int, int] = field(default_factory=dict)
    uncited: int = 0
    removed: int = 0
    _held: str = ""
    _sentence: str = ""
    _claimed: set[int] = field(default_factory=set)

    def feed(self, piece: str) -> str:
        self._held += piece
        return "".join(self._release(final=False))

    def finish(self) -> str:
        return "".join(self._release(final=True)).rstrip()

    def _release(self, *, final: bool) -> Iterator[str]:
        text = self._take_markers(self._held)
        self._held = ""
        if not final and (held := _OPEN_MARKER.search(text)):
            # What may become a marker, and the blank that a full stop needs to be an end, wait for the next piece.
            self._held, text = text[held.start() :], text[: held.start()]
        start = 0
        for end in _END.finditer(text + (self._held[:1] if self._held else "")):
            stop = min(end.end(), len(text))
            part = text[start:stop]
            body = part.rstrip("\n")
            self._sentence += body
            yield body + self._mark() + part[len(body) :]
            start = stop
        rest = text[start:]
        self._sentence += rest
        yield rest
        if final:
            yield self._mark()

    def _take_markers(self, text: str) -> str:
        """Text without the model's own markers, whose numbers are claims about the sentence they follow."""

        def claim(match: re.Match[str]) -> str:
            for number in re.findall(r"\d+", match.group(1)):
                place = int(number) - 1
                if 0 <= place < len(self.passages):
                    self._claimed.add(place)
                else:
                    self.removed += 1
            return ""

        return _MARKER.sub(claim, text)

    def _mark(self) -> str:
        sentence, self._sentence = self._sentence.strip(), ""
        claimed, self._claimed = self._claimed, set()
        if not content_words(sentence):
            return ""
        place = supporting_passage(sentence, self.passages, prefer=claimed)
        if place is None:
            self.uncited += 1
            self.removed += len(claimed)
            return ""
        number = self.cited.setdefault(place, len(self.cited) + 1)
        return f" [{number}]"


def supporting_passage(sentence: str, passages: Sequence[Passage], *, prefer: set[int]) -> int | None:
    """The place of the passage that holds the sentence's numbers, names and content words; None when none does."""
    words = content_words(sentence)
    exact = exact_parts(sentence)
    best: tuple[bool, float, int] | None = None
    for place, passage in enumerate(passages):
        source = passage.chunk.embed_text
        held = content_words(source)
        share = len(words & held) / len(words)
        if share < WORDS_HELD or not _holds_exactly(exact, source):
            continue
        rank = (place in prefer, share, -place)
        if best is None or rank > best:
            best = rank
    return -best[2] if best else None


def _holds_exactly(exact: frozenset[str], source: str) -> bool:
    lower = source.lower()
    return all(re.search(rf"(?<![\w.]){re.escape(part)}(?![\w]|\.\d)", lower) for part in exact)
