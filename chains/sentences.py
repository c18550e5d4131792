"""Passages into units that can be quoted alone, and text into the words, numbers and names that support must hold."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from lockgate.types import Passage

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[`*]*[A-Z0-9`])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|no|fig|dr|mr|mrs|approx)\.$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_][\w'’-]*|\d[\d.,:/-]*\d|\d")
_NEGATION = re.compile(r"\b(?:no|not|never|cannot|neither|nor)\b|n['’]t\b", re.IGNORECASE)
_WITHOUT = re.compile(r"\bwithout\b", re.IGNORECASE)
_CONTRACTION = re.compile(r"n['’]t\Z|['’](?:d|ll|m|re|ve)\Z")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_FENCE = re.compile(r"^[ \t]*(`{3,})[^`\n]*\n.*?\n[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)

STOP_WORDS = frozenset(
    """a about above after again all also an and any are as at be because been before being below between both but by
    can cannot could did do does doing down during each either else every few for from further get gets got had has have
    having he her here hers him his how i if in into is it its itself just let like may me might more most must my
    neither never no nor not now of off on once one only onto or other our out over own per please same shall she should
    since so some such tell than that the their them then there these they this those through to too under until up
    upon us use used using very was we were what when where whether which while who whom whose why will with within
    without would yes yet you your""".split()  # noqa: SIM905 - a block of words is easier to keep than a list
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, list item, table row or code block of a passage.

    ``passage`` is the passage's place in the list, ``position`` the unit's place in the passage; ``context`` is the
    text that gives it meaning when it is scored (a table's header, a list's lead-in), not shown.
    """

    passage: int
    position: int
    text: str
    kind: str
    context: str = ""


def units(passages: list[Passage]) -> list[Unit]:
    """Every quotable unit of the passages, in order."""
    found: list[Unit] = []
    for number, passage in enumerate(passages):
        for position, (kind, text, context) in enumerate(_units(passage.chunk.text)):
            found.append(Unit(number, position, text, kind, context))
    return found


def split_sentences(text: str) -> list[str]:
    """Sentences of running text; an abbreviation does not end one."""
    sentences: list[str] = []
    for part in _SENTENCE_END.split(text):
        piece = part.strip()
        if not piece:
            continue
        if sentences and _ABBREVIATION.search(sentences[-1]):
            sentences[-1] = f"{sentences[-1]} {piece}"
        else:
            sentences.append(piece)
    return sentences


@lru_cache(maxsize=1024)
def statements(text: str) -> tuple[str, ...]:
    """The sentences, list items, rows and code blocks of a text."""
    return tuple(unit for _, unit, _ in _units(text))


def negations(text: str) -> frozenset[str]:
    """How a sentence denies: "not" for no, not, never, cannot, n't, neither and nor, and "without"."""
    found = {"not": _NEGATION, "without": _WITHOUT}
    return frozenset(kind for kind, pattern in found.items() if pattern.search(text))


def _units(text: str) -> Iterator[tuple[str, str, str]]:
    lead_in = ""
    start = 0
    for fence in [*_FENCE.finditer(text), None]:
        for kind, unit, context in _prose(text[start : fence.start() if fence else len(text)], lead_in):
            yield kind, unit, context
            lead_in = unit if kind == "sentence" else lead_in
        if fence:
            yield "code", textwrap.dedent(fence.group()), lead_in
            start = fence.end()


def _prose(text: str, lead_in: str) -> Iterator[tuple[str, str, str]]:
    for block in re.split(r"\n{2,}", text):
        lines = [line for line in block.split("\n") if line.strip()]
        if not lines:
            continue
        if len(lines) > 1 and lines[0].lstrip().startswith("|"):
            yield from _rows(lines)
        elif any(_LIST_ITEM.match(line) for line in lines):
            yield from _items(lines, lead_in)
        else:
            sentences = split_sentences(" ".join(line.strip() for line in lines))
            yield from (("sentence", sentence, "") for sentence in sentences)
            lead_in = sentences[-1] if sentences else lead_in


def _rows(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    header, rows = lines[0], lines[1:]
    for row in rows:
        if not set(row) <= set("|-: "):
            yield "row", row.strip(), header


def _items(lines: list[str], lead_in: str) -> Iterator[tuple[str, str, str]]:
    item: list[str] = []
    context = lead_in
    for line in lines:
        if _LIST_ITEM.match(line) and item:
            yield _item(item, context)
            item = []
        item.append(line.strip())
    if item:
        yield _item(item, context)


def _item(lines: list[str], context: str) -> tuple[str, str, str]:
    return "item", _LIST_ITEM.sub("", " ".join(lines)), context


@lru_cache(maxsize=4096)
def content_words(text: str) -> frozenset[str]:
    """Words that carry meaning, lower case, cut to a common stem of at most their first letters' form."""
    words = (match.group().lower() for match in _WORD.finditer(text))
    return frozenset(_stem(word) for word in words if word not in STOP_WORDS and not _CONTRACTION.search(word))


@lru_cache(maxsize=4096)
def exact_parts(text: str) -> frozenset[str]:
    """Numbers and names, which support must hold exactly: digits, and capitalised words that do not open a sentence."""
    found = set()
    for sentence in split_sentences(text):
        for place, match in enumerate(_WORD.finditer(sentence)):
            word = match.group()
            named = word[0].isupper() and (place > 0 or word[1:].lower() != word[1:]) and word.lower() not in STOP_WORDS
            if word[0].isdigit() or named:
                found.add(word.lower().rstrip(".,:/-"))
    return frozenset(found)


def _stem(word: str) -> str:
    """Enough to let "rotates", "rotated" and "rotating" meet; the same rule on both sides of every comparison."""
    for suffix in ("'s", "’s", "ing", "ies", "ied", "es", "ed", "s", "e", "y"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word
