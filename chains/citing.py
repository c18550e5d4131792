"""Citations for a model's own words: a sentence is cited only where a passage holds what it says.

The check is lexical and exact: all numbers, names and content words of the sentence stand in the passage, and the
passage's sentence that is most like it denies what it denies. It says "these words come from there", not "it is true".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chains.markers import MARKER
from chains.sentences import content_words, exact_parts, negations, statements
from lockgate.types import Chunk, Passage

FEWEST_WORDS = 2
"""A sentence of fewer content words ("The answer is:") says nothing, unless one of them is a number or a name."""

_FENCE = re.compile(r"[ \t]*(?P<run>`{3,}(?=[^`\n]*\n)|~{3,}(?=[^\n]*\n))[^\n]*\n")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,3}[.)])[ \t]")
_OPENING = re.compile(r"[ \t]*(?:`{0,2}|`{3,}[^`\n]*|~{0,2}|~{3,}[^\n]*|[-*+]|[0-9]{1,3}[.)]?)\Z")
"""The beginning of a line that may become a fence or a list item with the next piece."""

_BLANKS = re.compile(r"[ \t]+")
_BRACKET = re.compile(r"\[[0-9,; ]*\Z")
_END = re.compile(r"[.!?][\"')\]]*")
_PLAIN = re.compile(r"[^\\`\[ \t.!?\n]+")
_ESCAPED = re.compile(r"\\[!-/:-@\[-`{-~]")


@dataclass(slots=True)
class SentenceCiter:
    """Turns a stream of model text into text whose citations are checked.

    Words go out as they come; markers that the model wrote are taken out, and a checked one is put after the sentence.
    Code, fenced or inline, passes as it is. Each step is taken only when no text to come could change it, so that the
    pieces do not matter. ``cited`` maps a passage's place to its citation number, in order of use; ``uncited`` counts
    sentences without one.
    """

    passages: Sequence[Passage]
    cited: dict[int, int] = field(default_factory=dict)
    uncited: int = 0
    removed: int = 0
    repeats: bool = False  # the last sentence was said before, word for word: a small model that loops
    _text: str = "\n"  # one character that is done with, which a look back may need, then what is not
    _line_start: bool = True
    _fence: str = ""  # the run that opened the fenced block that this is in
    _indexed: bool = False  # right after an index, as in "items[0]", where the next one may follow
    _sentence: str = ""
    _claimed: set[int] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)

    def feed(self, piece: str) -> str:
        self._text += piece
        return "".join(self._steps(final=False))

    def finish(self) -> str:
        return ("".join(self._steps(final=True)).rstrip() + self._mark()).rstrip()

    def _steps(self, *, final: bool) -> Iterator[str]:
        at = 1
        while at < len(self._text):
            step = self._step(at, final=final)
            if step is None:
                break
            at, shown = step
            yield shown
        self._text = self._text[at - 1 :]

    def _step(self, at: int, *, final: bool) -> tuple[int, str] | None:
        """Where the next bit of text ends and what to show for it; None while that depends on what comes next."""
        if self._fence:
            return self._code_line(at, final=final)
        if self._line_start:
            if not final and _OPENING.match(self._text, at):
                return None
            if opening := self._open_line(at):
                return opening
            self._line_start = False
        indexed, self._indexed = self._indexed, False
        match self._text[at]:
            case "`":
                return self._inline_code(at, final=final)
            case "[" | " " | "\t":
                step = self._bracket(at, indexed=indexed, final=final)
                self._indexed = indexed if step is None else self._indexed
                return step
            case "." | "!" | "?":
                return self._end(at, final=final)
            case "\n":
                self._line_start = True
                return at + 1, self._mark() + "\n"
            case "\\":
                if at + 1 == len(self._text) and not final:
                    return None
                escaped = _ESCAPED.match(self._text, at)
                return self._say(at, escaped.end() if escaped else at + 1)
        plain = _PLAIN.match(self._text, at)
        return self._say(at, plain.end() if plain else at + 1)

    def _open_line(self, at: int) -> tuple[int, str] | None:
        fence = _FENCE.match(self._text, at)
        if fence:
            self._fence = fence["run"]
            return fence.end(), fence.group()
        item = _ITEM.match(self._text, at)  # its number is none of the sentence's; a fence may follow it
        return (item.end(), item.group()) if item else None

    def _code_line(self, at: int, *, final: bool) -> tuple[int, str] | None:
        newline = self._text.find("\n", at)
        if newline < 0 and not final:
            return None
        line = self._text[at : newline + 1] if newline >= 0 else self._text[at:]
        run = line.strip()
        if len(run) >= len(self._fence) and not run.strip(self._fence[0]):
            self._fence = ""
        return at + len(line), line

    def _inline_code(self, at: int, *, final: bool) -> tuple[int, str] | None:
        """Code up to a run of as many backticks on the same line; without one, backticks are text."""
        newline = self._text.find("\n", at)
        line = self._text[at : newline if newline >= 0 else len(self._text)]
        whole = final or newline >= 0
        run = re.match("`+", line)
        length = run.end() if run else 1
        closing = re.compile(rf"(?<!`)`{{{length}}}(?!`)").search(line, length)
        if closing and (whole or closing.end() < len(line)):
            return self._say(at, at + closing.end())
        return self._say(at, at + length) if whole else None

    def _bracket(self, at: int, *, indexed: bool, final: bool) -> tuple[int, str] | None:
        """A marker with the blanks before it, or an index, which follows a word directly and is none."""
        blanks = _BLANKS.match(self._text, at)
        start = blanks.end() if blanks else at
        marker = MARKER.match(self._text, start)
        if marker:
            if start == at and (indexed or self._text[at - 1].isalnum() or self._text[at - 1] == "_"):
                self._indexed = True
                return marker.end(), "\\" + self._say(at, marker.end())[1]
            self._claim(marker.group())
            return marker.end(), ""
        if not final and (start == len(self._text) or _BRACKET.match(self._text, start)):
            return None
        return self._say(at, max(start, at + 1))

    def _end(self, at: int, *, final: bool) -> tuple[int, str] | None:
        end = _END.match(self._text, at)
        stop = end.end() if end else at + 1
        if stop == len(self._text) and not final:
            return None
        if stop < len(self._text) and not self._text[stop].isspace():
            return self._say(at, at + 1)
        return stop, self._say(at, stop)[1] + self._mark()

    def _say(self, at: int, stop: int) -> tuple[int, str]:
        text = self._text[at:stop]
        self._sentence += text
        return stop, text

    def _claim(self, marker: str) -> None:
        """A marker of the model is a claim about the sentence that it stands in; it is shown only if it holds."""
        for number in re.findall(r"[0-9]+", marker):
            place = int(number) - 1
            if 0 <= place < len(self.passages):
                self._claimed.add(place)
            else:
                self.removed += 1

    def _mark(self) -> str:
        sentence, self._sentence = self._sentence.strip(), ""
        claimed, self._claimed = self._claimed, set()
        if sentence:
            self.repeats = sentence in self._said
            self._said.add(sentence)
        if len(content_words(sentence)) < FEWEST_WORDS and not exact_parts(sentence):
            return ""
        place = supporting_passage(sentence, self.passages, prefer=claimed)
        if place is None:
            self.uncited += 1
            self.removed += len(claimed)
            return ""
        number = self.cited.setdefault(place, len(self.cited) + 1)
        return f" [{number}]"


def supporting_passage(sentence: str, passages: Sequence[Passage], *, prefer: set[int]) -> int | None:
    """The place of the passage that holds the sentence's words, numbers and names and denies the same; None if none."""
    held = (place for place, passage in enumerate(passages) if _holds(passage.chunk, sentence))
    return min(held, key=lambda place: (place not in prefer, place), default=None)


def _holds(chunk: Chunk, sentence: str) -> bool:
    words = content_words(sentence)
    if not words <= content_words(chunk.embed_text) or not _holds_exactly(exact_parts(sentence), chunk.embed_text):
        return False
    # Of the passage's statements the one most like the sentence: most of its words, and fewest others.
    ranked: dict[tuple[int, int], list[str]] = {}
    for statement in statements(chunk.text):
        own = content_words(statement)
        ranked.setdefault((len(words & own), -len(own - words)), []).append(statement)
    said = negations(sentence)
    return bool(ranked) and any(negations(statement) == said for statement in ranked[max(ranked)])


def _holds_exactly(exact: frozenset[str], source: str) -> bool:
    lower = source.lower()
    return all(re.search(rf"(?<![\w.]){re.escape(part)}(?![\w]|\.\d)", lower) for part in exact)
