"""What every parser gives back, and the builder that keeps title, heading path and anchors while a page is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from lockgate.types import Block, BlockKind

MAX_HEADING_CHARS = 300
"""A longer heading is a paragraph that was marked up as one; it would fill every chunk below it."""

_NOT_IN_SLUG = re.compile(r"[^\w\- ]+")
_SPACES = re.compile(r"\s+")
_NAME_SEPARATORS = re.compile(r"[-_.\s]+")
_FOLDER_PAGES = frozenset({"index", "readme", "_index"})


@dataclass(frozen=True, slots=True)
class Parsed:
    """A page as read: its title, its blocks in reading order, and ``metadata`` such as the description."""

    title: str
    blocks: tuple[Block, ...]
    metadata: dict[str, str] = field(default_factory=dict)


class Parser(Protocol):
    """Reads one format. ``name`` is the page's path, for error texts and as the last resort for a title."""

    def __call__(self, data: bytes, *, name: str) -> Parsed: ...


class PageBuilder:
    """Collects blocks in reading order.

    The first level-one heading is the page's title and stays out of heading paths, unless ``title`` is given and
    says something else: then both are kept. ``has_anchors`` is False for a format without named places.
    """

    def __init__(self, *, title: str = "", has_anchors: bool = True) -> None:
        self.title = one_line(title)
        self._has_anchors = has_anchors
        self.metadata: dict[str, str] = {}
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._heading: tuple[str, ...] = ()
        self._anchor = ""
        self._slugs: dict[str, int] = {}
        self._seen_title = False

    def heading(self, level: int, text: str, *, anchor: str = "") -> None:
        """Enter a section. ``anchor`` "" means the slug that GitHub would give the heading."""
        text = one_line(text)[:MAX_HEADING_CHARS]
        if not text:
            return
        self._anchor = anchor or (self._unique_slug(text) if self._has_anchors else "")
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        if level == 1 and not self._seen_title:
            self._seen_title = True
            self.title = self.title or text
            if text != self.title:
                self._path.append((level, text))
        else:
            self._path.append((level, text))
        self._heading = tuple(name for _, name in self._path)

    def add(self, kind: BlockKind, text: str, *, language: str = "", page: int | None = None) -> None:
        """Append a block; one without visible text is left out."""
        if text and not text.isspace():
            self._blocks.append(Block(kind, text, self._heading, self._anchor, page, language))

    def finish(self, *, name: str, title: str = "") -> Parsed:
        """The page; ``title`` is used when no heading gave one, and the file's name when that is empty too."""
        return Parsed(self.title or one_line(title) or title_from_name(name), tuple(self._blocks), self.metadata)

    def _unique_slug(self, text: str) -> str:
        base = slug(text)
        count = self._slugs.get(base, 0)
        self._slugs[base] = count + 1
        return f"{base}-{count}" if count else base


def one_line(text: str) -> str:
    """``text`` with every run of white space made one space."""
    return _SPACES.sub(" ", text).strip()


def slug(heading: str) -> str:
    """The fragment that GitHub gives a heading: lower case, punctuation dropped, spaces as hyphens."""
    return _NOT_IN_SLUG.sub("", heading.lower()).strip().replace(" ", "-")


def title_from_name(name: str) -> str:
    """A readable title from a path: ``guides/getting-started.md`` gives ``Getting started``."""
    path = PurePosixPath(name)
    stem = path.stem
    if stem.lower() in _FOLDER_PAGES and path.parent.name:
        stem = path.parent.name
    words = _NAME_SEPARATORS.sub(" ", stem).strip() or path.name
    return words[:1].upper() + words[1:]


def pipe_table(rows: list[list[str]]) -> str:
    """``rows`` (the first is the head) as a Markdown table of plain cell text; ragged rows are filled up."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    cells = [[one_line(cell).replace("|", "\\|") for cell in row] + [""] * (width - len(row)) for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def fenced(code: str, language: str) -> list[str]:
    """``code`` as the lines of a fenced block, with a fence longer than any inside it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return [f"{fence}{language}", *code.rstrip("\n").split("\n"), fence]


def list_item(marker: str, lines: list[str]) -> list[str]:
    """The lines of one list item: the marker before the first line, the others indented to match."""
    indent = " " * len(marker)
    return [(marker if number == 0 else indent) + line if line else "" for number, line in enumerate(lines)]
