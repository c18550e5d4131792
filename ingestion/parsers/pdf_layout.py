"""Lines of a page rebuilt from the pieces of text that a PDF places on it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

MAX_LINES_TO_ORDER = 2_000
"""A page with more lines is a listing or an attack; it keeps the order it was written in."""

FURNITURE_LINES = 2
"""Headers and footers are looked for in this many lines at the top and at the bottom of a page."""

_MONOSPACED = re.compile(r"mono|courier|consol|menlo|typewriter|cmtt|fixed", re.IGNORECASE)
_CONTROL = re.compile(r"[\x01-\x08\x0b-\x1f\x7f\ufeff]")
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"[-–—\s]*(?:page\s)?(?:\d{1,5}|[ivxlc]{1,7})[-–—\s]*", re.IGNORECASE)
_CONTENTS_LINE = re.compile(r"(?:\.[ \u00a0]?){5,}\s*(?:\d{1,5}|[ivxlc]{1,7})$")
_SPACES = re.compile(r"[ \t\xa0]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; ``x`` and ``y`` are its start in points from the bottom left, ``size`` its font's."""

    text: str
    page: int
    x: float
    y: float
    size: float
    monospaced: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    x: float
    y: float
    size: float
    monospaced: bool


class LineCollector:
    """Collects what pypdf hands to a text visitor and cuts it into lines."""

    def __init__(self, page: int) -> None:
        self._page = page
        self._pieces: list[_Piece] = []
        self._lines: list[Line] = []

    def visit(self, text: str, current: Sequence[float], matrix: Sequence[float], font: Any, size: float) -> None:
        """A pypdf text visitor: ``current`` and ``matrix`` place the piece, ``size`` is before their scaling."""
        if not text:
            return
        placed = _place(current, matrix)
        name = str(font.get("/BaseFont", "")) if hasattr(font, "get") else ""
        for number, part in enumerate(text.split("\n")):
            if number:
                self._end_line()
            if part:
                scale = placed[2] if math.isfinite(placed[2]) and placed[2] > 0 else 1.0
                mono = _MONOSPACED.search(name) is not None
                self._pieces.append(_Piece(part, placed[0], placed[1], abs(float(size)) * scale, mono))

    def lines(self) -> list[Line]:
        """The page's lines, in reading order as far as positions tell."""
        self._end_line()
        return _in_reading_order(self._lines)

    def _end_line(self) -> None:
        pieces = [piece for piece in self._pieces if piece.text.strip()]
        text = "".join(piece.text for piece in self._pieces)
        self._pieces = []
        if not pieces:
            return
        sizes: Counter[float] = Counter()
        mono = 0
        for piece in pieces:
            sizes[round(piece.size * 2) / 2] += len(piece.text)
            mono += len(piece.text) if piece.monospaced else 0
        total = sum(sizes.values())
        is_code = mono >= total * 0.9
        cleaned = _clean(text, keep_spaces=is_code)
        if cleaned.strip():
            first = pieces[0]
            self._lines.append(Line(cleaned, self._page, first.x, first.y, sizes.most_common(1)[0][0], is_code))


def _place(current: Sequence[float], matrix: Sequence[float]) -> tuple[float, float, float]:
    """(x, y, scale) of the origin of ``matrix`` as seen through ``current``; both are PDF's six numbers."""
    a, b, c, d, e, f = (float(value) for value in current)
    x = float(matrix[4]) * a + float(matrix[5]) * c + e
    y = float(matrix[4]) * b + float(matrix[5]) * d + f
    scale = math.sqrt(
        abs((a * d - b * c) * (float(matrix[0]) * float(matrix[3]) - float(matrix[1]) * float(matrix[2])))
    )
    return (x if math.isfinite(x) else 0.0, y if math.isfinite(y) else 0.0, scale)


def _clean(text: str, *, keep_spaces: bool) -> str:
    # A NUL is a glyph that the font does not map to a character; at the start of a line it was a list number.
    text = _CONTROL.sub("", text)
    if "\x00" in text:
        text = re.sub(r"^\s*\x00+[.)]?\s*", "- ", text).replace("\x00", "")
    return text.rstrip() if keep_spaces else _SPACES.sub(" ", text).strip()


def _in_reading_order(lines: list[Line]) -> list[Line]:
    """Top to bottom, unless lines stand side by side: then columns are likely, and the writer's order is kept.

    Browsers print code blocks after all other text of a page; positions put them back.
    """
    if len(lines) > MAX_LINES_TO_ORDER:
        return lines
    ordered = sorted(lines, key=lambda line: (-line.y, line.x))
    beside = sum(abs(upper.y - lower.y) < 0.5 * max(upper.size, 1.0) for upper, lower in pairwise(ordered))
    return lines if beside > len(lines) * 0.15 else ordered


def without_furniture(pages: list[list[Line]]) -> list[list[Line]]:
    """The pages without headers, footers, page numbers and lines of a table of contents.

    Headers and footers are edge lines that recur, digits aside, on half the pages, and on three at least.
    """
    if len(pages) < 3:
        return pages
    seen = Counter(key for page in pages for key in {_edge_key(line) for line in _edges(page)})
    needed = max(3, math.ceil(sum(1 for page in pages if page) / 2))
    furniture = {key for key, count in seen.items() if count >= needed}
    return [_drop(page, furniture) for page in pages]


def _edges(page: list[Line]) -> list[Line]:
    return page if len(page) <= 2 * FURNITURE_LINES else page[:FURNITURE_LINES] + page[-FURNITURE_LINES:]


def _edge_key(line: Line) -> str:
    return _DIGITS.sub("#", line.text.lower())


def _drop(page: list[Line], furniture: set[str]) -> list[Line]:
    dropped = {id(line) for line in _edges(page) if _edge_key(line) in furniture}
    dropped |= {id(line) for line in (page[:1] + page[-1:]) if _PAGE_NUMBER.fullmatch(line.text)}
    return [line for line in page if id(line) not in dropped and not _CONTENTS_LINE.search(line.text[-300:])]


def body_size(pages: list[list[Line]]) -> float:
    """The font size that most characters of prose have."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page:
            if not line.monospaced:
                sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def leading(page: list[Line]) -> float:
    """The usual distance between two lines of a paragraph, 0 when the page does not show it."""
    gaps = [upper.y - lower.y for upper, lower in pairwise(page) if upper.size == lower.size]
    steps = sorted(gap for gap in gaps if gap > 0.5)
    # The lower half: wrapped lines are closer together than paragraphs.
    return median(steps[: max(1, (len(steps) + 1) // 2)]) if steps else 0.0
