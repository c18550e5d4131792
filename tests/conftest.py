"""What every test gets: no network but loopback, no hub, no settings of whoever runs it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="true", NO_COLOR="1")

_FOREIGN_SETTINGS = ("QDRANT_URL", "QDRANT_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in _FOREIGN_SETTINGS or (name.startswith("LOCKGATE_") and name != "LOCKGATE_SHARED_DATA"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that reaches beyond loopback fails, and says where it wanted to go."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to reach {address!r}; only loopback is allowed")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def models_path() -> Path:
    """Where the two default models lie; `make test` fetches them first."""
    from lockgate.models.catalogue import load_catalogue
    from lockgate.models.fetch import local_path
    from lockgate.settings import Settings

    settings = Settings(_env_file=None)
    try:
        for name in ("all-minilm-l6-v2", "smollm2-135m-instruct"):
            local_path(load_catalogue(Path()).get(name), settings.models_path)
    except Exception as error:
        pytest.skip(f"needs the default models: make models ({error})")
    return settings.models_path
