"""A server over fakes for every test of the API, and one with the console in a real browser."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from serving.api import create_app
from tests.serving.fakes import FakeBackend, run_server

CHROMIUM = Path("/usr/bin/chromium")
SWITCHES = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def server(backend: FakeBackend) -> Iterator[str]:
    with run_server(create_app(backend)) as address:
        yield address


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def served_console() -> Iterator[tuple[str, FakeBackend]]:
    """NiceGUI keeps one console a process: every test uses this one, over a backend made new."""
    backend = FakeBackend()
    with run_server(create_app(backend, console=True)) as address:
        yield address, backend


@pytest.fixture
def console(served_console: tuple[str, FakeBackend]) -> tuple[str, FakeBackend]:
    address, backend = served_console
    fresh = FakeBackend()
    for field in dataclasses.fields(fresh):
        setattr(backend, field.name, getattr(fresh, field.name))
    return address, backend


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One a module: while it is open, its event loop keeps asynchronous tests from running in this thread."""
    if not CHROMIUM.exists():
        pytest.skip("apt-get install chromium")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        yield browser
        browser.close()
