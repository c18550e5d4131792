"""What a text holds in other encodings: base64, base32, hex, percent signs, entities, escapes, rot13, backwards, letter
by letter, in tag characters. Bounded in how deep, how many and how long, so that no text is expensive to read."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from guardrails.normalise import normalised

MAX_CANDIDATES = 64
"""Parts of a text that are decoded, for each encoding."""
MAX_LENGTH = 20_000
"""Characters of one part that are decoded."""
MAX_TOTAL = 200_000
"""Characters that all of what is decoded may have."""
DEPTH = 2
"""Encodings within another that are undone."""

_MIN_TEXT = 4


@dataclass(frozen=True, slots=True)
class Decoded:
    """``text`` is what ``original[start:end]`` says, once ``how`` is undone ("base64", "base64 hex")."""

    text: str
    start: int
    end: int
    how: str


@dataclass(slots=True)
class _Budget:
    left: int = MAX_TOTAL

    def take(self, size: int) -> bool:
        self.left -= size
        return self.left >= 0


def decoded(text: str, *, depth: int = DEPTH, by_words: bool = True) -> Iterator[Decoded]:
    """What ``text`` holds in other encodings, outermost first; places are those in ``text`` as it is given.

    Zero-width characters and look-alikes in the encoded part do not hide it. What decodes to bytes that are no text is
    left out. Rot13 and text backwards are found by English words, so by nothing else, and not without ``by_words``.
    """
    budget = _Budget()
    tags = _tags(text)
    source = normalised(text)
    for found in (*tags, *_in(source.text, depth, budget, by_words)):
        if found.how == "tags":
            yield found
        else:
            start, end = source.spans_back(found.start, found.end)
            yield Decoded(found.text, start, end, found.how)


def _in(text: str, depth: int, budget: _Budget, by_words: bool) -> Iterator[Decoded]:
    for how, find in _FINDERS if by_words else _FINDERS[:-2]:
        for found in find(text):
            if not budget.take(len(found.text)):
                return
            yield Decoded(found.text, found.start, found.end, how)
            if depth > 1 and how not in BY_WORDS:
                inner = normalised(found.text).text
                for deeper in _in(inner, depth - 1, budget, by_words):
                    yield Decoded(deeper.text, found.start, found.end, f"{how} {deeper.how}")


def _each(pattern: re.Pattern[str], text: str, read: Callable[[str], str]) -> Iterator[Decoded]:
    for number, match in enumerate(pattern.finditer(text)):
        if number >= MAX_CANDIDATES:
            return
        said = read(match.group()[:MAX_LENGTH])
        if len(said) >= _MIN_TEXT:
            yield Decoded(said, match.start(), match.end(), "")


# Bytes

_PRINTABLE = bytes([9, 10, 13, *range(32, 127)])
_READABLE = re.compile(r"[\t\n\r\x20-\x7e\xa0-\u02ff\u0370-\u1fff\u2010-\u205e\u3040-\ud7ff\uff00-\uffef]+")


def _text_of(data: bytes) -> str:
    """``data`` as text; "" when it is none."""
    strange = len(data.translate(None, _PRINTABLE))
    if strange > 0.2 * len(data) and _is_other(data):
        return ""
    for encoding in ("utf-8", "utf-16-le") if data[1::2].count(0) > len(data) // 4 else ("utf-8",):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            # A cut in the middle of a character, or a tail that does not belong to it.
            text = data.decode(encoding, "replace")
        readable = max(_READABLE.findall(text), key=len, default="")
        if len(readable) >= max(_MIN_TEXT, 0.8 * len(text)):
            return readable
    return ""


def _is_other(data: bytes) -> bool:
    """Whether ``data``, which is not ASCII, is neither UTF-8 nor UTF-16 of Latin letters."""
    if data[1::2].count(0) > len(data) // 4:
        return False
    try:
        data[:-3].decode()
    except UnicodeDecodeError as error:
        return error.start < len(data) - 6
    return False


_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{12,}(?:={0,2}[\r\n][ >\t]{0,8}[A-Za-z0-9+/_-]{12,76}){0,400}={0,2}"
)
_SPACE = re.compile(r"[\s>=]+")
_TO_STANDARD = str.maketrans("-_", "+/")


def _from_base64(found: str) -> str:
    """Read from each of the four places where it may begin: letters before it belong to the same alphabet."""
    letters = _SPACE.sub("", found).translate(_TO_STANDARD)
    if 8 * sum(map(str.isupper, letters)) < len(letters):
        return ""  # words and paths: what encodes text has more upper case
    best = ""
    for skip in range(4):
        part = letters[skip:]
        part = part[: len(part) - 1] if len(part) % 4 == 1 else part
        try:
            said = _text_of(base64.b64decode(part + "=" * (-len(part) % 4)))
        except (binascii.Error, ValueError):
            continue
        if skip == 0 and said:
            return said
        best = max(best, said if len(said) >= 12 else "", key=len)
    return best


_BASE32 = re.compile(r"\b[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9])")


def _from_base32(found: str) -> str:
    letters = found.rstrip("=")
    letters = letters[: len(letters) - len(letters) % 8] if len(letters) % 8 in (1, 3, 6) else letters
    try:
        return _text_of(base64.b32decode(letters + "=" * (-len(letters) % 8)))
    except (binascii.Error, ValueError):
        return ""


_HEX = re.compile(
    r"(?<![0-9A-Fa-f])(?:(?:0x|\\x|%u00|\\u00)?[0-9A-Fa-f]{2}[ ,:;-]{0,2}){7,}(?:0x|\\x|%u00|\\u00)?[0-9A-Fa-f]{2}"
)
_HEX_MARKS = re.compile(r"0x|\\x|%u00|\\u00|[ ,:;-]+")


def _from_hex(found: str) -> str:
    digits = _HEX_MARKS.sub("", found)
    for skip in (0, 1):
        part = digits[skip:]
        if said := _text_of(bytes.fromhex(part[: len(part) - len(part) % 2])):
            return said
    return ""


# From the beginning of a word, as what is not encoded in it belongs to what it says.
_PERCENT = re.compile(r"(?<![^\s%])[^\s%]{0,2000}%[0-9A-Fa-f]{2}[^\s]*")
_ENTITIES = re.compile(r"(?<![^\s&])[^\s&]{0,2000}&(?:#[0-9]{2,7}|#[xX][0-9A-Fa-f]{2,6}|[A-Za-z]{2,20});[^\s]*")
_ESCAPES = re.compile(r"(?<![^\s\\])[^\s\\]{0,2000}\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[0-3][0-7]{2})[^\s]*")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|([0-3][0-7]{2}))")


def _from_percent(found: str) -> str:
    return urllib.parse.unquote(found)


def _from_escapes(found: str) -> str:
    return _ESCAPE.sub(lambda each: chr(int(each[1] or each[2], 16) if each[1] or each[2] else int(each[3], 8)), found)


# A mark may follow the last letter: were it to be a space, "a. a. a." would be tried from each of its letters.
_SPACED = re.compile(r"(?<!\S)(?:[^\s.,_|*-][ .,_|*-]{1,3}){5,}[^\s.,_|*-](?![^\s.,_|*-])")
_BETWEEN = re.compile(r"[ .,_|*-]{1,3}")


def _from_spaced(found: str) -> str:
    """One mark stands between letters, more than one between words."""
    return _BETWEEN.sub(lambda gap: "" if len(gap.group()) == 1 else " ", found)


def _tags(text: str) -> list[Decoded]:
    """ASCII in the tag characters U+E0020 to U+E007E, which no font shows."""
    found = []
    for match in re.finditer(r"[\U000e0020-\U000e007f]{4,}", text):
        said = "".join([chr(ord(each) - 0xE0000) for each in match.group()[:MAX_LENGTH]])
        found.append(Decoded(said, match.start(), match.end(), "tags"))
    return found[:MAX_CANDIDATES]


# Words that are common in English, and in what is told to a model

_COMMON = re.findall(
    r"[a-z]+",
    """about above access admin after all and answer are before context data delete disregard email everything execute
    file follow forget from give ignore info instruction instructions key keys message model now output password pretend
    previous print prior private prompt repeat reveal rule rules say secret send show system tell text that the their
    them these this token user what with word words you your""",
)
_ROT13 = frozenset(codecs.encode(each, "rot13") for each in _COMMON)
_BACKWARDS = frozenset(each[::-1] for each in _COMMON)
_WORD = re.compile(r"[A-Za-z]{2,20}")
_LINE = re.compile(r"[^\n]+")


def _by_words(known: frozenset[str], turn: Callable[[str], str]) -> Callable[[str], Iterator[Decoded]]:
    """Parts of lines from the first to the last word of ``known``, where there are two or more that say something."""

    def find(text: str) -> Iterator[Decoded]:
        if known.isdisjoint(_WORD.findall(text.lower())):
            return
        for line in _LINE.finditer(text):
            read = line.group()[:MAX_LENGTH]
            words = [each for each in _WORD.finditer(read) if each.group().lower() in known]
            if len({each.group().lower() for each in words}) < 2 or sum(len(each.group()) for each in words) < 7:
                continue
            start = max(0, words[0].start() - 40)
            end = min(len(read), words[-1].end() + 40)
            yield Decoded(turn(read[start:end]), line.start() + start, line.start() + end, "")

    return find


def _by(pattern: re.Pattern[str], read: Callable[[str], str], sign: str = "") -> Callable[[str], Iterator[Decoded]]:
    return lambda text: _each(pattern, text, read) if sign in text else iter(())


BY_WORDS = frozenset({"rot13", "reversed"})
"""What English words give away; nothing is looked for within it."""
_FINDERS: tuple[tuple[str, Callable[[str], Iterator[Decoded]]], ...] = (
    ("base64", _by(_BASE64, _from_base64)),
    ("hex", _by(_HEX, _from_hex)),
    ("percent", _by(_PERCENT, _from_percent, "%")),
    ("entities", _by(_ENTITIES, html.unescape, "&")),
    ("escapes", _by(_ESCAPES, _from_escapes, "\\")),
    ("spaced", _by(_SPACED, _from_spaced)),
    ("base32", _by(_BASE32, _from_base32)),
    ("rot13", _by_words(_ROT13, lambda text: codecs.encode(text, "rot13"))),
    ("reversed", _by_words(_BACKWARDS, lambda text: text[::-1])),
)
