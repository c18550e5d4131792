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

FEWEST_WORDS = 2
"""A sentence of fewer content words ("The answer is:") says nothing that could be held or not."""

WORDS_HELD = 0.8
"""Share of a sentence's content words that its passage must hold; the rest is grammar that the stop words missed."""

_TOKEN = re.compile(r"\s*\[(?P<numbers>\d{1,3}(?:\s*,\s*\d{1,3})*)\]|(?P<end>[.!?][\"')\]]*(?=\s)|\n)")
_UNSETTLED = re.compile(r"(?:\s*\[[\d,\s]{0,12}|[.!?][\"')\]]*|\s+)$")
"""What may become a marker or an end with the next piece: an open bracket, a full stop, blanks."""


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
    repeats: bool = False  # the last sentence was said before, word for word: a small model that loops
    _held: str = ""
    _sentence: str = ""
    _claimed: set[int] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)

    def feed(self, piece: str) -> str:
        self._held += piece
        return "".join(self._release(final=False))

    def finish(self) -> str:
        return "".join(self._release(final=True)).rstrip()

    def _release(self, *, final: bool) -> Iterator[str]:
        text = self._held
        unsettled = None if final else _UNSETTLED.search(text)
        limit = unsettled.start() if unsettled else len(text)
        start = 0
        for token in _TOKEN.finditer(text):
            if token.end() > limit:
                break
            yield self._say(text[start : token.start()])
            if token["numbers"]:
                self._claim(token["numbers"])
            else:
                yield self._say(token["end"].rstrip("\n")) + self._mark() + "\n" * token["end"].count("\n")
            start = token.end()
        yield self._say(text[start:limit])
        self._held = text[limit:]
        if final:
            yield self._mark()

    def _say(self, text: str) -> str:
        self._sentence += text
        return text

    def _claim(self, numbers: str) -> None:
        """A marker of the model is a claim about the sentence that it stands in; it is shown only if it holds."""
        for number in re.findall(r"\d+", numbers):
            place = int(number) - 1
            if 0 <= place < len(self.passages):
                self._claimed.add(place)
            else:
                self.removed += 1

    def _mark(self) -> str:
        sentence, self._sentence = self._sentence.strip(), ""
        claimed, self._claimed = self._claimed, set()
        if len(content_words(sentence)) < FEWEST_WORDS:
            return ""
        self.repeats = sentence in self._said
        self._said.add(sentence)
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
