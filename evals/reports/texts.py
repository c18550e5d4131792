"""Other people's text, made safe to stand in a report: questions, answers, page names and error messages."""

from __future__ import annotations

import re
from html import escape

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)
"""Characters that cannot be seen, that turn the direction of the text around them, or that no file can hold. Joiners
(U+200C, U+200D) stay: scripts and emoji need them."""

_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")
_SPACE = re.compile(r"\s+")


def visible(text: object) -> str:
    """``text`` with characters that cannot be seen written out, such as <U+202E>, and line ends as LF."""
    return _UNSEEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", _LINE_ENDS.sub("\n", str(text)))


def excerpt(text: object, limit: int) -> str:
    """``visible`` text, cut after about ``limit`` characters with the number of those that are missing.

    It is cut before anything else is done with it: a report of many long texts would take minutes.
    """
    whole = str(text)
    shown = visible(whole[:limit])[: 2 * limit]  # a character that is written out takes eight
    return shown if len(whole) <= limit else f"{shown} \u2026 ({len(whole) - limit:,} more characters)"


def one_line(text: object, limit: int = 300) -> str:
    """An ``excerpt`` with every stretch of space as one."""
    return _SPACE.sub(" ", excerpt(text, limit)).strip()


def html(text: object) -> str:
    """``text`` as HTML that is nothing but text, also within an attribute."""
    return escape(visible(text), quote=True)


def code_span(text: object, limit: int = 300) -> str:
    """``text`` as a Markdown code span, in which nothing is a link, a mention, an image or HTML.

    It can stand in a cell of a table: a vertical line would end the cell whatever is around it, so it is broken.
    """
    line = one_line(text, limit).replace("|", "\u00a6")
    if not line:
        return ""
    ticks = "`" * (_longest_run(line, "`") + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def code_block(lines: list[str], language: str = "") -> str:
    """Lines as a fenced Markdown block that none of them can end."""
    body = "\n".join(visible(line) for line in lines)
    fence = "`" * max(3, _longest_run(body, "`") + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def _longest_run(text: str, character: str) -> int:
    return max((len(run) for run in re.findall(re.escape(character) + "+", text)), default=0)
