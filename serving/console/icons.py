"""The icons, drawn for this page: lines of one weight, in the colour of the text around them."""

from __future__ import annotations

from nicegui import ui


def _lines(path: str) -> str:
    return (
        '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" '
        f'stroke-linejoin="round" aria-hidden="true" focusable="false">{path}</svg>'
    )


# A mitre gate seen from above: two leaves that close against the water.
GATE = _lines('<path d="M4 4v16M20 4v16M4 8l8 4 8-4M4 13l8 4 8-4"/>')
SEND = _lines('<path d="M12 19V5M6 11l6-6 6 6"/>')
STOP = _lines('<rect x="7" y="7" width="10" height="10" rx="1.5" fill="currentColor"/>')
NEW = _lines('<path d="M12 5v14M5 12h14"/>')
THEME = _lines('<circle cx="12" cy="12" r="8.5"/><path d="M12 3.5v17a8.5 8.5 0 0 0 0-17z" fill="currentColor"/>')
UP = _lines(
    '<path d="M7 11v9H4v-9zM7 11l4-7c1.500 0 2.500 1 2.500 2.500V10H18a2 2 0 0 1 2 2.300l-1 6a2 2 0 0 1-2 1.700H7"/>'
)
DOWN = _lines(
    '<path d="M17 13V4h3v9zM17 13l-4 7c-1.500 0-2.500-1-2.500-2.500V14H6a2 2 0 0 1-2-2.300l1-6A2 2 0 0 1 7 4h10"/>'
)
CLOSE = _lines('<path d="M6 6l12 12M18 6L6 18"/>')
COPY = _lines(
    '<rect x="9" y="9" width="11" height="11" rx="2"/>'
    '<path d="M15 9V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h3"/>'
)
ABSENT = _lines('<circle cx="11" cy="11" r="6.500"/><path d="M16 16l4.500 4.500M8.500 11h5"/>')

FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#0b6b57"/>'
    '<path d="M6 5v14M18 5v14M6 9l6 3 6-3M6 13l6 3 6-3" fill="none" stroke="#fff" stroke-width="1.800" '
    'stroke-linecap="round" stroke-linejoin="round"/></svg>'
)


def icon(drawing: str) -> None:
    """Put ``drawing``, one of the constants above, here."""
    ui.html(drawing, sanitize=False, tag="span").classes("lg-svg")
