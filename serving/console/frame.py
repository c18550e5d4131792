"""What every page has: the look, the header with the ways between the pages, and an error in place of a page."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nicegui import ui

from lockgate.errors import HTTP_STATUS, LockgateError, NotFound, Unavailable, UserError
from serving.console import icons
from serving.console.elements import box, failure, icon_button, link, set_attribute, words
from serving.console.safe_markdown import marked
from serving.console.state import StatePill
from serving.failures import INTERNAL_MESSAGE
from serving.ports import Backend, Readiness

if TYPE_CHECKING:
    from serving.workbench import Workbench

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLDER = Path(__file__).parent
PAGES = (("Chat", "/"), ("Prompts", "/prompts"), ("Releases", "/releases"))
STATE_SECONDS = 1.0
"""How often a page asks for the state: with the server's own half second, a promotion shows within two."""

AGAIN_SECONDS = 2.0
LOAD_SECONDS = 60.0
"""How long a page may take to be read: git reads a long history once."""


def add_look(*scripts: str) -> None:
    """The style and the scripts of the page being built."""
    for name in ("chat.css", "pages.css"):
        ui.add_head_html(f"<style>{_asset(name)}</style>")
    for name in ("site.js", *scripts):
        ui.add_body_html(f'<script type="module">{_asset(name)}</script>')


def add_header(readiness: Readiness, current: str, more: Callable[[], None] | None = None) -> StatePill:
    """``current`` is the address of the section that the page belongs to, "" for none; ``more`` adds buttons."""
    with box("lg-header", "header"):
        with box("lg-brand"):
            icons.icon(icons.GATE)
            words("Lockgate", tag="span")
        with box("lg-nav", "nav").props("aria-label=Pages"):
            for name, address in PAGES:
                way = link(name, address, "lg-way")
                if address == current:
                    way.props("aria-current=page")
        box("lg-grow")
        state = StatePill(readiness)
        if more is not None:
            more()
        icon_button(icons.THEME, "Light or dark").on("click", js_handler="() => lockgate.toggleTheme()")
    return state


async def show_page(
    backend: Backend, current: str, load: Callable[[Workbench], T], build: Callable[[T], None], *, script: str = ""
) -> None:
    """A page whose content ``load`` reads in a thread and ``build`` then draws; or why there is none, in words."""
    add_look(*([script] if script else []))
    readiness = await asyncio.to_thread(backend.readiness)
    with box("lg-app"):
        state = add_header(readiness, current)
        with box("lg-scroll", "main").props("tabindex=0"), box("lg-column is-wide"):
            try:
                build(await asyncio.to_thread(lambda: load(backend.workbench())))
            except Unavailable as error:
                _wait(error)
            except LockgateError as error:
                show_error(error)
            except Exception:
                log.exception("The console could not build a page.")
                show_error(LockgateError(INTERNAL_MESSAGE))

    async def refresh() -> None:
        state.show(await asyncio.to_thread(backend.readiness))

    ui.timer(STATE_SECONDS, refresh)


def show_error(error: LockgateError) -> None:
    """In place of the page. An address that names nothing is not found, whether or not it could have."""
    missing = isinstance(error, NotFound | UserError)
    ui.context.client.status_code = 404 if missing else HTTP_STATUS.get(error.code, 500)
    with box("lg-page-error"):
        words("Not found" if missing else "This cannot be shown", tag="h1")
        words(marked(error.message), "lg-lines", "p")
        if error.hint:
            words(marked(error.hint), "lg-lines lg-note", "p")
        with box("lg-actions is-left"):
            for name, address in PAGES:
                link(name, address, "lg-button")


def _wait(error: Unavailable) -> None:
    """The server is opening; the page comes by itself when it can."""
    ui.context.client.status_code = HTTP_STATUS[error.code]
    with box("lg-page-error").props("role=status"):
        words("One moment", tag="h1")
        failure(error.message, error.hint)
        words("This page tries again by itself.", "lg-note", "p")
    ui.timer(AGAIN_SECONDS, ui.navigate.reload, once=True)


def title(text: str, *, code: bool = False) -> None:
    heading = words(marked(text), "lg-title lg-code" if code else "lg-title", "h1")
    set_attribute(heading, "dir", "auto")


@functools.cache
def _asset(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
