"""Citation markers such as [1] or [2, 3], and how brackets of a document are kept from looking like one."""

from __future__ import annotations

import re

MARKER = re.compile(r"\[ *[0-9]{1,6}(?: *[,;] *[0-9]{1,6})* *\]")

_CODE_OR_MARKER = re.compile(
    rf"(?P<kept>\\.|(?<!`)(?P<run>`+)(?!`).*?(?<!`)(?P=run)(?!`))|(?P<marker>{MARKER.pattern})"
)
_ESCAPED = re.compile(r"\\(?=\[ *[0-9]{1,6}(?: *[,;] *[0-9]{1,6})* *(?:\]|\Z))")


def escape_markers(text: str) -> str:
    """Markdown in which "[7]" stays what the document says: ``\\[7]``, shown as [7], is no citation. Code is kept."""
    return _CODE_OR_MARKER.sub(lambda found: found["kept"] or f"\\{found['marker']}", text)


def unescape_markers(text: str) -> str:
    """What a reader of plain text is shown for ``\\[7]``; ``text`` may be a piece that ends before the "]"."""
    return _ESCAPED.sub("", text)
