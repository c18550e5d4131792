"""A server over fakes for every test of the API."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from serving.api import create_app
from tests.serving.fakes import FakeBackend, run_server


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
