"""A text as a reader takes it, whatever it is dressed in, with the way back to where each part of it stood.

``normalised`` undoes what changes the characters and not the reading: compatibility forms, look-alikes of other
scripts, and characters that nobody sees. ``without_markup`` takes Markdown and tags out as a renderer would.
``decoded`` finds what is written in another encoding. All of it is linear in the text, and bounded.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter

from guardrails.confusables import INVISIBLE, LOOK_ALIKES

MAX_EXPANSION = 4
"""Characters that one may become; one that would become more stays as it is."""

_OTHER = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+")
_WORD = re.compile(r"\w+")
_MARK = (
    r"\\(?=[!-/:-@\[-`{-~])"  # an escape
    r"|<!--[^>]{0,200}-->"
    r"|</?[A-Za-z][^<>\n]{0,200}>"
    r"|\]\([^()\s]{0,500}\)"  # the second half of a link
    r"|!?\[(?=[^\[\]\n]{1,500}\]\()"  # and its first
    r"|[*`]|~~"
)
_MARKUP = re.compile(_MARK)
_DRESSED = re.compile(r"[*`<\\\[]|~~")
_WITHIN_WORD = re.compile(rf"[A-Za-z0-9+/=_.:-](?:{_MARK})+[.:@]?[A-Za-z0-9+/=_-]")


@dataclass(frozen=True, slots=True)
class Normalised:
    """``text``, and where each of its characters comes from in the original.

    ``_parts`` are what is left of ``_given``: where each begins here, and where it begins there. Otherwise each
    character has its place in the original, or all of them stand where they stood.
    """

    text: str
    _starts: array[int] | None = None
    _ends: array[int] | None = None
    _given: Normalised | None = None
    _parts: tuple[tuple[int, int], ...] = ()

    def spans_back(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that ``text[start:end]`` (not empty) comes from."""
        if self._given is not None:
            return self._given.spans_back(self._place(start), self._place(end - 1) + 1)
        if self._starts is None or self._ends is None:
            return start, end
        return self._starts[start], self._ends[end - 1]

    def _place(self, at: int) -> int:
        here, there = self._parts[bisect_right(self._parts, at, key=itemgetter(0)) - 1]
        return there + at - here


def normalised(text: str, *, accents: bool = True) -> Normalised:
    """``text`` in NFKC, without characters that nobody sees, digits as ASCII, look-alikes as what they look like.

    A look-alike letter counts as one in a word that also has Latin letters, or where every letter of the word is one
    and the text is mostly Latin: Russian and Greek stay what they are. ``accents`` of False takes accents off too.
    """
    if text.isascii():
        return Normalised(text)
    if (same := _of_one_length(text, accents)) is not None:
        return Normalised(_unmasked(same))
    pieces: list[str] = []
    starts, ends = array("l"), array("l")

    def keep(first: int, last: int) -> None:
        pieces.append(text[first:last])
        starts.extend(range(first, last))
        ends.extend(range(first + 1, last + 1))

    at = 0
    for run in _OTHER.finditer(text):
        keep(at, run.start())
        at = run.end()
        for first, last in _clusters(text, run.start(), run.end()):
            folded = _folded(text[first:last], accents)
            pieces.append(folded)
            starts.extend([first] * len(folded))
            ends.extend([last] * len(folded))
    keep(at, len(text))
    return Normalised(_unmasked("".join(pieces)), starts, ends)


def without_markup(given: Normalised) -> Normalised:
    """``given`` without emphasis, code marks, escapes, tags, and links but for their text."""
    text = given.text
    if _DRESSED.search(text) is None:
        return given
    pieces: list[str] = []
    parts: list[tuple[int, int]] = []
    at = size = 0
    for match in _MARKUP.finditer(text):
        if match.start() > at:
            parts.append((size, at))
            pieces.append(text[at : match.start()])
            size += match.start() - at
        at = match.end()
    parts.append((size, at))
    pieces.append(text[at:])
    return Normalised("".join(pieces), _given=given, _parts=tuple(parts))


def _of_one_length(text: str, accents: bool) -> str | None:
    """``text`` folded, if every character becomes one: then no places have to be kept. None if not."""
    if any(map(unicodedata.combining, text)):
        return None
    pieces: list[str] = []
    at = 0
    for run in _OTHER.finditer(text):
        folded = [_folded(each, accents) for each in run.group()]
        if "" in folded or sum(map(len, folded)) != len(folded):
            return None
        pieces += (text[at : run.start()], *folded)
        at = run.end()
    return "".join([*pieces, text[at:]])


def has_markup_in_words(text: str) -> bool:
    """Whether markup stands within a word; where there is none, words read the same with their markup and without."""
    return _WITHIN_WORD.search(text) is not None


def _clusters(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Each character with the marks that stand on it. A longer pile of marks than anybody writes is cut."""
    clusters: list[tuple[int, int]] = []
    for at in range(start, end):
        character = text[at]
        if character > "\u02ff" and clusters and unicodedata.combining(character) and at - clusters[-1][0] < 16:
            clusters[-1] = (clusters[-1][0], at + 1)
        else:
            clusters.append((at, at + 1))
    return clusters


@functools.lru_cache(maxsize=8192)
def _folded(cluster: str, accents: bool) -> str:
    """What a character with its marks reads as; "" for what nobody sees."""
    base = cluster[0]
    if base in INVISIBLE or 0xE0000 <= ord(base) <= 0xE0FFF or "\ud800" <= base <= "\udfff":
        return _folded(cluster[1:], accents) if len(cluster) > 1 else ""
    if unicodedata.combining(base):
        return "" if len(cluster) == 1 else _folded(cluster[1:], accents)  # a mark that stands on nothing
    if not base.isascii() and unicodedata.category(base) == "Nd":
        return str(unicodedata.digit(base))
    folded = unicodedata.normalize("NFKC", cluster)
    if len(folded) > MAX_EXPANSION and len(cluster) == 1:
        return cluster
    if not accents:
        folded = unicodedata.normalize("NFD", folded)
    if folded[0].isascii() or not accents:
        # Marks that no letter has, as in text that is struck through with U+0336, hide what they stand on.
        folded = "".join([each for each in folded if not unicodedata.combining(each)])
    return folded[:MAX_EXPANSION]


def _unmasked(text: str) -> str:
    """``text`` with look-alikes replaced, one character by one."""
    if text.isascii():
        return text
    text = text.translate(_MARKS)
    latin = sum(map(str.isascii, filter(str.isalpha, text)))
    mostly_latin = 2 * latin >= sum(map(str.isalpha, text))
    pieces: list[str] = []
    at = 0
    for word in _WORD.finditer(text):
        found = word.group()
        if found.isascii():
            continue
        letters = [each for each in found if each.isalpha()]
        mixed = any(map(str.isascii, letters))
        if mixed or (mostly_latin and all(each in LOOK_ALIKES for each in letters)):
            pieces += [text[at : word.start()], found.translate(_LETTERS)]
            at = word.end()
    return "".join([*pieces, text[at:]])


_MARKS = {ord(a): b for a, b in LOOK_ALIKES.items() if not a.isalpha()}
_LETTERS = {ord(a): b for a, b in LOOK_ALIKES.items()}
