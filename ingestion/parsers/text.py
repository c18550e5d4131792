"""Plain text to paragraphs and lists."""

from __future__ import annotations

import re

from ingestion.parsers.decoding import decode
from ingestion.parsers.page import PageBuilder, Parsed

WRAPPED_LINE_CHARS = 50
"""A line at least this long may have been broken by a text editor; a shorter one ends where its writer meant it to."""

_BLANK_LINES = re.compile(r"\n[ \t\f\v]*\n\s*")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+•‣◦]|\d{1,3}[.)])[ \t]+(?=\S)")


def parse(data: bytes, *, name: str) -> Parsed:
    """A text file: paragraphs are what blank lines separate. Raises UserError when ``data`` is not text."""
    builder = PageBuilder()
    add_paragraphs(builder, decode(data, name=name))
    return builder.finish(name=name)


def add_paragraphs(builder: PageBuilder, text: str) -> None:
    """Add each paragraph of ``text``, hard line breaks undone, as a text or a list block."""
    for paragraph in _BLANK_LINES.split(text):
        lines = [line.rstrip() for line in paragraph.strip("\n\f").split("\n")]
        is_list = _LIST_ITEM.match(lines[0]) is not None
        builder.add("list" if is_list else "text", "\n".join(unwrap(lines)))


def unwrap(lines: list[str]) -> list[str]:
    """Join lines that an editor or a page width broke; list items and indented lines keep their own line."""
    joined: list[list[str]] = []
    previous = 0
    for line in lines:
        starts = not joined or previous < WRAPPED_LINE_CHARS or line[:1] in " \t" or _LIST_ITEM.match(line)
        if starts:
            joined.append([line])
        else:
            joined[-1].append(line.strip())
        previous = len(line)
    return [" ".join(parts) for parts in joined]
