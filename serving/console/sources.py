"""A source as a card under its answer, and as a dialog with the passage itself."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from lockgate.types import Citation
from serving.console import icons
from serving.console.elements import box, icon_button, set_attribute, words
from serving.console.safe_markdown import render, visible


def source_card(citation: Citation, on_open: Callable[[Citation], None]) -> None:
    card = box("lg-source", "button").props("type=button")
    set_attribute(card, "aria-label", f"Open source {citation.number}: {title_of(citation)}")
    card.on("click", lambda: on_open(citation), args=[])
    with card:
        words(str(citation.number), "lg-number", "span")
        words(title_of(citation), "lg-source-title", "span")
        words(place_of(citation), "lg-source-place", "span")


def open_source(citation: Citation) -> None:
    """The passage as it stands in the document, with where that is."""
    with ui.dialog() as dialog, ui.element("div").classes("lg-dialog") as sheet:
        sheet.props("role=dialog aria-modal=true")
        set_attribute(sheet, "aria-label", f"Source {citation.number}: {title_of(citation)}")
        with box("lg-dialog-head"):
            words(str(citation.number), "lg-number")
            with box("lg-grow"):
                words(title_of(citation), tag="h2")
                words(visible(" › ".join(citation.heading)), "lg-crumbs")
            icon_button(icons.CLOSE, "Close").on("click", dialog.close, args=[])
        # A passage is Markdown: its code, tables and lists are shown as such, by the renderer that trusts nothing.
        ui.html(render(citation.text)).classes("lg-answer lg-passage").props("tabindex=0")
        with box("lg-facts", "dl"):
            for name, value in facts_of(citation):
                words(name, tag="dt")
                words(visible(value), tag="dd")
    # A dialog lives until its page does; closed, nobody needs it.
    dialog.on("hide", dialog.delete, args=[])
    dialog.open()


def title_of(citation: Citation) -> str:
    return visible(citation.title or citation.path)


def place_of(citation: Citation) -> str:
    """The last heading above the passage, or the path of the page."""
    return visible(citation.heading[-1] if citation.heading else citation.path)


def facts_of(citation: Citation) -> list[tuple[str, str]]:
    path = f"{citation.path}#{citation.anchor}" if citation.anchor else citation.path
    facts = [("Path", path), ("Version", citation.version)]
    return [*facts, ("Page", str(citation.page))] if citation.page is not None else facts
