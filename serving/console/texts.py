"""Files and differences of files as HTML that is nothing but escaped text in spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from serving.console.elements import note, set_attribute
from serving.console.safe_markdown import marked

if TYPE_CHECKING:
    from prompts.difference import Piece

CONTEXT = 3
"""Unchanged lines that a difference shows around changed ones."""

MAX_SHOWN = 200_000
_LINES = {"+": "is-added", "-": "is-removed", "@": "is-place"}
_TAGS = {"delete": "del", "insert": "ins"}


def show_text(text: str, label: str) -> None:
    _pre(_safe(text[:MAX_SHOWN]), label)
    if len(text) > MAX_SHOWN:
        note(f"The first {MAX_SHOWN:,} of {len(text):,} characters.")


def show_unified(lines: Sequence[str], label: str) -> None:
    """A unified diff, a colour for each kind of line."""
    spans = (f'<span class="lg-line {_kind(line, number)}">{_safe(line)}\n</span>' for number, line in enumerate(lines))
    _pre("".join(spans), label)


def show_pieces(pieces: Iterable[Piece], label: str) -> None:
    """A difference word by word; long stretches without a change are left out."""
    listed = list(pieces)
    last = len(listed) - 1
    parts = [
        _tagged(piece) if piece.op != "equal" else _around(piece.text, first=not place, last=place == last)
        for place, piece in enumerate(listed)
    ]
    _pre("".join(parts), label)


def side_html(pieces: Iterable[Piece], left_out: str) -> str:
    """One side of a difference: without the pieces whose op is ``left_out``."""
    return "".join(
        _tagged(piece) if piece.op != "equal" else _safe(piece.text) for piece in pieces if piece.op != left_out
    )


def show_side(html: str, label: str) -> None:
    """``html`` is of ``side_html``."""
    _pre(html, label, "lg-text is-prose")


def _pre(html: str, label: str, classes: str = "lg-text") -> None:
    block = ui.html(html, tag="pre").classes(classes).props("tabindex=0 role=region")
    set_attribute(block, "aria-label", label)


def _kind(line: str, number: int) -> str:
    if number < 2 and line.startswith(("--- ", "+++ ")):
        return "is-place"
    return _LINES.get(line[:1], "")


def _tagged(piece: Piece) -> str:
    name = _TAGS[piece.op]
    return f"<{name}>{_safe(piece.text)}</{name}>"


def _around(text: str, *, first: bool, last: bool) -> str:
    """The lines of an unchanged stretch that touch a change."""
    lines = text.split("\n")
    head = 0 if first else CONTEXT
    tail = 0 if last else CONTEXT
    hidden = len(lines) - head - tail
    if hidden <= CONTEXT or (first and last):
        return _safe(text)
    gap = f'<span class="lg-gap">{hidden} unchanged lines</span>'
    before, after = "\n".join(lines[:head]), "\n".join(lines[len(lines) - tail :])
    return f"{_safe(before)}{gap}{_safe(after)}"


def _safe(text: str) -> str:
    return escape(marked(text))
