"""Every page of the console, by its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from nicegui import ui

from lockgate.errors import NotFound
from serving.console import channel_page, icons, prompt_editor, prompt_page, prompts_page, release_page, releases_page
from serving.console.frame import LOAD_SECONDS, show_page
from serving.console.page import ChatPage
from serving.metrics import Metrics
from serving.ports import Backend

if TYPE_CHECKING:
    from serving.workbench import Workbench

RECONNECT_SECONDS = 20.0
"""Loading a model can keep the process busy for seconds; a page must not be forgotten for that."""


def mount_console(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """Put the console at ``/``. NiceGUI takes every path that no route before it took."""
    _add_chat(backend, metrics)
    _add_releases(backend)
    _add_prompts(backend)

    async def unknown() -> None:
        await show_page(backend, "", _nothing, lambda _: None)

    ui.run_with(
        app,
        root=unknown,
        title="Lockgate",
        favicon=icons.FAVICON,
        dark=None,
        language="en-US",
        reconnect_timeout=RECONNECT_SECONDS,
        binding_refresh_interval=None,
        tailwind=False,
        show_welcome_message=False,
    )


def _add_chat(backend: Backend, metrics: Metrics) -> None:
    @ui.page("/", title="Lockgate")
    def chat() -> None:
        ChatPage(backend, metrics).build()


def _add_releases(backend: Backend) -> None:
    @ui.page("/releases", title="Releases · Lockgate", response_timeout=LOAD_SECONDS)
    async def releases() -> None:
        await releases_page.show(backend)

    @ui.page("/releases/{release}", title="Release · Lockgate", response_timeout=LOAD_SECONDS)
    async def release_details(release: str) -> None:
        await release_page.show(backend, release)

    @ui.page("/releases/{before}/diff/{after}", title="Comparison · Lockgate", response_timeout=LOAD_SECONDS)
    async def comparison(before: str, after: str) -> None:
        await release_page.show_comparison(backend, before, after)

    @ui.page("/channels/{chain}/{channel}", title="Channel · Lockgate", response_timeout=LOAD_SECONDS)
    async def channel_history(chain: str, channel: str) -> None:
        await channel_page.show(backend, chain, channel)


def _add_prompts(backend: Backend) -> None:
    @ui.page("/prompts", title="Prompts · Lockgate", response_timeout=LOAD_SECONDS)
    async def prompts() -> None:
        await prompts_page.show(backend)

    @ui.page("/prompts/{name}", title="Prompt · Lockgate", response_timeout=LOAD_SECONDS)
    async def prompt_details(name: str, a: str = "", b: str = "") -> None:
        await prompt_page.show(backend, name, a, b)

    @ui.page("/prompts/{name}/edit", title="Edit a prompt · Lockgate", response_timeout=LOAD_SECONDS)
    async def edit(name: str, file: str = "") -> None:
        await prompt_editor.show(backend, name, file)


def _nothing(_bench: Workbench) -> None:
    raise NotFound("There is no page at this address.", hint="The pages of the console are these:")
