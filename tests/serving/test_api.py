from __future__ import annotations

from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from lockgate.types import Answer
from tests.serving.fakes import ANSWER, FakeBackend

ASK = {"model": "docs", "messages": [{"role": "user", "content": "x"}]}


def test_healthz_is_alive_before_anything_is_ready(client: httpx.Client, backend: FakeBackend) -> None:
    backend.not_ready("index", "model")
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_says_what_is_missing_until_it_answers(client: httpx.Client, backend: FakeBackend) -> None:
    backend.not_ready("the model is loading", indexing=0.25, model_loaded=False)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    body = response.json()
    assert body["missing"] == ["the model is loading"]
    assert body["indexing"] == 0.25
    assert body["model_loaded"] is False
    backend.state = FakeBackend().state
    assert client.get("/readyz").status_code == 200


def test_metrics_count_requests_tokens_and_errors(client: httpx.Client) -> None:
    client.post("/v1/chat/completions", json=ASK)
    client.post("/v1/chat/completions", json=ASK | {"n": 5})
    client.post("/v1/feedback", json={"trace_id": "trace-1", "vote": "up"})
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in (
        'lockgate_requests_total{door="api",outcome="answered"} 1.0',
        'lockgate_tokens_total{kind="prompt"} 11.0',
        'lockgate_tokens_total{kind="completion"} 7.0',
        'lockgate_errors_total{code="unsupported_parameter"} 1.0',
        'lockgate_feedback_total{vote="up"} 1.0',
        "lockgate_in_flight_requests 0.0",
        "lockgate_ready 1.0",
        'lockgate_first_token_seconds_count{door="api"} 1.0',
    ):
        assert line in response.text


def test_feedback_is_stored_with_its_comment(client: httpx.Client, backend: FakeBackend) -> None:
    response = client.post("/v1/feedback", json={"trace_id": "trace-1", "vote": "down", "comment": "Wrong page."})
    assert response.status_code == 200
    assert backend.votes == {"trace-1": ("down", "Wrong page.")}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"trace_id": "nope", "vote": "up"}, 404),
        ({"trace_id": "trace-1", "vote": "sideways"}, 400),
        ({"trace_id": "trace-1"}, 400),
        ({"trace_id": "trace-1", "vote": "up", "stars": 5}, 400),
        ({"trace_id": 1, "vote": "up"}, 400),
    ],
)
def test_wrong_feedback_is_refused(
    client: httpx.Client, backend: FakeBackend, body: dict[str, Any], status: int
) -> None:
    assert client.post("/v1/feedback", json=body).status_code == status
    assert backend.votes == {}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/v1/models/docs", 405),
        ("GET", "/docs", 404),
    ],
)
def test_unknown_paths_and_methods_are_errors_in_openais_shape(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_the_schema_is_published_with_the_bodies(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert "messages" in schema["components"]["schemas"][name]["properties"]
    assert "ChatMessage" in schema["components"]["schemas"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.2", "", "[", "a@b:c"]
)
def test_a_name_that_is_not_this_machines_is_refused(client: httpx.Client, host: str) -> None:
    response = client.get("/healthz", headers={"Host": host})
    assert response.status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_loopback_names_are_served(client: httpx.Client, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback", "/internal/sync"])
def test_a_page_of_another_origin_can_change_nothing(
    client: httpx.Client, backend: FakeBackend, headers: dict[str, str], path: str
) -> None:
    response = client.post(path, json=ASK, headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "cross_origin"
    assert backend.fake.asked == []


def test_the_servers_own_pages_may_ask(client: httpx.Client) -> None:
    origin = str(client.base_url).rstrip("/")
    assert client.post("/v1/chat/completions", json=ASK, headers={"Origin": origin}).status_code == 200


def test_a_websocket_from_another_origin_is_refused(server: str) -> None:
    target = server.replace("http", "ws") + "/_nicegui_ws/socket.io"
    with pytest.raises(InvalidStatus), connect(target, origin=Origin("https://evil.example")):
        pass


def test_answers_carry_headers_that_keep_browsers_from_guessing(client: httpx.Client) -> None:
    for response in (client.get("/healthz"), client.post("/v1/chat/completions", json={})):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


def test_an_abstaining_answer_says_so(client: httpx.Client, backend: FakeBackend) -> None:
    backend.fake.answer = Answer("Not in the documents.", (), True, "extractive", "trace-1", ANSWER.snapshot)
    body = client.post("/v1/chat/completions", json=ASK).json()
    assert body["lockgate"]["abstained"] is True
    assert body["lockgate"]["citations"] == []
