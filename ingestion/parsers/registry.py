"""Which parser reads which file, and a file's bytes to a document."""

from __future__ import annotations

from pathlib import PurePosixPath

from ingestion.parsers import html, markdown, pdf, rst, text
from ingestion.parsers.page import Parsed, Parser
from lockgate.errors import LockgateError, UserError
from lockgate.types import Document

_PARSERS: dict[str, tuple[str, Parser]] = {
    ".md": ("markdown", markdown.parse),
    ".markdown": ("markdown", markdown.parse),
    ".mdx": ("mdx", markdown.parse_mdx),
    ".html": ("html", html.parse),
    ".htm": ("html", html.parse),
    ".rst": ("rst", rst.parse),
    ".txt": ("text", text.parse),
    ".pdf": ("pdf", pdf.parse),
}

EXTENSIONS = tuple(_PARSERS)
"""The extensions that can be read, in lower case."""


def parser_for(path: str) -> Parser:
    """The parser for the extension of ``path``. Raises UserError that lists the known ones."""
    return _entry(path)[1]


def parse_document(data: bytes, *, source: str, path: str, version: str) -> Document:
    """The document in ``data``. Raises UserError, naming ``path`` and the reason, when it cannot be read."""
    format_name, parser = _entry(path)
    try:
        parsed = parser(data, name=path)
    except (LockgateError, MemoryError):
        raise
    except Exception as error:
        # One page that a library trips over must not stop a sync of thousands.
        raise UserError(f"{path}: cannot be read as {format_name} ({type(error).__name__}: {error}).") from error
    return _document(parsed, source=source, path=path, version=version, format_name=format_name)


def _document(parsed: Parsed, *, source: str, path: str, version: str, format_name: str) -> Document:
    if not parsed.blocks:
        raise UserError(f"{path}: holds no text besides headings and markup.")
    return Document(source, path, version, parsed.title, format_name, parsed.blocks)


def _entry(path: str) -> tuple[str, Parser]:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in _PARSERS:
        raise UserError(
            f"{path}: no parser for {suffix or 'a file without extension'}.", hint=f"Known: {', '.join(EXTENSIONS)}."
        )
    return _PARSERS[suffix]
