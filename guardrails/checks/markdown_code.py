"""Which parts of a Markdown text are code: fenced blocks, and code in a line.

Where the rules of CommonMark leave a doubt, or readers of Markdown are known to differ, it is not code here, nor is
what looks like code after it: from the beginning of an HTML block on, after an escaped backtick or one without a
partner on its line, in table cells, within an open tag. Fences in quotations and code by indentation are none either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_MARKERS = r"[ >]{0,12}(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]{1,4}){0,3}"
_FENCE = re.compile(r"( {0,12})(`{3,}|~{3,})([^`\n]*)\n?\Z")
_HTML = re.compile(rf"{_MARKERS}<[A-Za-z/?!]")
_HTML_OVER_BLANKS = re.compile(rf"{_MARKERS}<(?:script|pre|style|textarea|[!?])", re.IGNORECASE)
_RUN = re.compile(r"`+")
_OPEN_TAG = re.compile(r"<[A-Za-z!/?][^<>]*\Z")
_OPEN = 2_000


def code_parts(text: str) -> list[tuple[int, int]]:
    """(start, end) of each part of ``text`` that is code, with its marks, in order."""
    reader = _Reader(text)
    for match in _LINE.finditer(text):
        if not match.group() or reader.lost:
            break
        reader.read(match.group(), match.start(), match.end())
    reader.finish()
    return reader.parts


@dataclass(slots=True)
class _Reader:
    """Reads line by line. ``lost``: what follows may be read in more than one way."""

    text: str
    parts: list[tuple[int, int]] = field(default_factory=list)
    lost: bool = False
    _fence: str = ""
    _indent: int = 0
    _opened: int = 0
    _paragraph: int = 0
    _html: bool = False
    _after_blank: bool = True

    def read(self, line: str, start: int, end: int) -> None:
        if self._fence:
            self._in_fence(line, start, end)
        elif not line.strip():
            self._end_paragraph(start)
            self._paragraph = end
            self._after_blank, self._html = True, False
        else:
            self._in_text(line, start)
            self._after_blank = False

    def finish(self) -> None:
        if self._fence:
            self.parts.append((self._opened, len(self.text)))
        elif not self.lost:
            self._end_paragraph(len(self.text))

    def _in_text(self, line: str, start: int) -> None:
        found = None if self._html else _FENCE.match(line)
        if found is not None and (len(found.group(1)) <= 3 or self._after_blank):
            self._end_paragraph(start)
            if not self.lost:
                self._indent, self._fence, self._opened = len(found.group(1)), found.group(2), start
        elif _HTML.match(line):
            self._html = True
            self.lost = _HTML_OVER_BLANKS.match(line) is not None

    def _in_fence(self, line: str, start: int, end: int) -> None:
        bare = line.strip()
        if not bare:
            return
        indent = len(line) - len(line.lstrip(" "))
        looks_closed = len(bare) >= 3 and not bare.strip(self._fence[0])
        if indent < self._indent or (looks_closed and indent <= self._indent + 3 and len(bare) >= len(self._fence)):
            # A list that ends takes the code in it along; a fence of other length or place closes it for some.
            self.parts.append((self._opened, end if looks_closed else start))
            self.lost = not looks_closed or indent != self._indent or len(bare) != len(self._fence)
            self._fence, self._paragraph, self._after_blank = "", end, True

    def _end_paragraph(self, end: int) -> None:
        """Find code in the lines of the paragraph that ends here."""
        if self._html or self.lost:
            return
        runs = list(_RUN.finditer(self.text, self._paragraph, end))
        at, index = self._paragraph, 0
        while index + 1 < len(runs):
            run = runs[index]
            before = self.text[max(at, run.start() - _OPEN) : run.start()]
            if before.endswith("\\") or _OPEN_TAG.search(before) or (closing := _partner(runs, index)) is None:
                return
            inner = self.text[run.end() : runs[closing].start()]
            if "\n" in inner or "|" in inner or inner.endswith("\\"):
                return
            at = runs[closing].end()
            self.parts.append((run.start(), at))
            index = closing + 1


def _partner(runs: list[re.Match[str]], index: int) -> int | None:
    size = len(runs[index].group())
    return next((other for other in range(index + 1, len(runs)) if len(runs[other].group()) == size), None)
