"""The internal routes and lockgate.remote, each tested through the other."""

from __future__ import annotations

import threading
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from lockgate.errors import Conflict, PolicyRefused, Unavailable
from lockgate.owner import ServerHandle
from lockgate.remote import RemoteAsker, RemoteRetriever, remote_status, remote_sync
from lockgate.types import AskRequest, Finished, Message, Token
from tests.serving.fakes import ANSWER, FakeBackend, wait_for

REQUEST = AskRequest("How?", history=(Message("user", "Hi"),), origin="cli", mode="extractive")


@pytest.fixture
def handle(server: str, backend: FakeBackend) -> ServerHandle:
    return ServerHandle(server, backend.token, 1, "lockgate serve")


async def test_asking_through_the_server_gives_the_same_events(handle: ServerHandle, backend: FakeBackend) -> None:
    events = [event async for event in RemoteAsker(handle).ask(REQUEST)]
    assert "".join(event.text for event in events if isinstance(event, Token)) == ANSWER.text
    assert events[-1] == Finished(ANSWER)
    assert backend.fake.asked == [REQUEST]


async def test_an_error_arrives_as_its_branch(handle: ServerHandle, backend: FakeBackend) -> None:
    backend.fake.error = PolicyRefused("Too long.")
    with pytest.raises(PolicyRefused, match="Too long"):
        async for _ in RemoteAsker(handle).ask(REQUEST):
            pass


async def test_closing_the_iterator_closes_the_chain_in_the_server(handle: ServerHandle, backend: FakeBackend) -> None:
    backend.fake.endless, backend.fake.delay = True, 0.02
    async with aclosing(RemoteAsker(handle).ask(REQUEST)) as events:  # type: ignore[type-var]
        assert isinstance(await anext(events), Token)
    assert wait_for(lambda: backend.fake.closed == 1)


async def test_no_server_is_unavailable(backend: FakeBackend) -> None:
    gone = ServerHandle("http://127.0.0.1:9", backend.token, 4711, "lockgate serve")
    with pytest.raises(Unavailable, match="4711"):
        async for _ in RemoteAsker(gone).ask(REQUEST):
            pass


def test_retrieving_through_the_server_gives_the_same_passages(handle: ServerHandle, backend: FakeBackend) -> None:
    assert RemoteRetriever(handle).retrieve("q", limit=2) == backend.retrieve("q", limit=2)


def test_a_sync_through_the_server_reports_progress(handle: ServerHandle) -> None:
    seen: list[tuple[str, int, int]] = []
    report = remote_sync(handle, "/some/docs", lambda *step: seen.append(step))
    assert report == {"source": "/some/docs", "added": 3}
    assert seen == [("scan", 1, 2), ("embed", 2, 2)]


def test_a_sync_that_fails_raises_what_it_raised(handle: ServerHandle, backend: FakeBackend) -> None:
    backend.sync_error = Conflict("A sync is running.")
    with pytest.raises(Conflict, match="is running"):
        remote_sync(handle, "docs")


def test_a_sync_that_breaks_tells_nothing_of_its_insides(handle: ServerHandle, backend: FakeBackend) -> None:
    backend.sync_error = RuntimeError("hunter2")
    with pytest.raises(Exception, match="log has the details") as raised:
        remote_sync(handle, "docs")
    assert "hunter2" not in str(raised.value)


def test_a_long_sync_is_pinged(handle: ServerHandle, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.internal_routes.PING_SECONDS", 0.02)
    waiting = threading.Event()

    def sync(source: str, progress: Any) -> object:
        waiting.wait(0.3)
        return {"source": source}

    monkeypatch.setattr(backend, "sync", sync)
    with httpx.stream(
        "POST",
        f"{handle.url}/internal/sync",
        json={"source": "docs"},
        headers={"Authorization": f"Bearer {handle.token}"},
        trust_env=False,
    ) as response:
        lines = list(response.iter_lines())
    assert '{"type":"ping"}' in lines
    assert lines[-1].startswith('{"type":"report"')


def test_status_says_what_readyz_says(handle: ServerHandle) -> None:
    status = remote_status(handle)
    assert status["ready"] is True
    assert status["snapshot"] == "snap-1"


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", "Basic secret-token", "secret-token", "Bearer \u00e9"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "ask"), ("POST", "sync"), ("POST", "retrieve"), ("GET", "status")],
)
def test_nothing_internal_without_the_token(client: httpx.Client, method: str, path: str, token: str) -> None:
    headers = [(b"Authorization", token.encode())] if token else []
    response = client.request(method, f"/internal/{path}", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("ask", {"question": 1}),
        ("ask", {"question": "x", "extra": 1}),
        ("retrieve", {"question": "x", "limit": 0}),
        ("retrieve", {"question": "x", "limit": 10**9}),
        ("retrieve", {"question": "x"}),
        ("sync", {}),
        ("sync", {"source": ["docs"]}),
    ],
)
def test_internal_routes_refuse_wrong_bodies(handle: ServerHandle, path: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {handle.token}"}
    response = httpx.post(f"{handle.url}/internal/{path}", json=body, headers=headers, trust_env=False)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_input"


def test_internal_routes_are_not_in_the_published_schema(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()
    assert not any(path.startswith("/internal") for path in schema["paths"])
