from __future__ import annotations

import contextlib
import dataclasses
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lockgate.errors import Conflict
from lockgate.settings import Settings
from serving.server import _start, address_of, announce_readiness, listen
from tests.serving.fakes import FakeBackend


def settings(**changes: object) -> Settings:
    return Settings(_env_file=None, **changes)  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_named_with_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"{port} is in use.*--port"), listen(settings(port=port)):
            pass


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://localhost:8000"),
        ("localhost", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_the_address_is_one_to_type_into_a_browser(host: str, address: str) -> None:
    assert address_of(settings(host=host)) == address


def test_each_thing_that_is_waited_for_is_said_once_and_then_that_it_is_ready() -> None:
    backend = FakeBackend()
    backend.not_ready("opening the index", "loading the model")
    said: list[str] = []
    rounds = iter(range(100))

    def stopped() -> bool:
        if next(rounds) == 3:
            backend.state = FakeBackend().state
        return False

    announce_readiness(backend, "http://localhost:8000", said.append, stopped=stopped)
    assert said == [
        "waiting: opening the index",
        "waiting: loading the model",
        "Lockgate is ready: http://localhost:8000",
    ]


def test_what_takes_long_is_said_again_with_the_seconds() -> None:
    backend = FakeBackend()
    backend.not_ready("loading the model")
    said: list[str] = []
    announce_readiness(backend, "x", said.append, stopped=lambda: len(said) == 3, every=0.01)
    assert said == ["waiting: loading the model", "waiting: loading the model, 0 s", "waiting: loading the model, 0 s"]


def test_a_sync_that_shows_its_progress_is_not_talked_over() -> None:
    backend = FakeBackend()
    backend.not_ready("indexing", indexing=0.1)
    said: list[str] = []
    rounds = iter([False, False, False, True])
    announce_readiness(backend, "x", said.append, stopped=lambda: next(rounds), every=0.01)
    assert said == ["waiting: indexing"]


def test_indexing_that_outlasts_the_start_is_told_when_it_is_done() -> None:
    backend = FakeBackend()
    backend.state = dataclasses.replace(backend.state, indexing=0.5)
    said: list[str] = []
    rounds = iter(range(100))

    def stopped() -> bool:
        if next(rounds) == 3:
            backend.state = dataclasses.replace(backend.state, indexing=None)
        return False

    announce_readiness(backend, "http://localhost:8000", said.append, stopped=stopped)
    assert said == [
        "Lockgate is ready: http://localhost:8000 (still indexing, 50 %)",
        "Indexed: 3 pages, 12 passages.",
    ]


def test_a_server_that_stops_is_not_announced() -> None:
    backend = FakeBackend()
    said: list[str] = []
    announce_readiness(backend, "x", said.append, stopped=lambda: True)
    assert said == []


@pytest.mark.parametrize("started", [True, False])
def test_a_server_that_stops_has_its_syncs_stopped_before_it_waits_for_them(started: bool) -> None:
    stopped: list[bool] = []
    server: Any = SimpleNamespace(started=started, should_exit=not started)

    def start(**_: object) -> None:
        server.should_exit = True

    application: Any = SimpleNamespace(start=start, stop=lambda: stopped.append(server.should_exit))
    _start(server, application, settings(), lambda _line: None, contextlib.nullcontext, None)  # type: ignore[arg-type]
    assert stopped == [True]


def test_listening_frees_the_port_again(tmp_path: Path) -> None:
    with listen(settings(port=18432)):
        pass
    with listen(settings(port=18432)):
        pass
