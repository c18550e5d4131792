"""The few kinds of element that the page is made of: native HTML, named for people who do not see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from serving.console.icons import icon


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
