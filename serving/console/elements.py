"""The few kinds of element that the pages are made of: native HTML, named for people who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from serving.console import icons
from serving.console.icons import icon
from serving.console.safe_markdown import marked

SHORT = 12
"""Characters of an id that are shown; the whole one is in the title."""


def box(classes: str, tag: str = "div") -> Element:
    return ui.element(tag).classes(classes)


def words(text: str, classes: str = "", tag: str = "div") -> TextElement:
    """Plain text; whatever it holds is shown, never interpreted."""
    return TextElement(tag=tag, text=text).classes(classes)


def set_attribute(element: Element, name: str, value: str) -> None:
    """An attribute whose value may hold anything (``props`` parses its text)."""
    if element.props.get(name) != value:
        element.props[name] = value
        element.update()


def icon_button(drawing: str, label: str, classes: str = "lg-icon") -> Element:
    button = box(classes, "button").props("type=button")
    set_attribute(button, "aria-label", label)
    set_attribute(button, "title", label)
    with button:
        icon(drawing)
    return button


def text_button(label: str, on_click: Callable[..., Any], classes: str = "lg-button") -> Element:
    return words(label, classes, "button").props("type=button").on("click", on_click, args=[])


def path_to(*parts: str) -> str:
    """An address within the console; every part is quoted, so that none can lead elsewhere."""
    return "/" + "/".join(quote(part, safe="@") for part in parts)


def link(text: str, address: str, classes: str = "lg-anchor") -> TextElement:
    """A link to ``address``, one of ``path_to``."""
    anchor = words(text, classes, "a")
    set_attribute(anchor, "href", address)
    return anchor


def release_link(release: str) -> None:
    anchor = link(release[:SHORT], path_to("releases", release), "lg-anchor lg-code")
    set_attribute(anchor, "title", f"Release {release}")


def tag(text: str, mood: str = "") -> None:
    """A small label; ``mood`` is is-good, is-warn, is-bad or nothing."""
    words(marked(text), f"lg-tag {mood}".strip(), "span")


def forced_tag() -> None:
    tag("FORCED past its gate", "is-bad")


def note(text: str, classes: str = "lg-note") -> None:
    words(marked(text), classes, "p")


def warning(text: str) -> None:
    words(marked(text), "lg-warning", "p").props("role=note")


def failure(message: str, hint: str = "") -> None:
    with box("lg-error").props("role=alert"):
        words(marked(message), "lg-lines")
        if hint:
            words(marked(hint), "lg-lines")


def moment(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time else "unknown"


def facts(rows: Iterable[tuple[str, str]]) -> None:
    with box("lg-facts", "dl"):
        for name, value in rows:
            words(name, tag="dt")
            words(marked(value), tag="dd")


def table(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> None:
    """Text cells; the columns ``numbers`` stand to the right. Scrolls on its own where it is wider than the page."""
    region = box("lg-table").props("role=region tabindex=0")
    set_attribute(region, "aria-label", label)
    with region, box("", "table"):
        with box("", "thead"), box("", "tr"):
            for place, head in enumerate(heads):
                words(head, "is-number" if place in numbers else "", "th").props("scope=col")
        with box("", "tbody"):
            for row in rows:
                with box("", "tr"):
                    for place, cell in enumerate(row):
                        words(marked(cell), "is-number" if place in numbers else "", "td")


def command(text: str) -> None:
    """A command to copy."""
    with box("lg-command"):
        words(text, tag="code")
        icon_button(icons.COPY, "Copy the command").on("click", js_handler="(event) => lockgate.copy(event)")


def select(label: str, options: Sequence[tuple[str, str]], chosen: str, on_change: Callable[[str], Any]) -> Element:
    """A native choice of (value, text). ``on_change`` gets one of the values."""

    def changed(event: object) -> Any:
        value = getattr(event, "args", None)
        if isinstance(value, str) and any(value == known for known, _ in options):
            return on_change(value)
        return None

    field = box("lg-select", "select")
    set_attribute(field, "aria-label", label)
    with field:
        for value, text in options:
            option = words(marked(text), tag="option")
            set_attribute(option, "value", value)
            if value == chosen:
                option.props("selected")
    return field.on("change", changed, js_handler="(event) => emit(event.target.value)")
