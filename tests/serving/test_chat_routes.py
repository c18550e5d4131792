from __future__ import annotations

import dataclasses
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from lockgate.errors import PolicyRefused, Unavailable
from lockgate.types import Message
from tests.serving.fakes import ANSWER, FakeBackend, wait_for

QUESTION: dict[str, Any] = {"model": "docs", "messages": [{"role": "user", "content": "How do I rotate a key?"}]}


@pytest.fixture
def chat(server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server}/v1", api_key="x", max_retries=0)


def stream_events(client: httpx.Client, **changes: Any) -> list[str]:
    with client.stream("POST", "/v1/chat/completions", json=QUESTION | {"stream": True} | changes) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        return [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]


def test_the_openai_client_gets_an_answer_with_its_citations(chat: openai.OpenAI, backend: FakeBackend) -> None:
    completion = chat.chat.completions.create(**QUESTION)
    assert completion.choices[0].message.content == ANSWER.text
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 18
    assert completion.model_extra is not None
    account = completion.model_extra["lockgate"]
    assert account["trace_id"] == "trace-1"
    assert account["abstained"] is False
    assert account["citations"] == [
        {
            "number": 1,
            "title": "Keys",
            "source": "docs",
            "path": "guides/keys.md",
            "heading": ["Rotation", "By hand"],
            "version": "abc123",
            "anchor": "by-hand",
            "page": None,
            "chunk_id": "c1",
            "text": "Rotate a key with `lockgate keys rotate`.",
        }
    ]
    assert backend.fake.asked[0].question == "How do I rotate a key?"
    assert backend.fake.asked[0].origin == "api"


def test_the_openai_client_streams_with_usage_and_the_account_in_the_last_chunk(chat: openai.OpenAI) -> None:
    chunks = list(chat.chat.completions.create(**QUESTION, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == ANSWER.text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["lockgate"]["citations"][0]["number"] == 1
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_the_async_openai_client_works_too(server: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="x", max_retries=0) as chat:
        stream = await chat.chat.completions.create(**QUESTION, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == ANSWER.text
        assert (await chat.models.retrieve("docs")).id == "docs"


def test_the_openai_client_lists_models_and_gets_one_of_them(chat: openai.OpenAI) -> None:
    assert [model.id for model in chat.models.list()] == ["docs", "production", "docs@production"]
    assert chat.models.retrieve("docs").owned_by == "lockgate"
    assert httpx.get(f"{chat.base_url}models/docs@production", trust_env=False).json()["id"] == "docs@production"
    with pytest.raises(openai.NotFoundError) as raised:
        chat.models.retrieve("gpt-9")
    assert raised.value.code == "model_not_found"
    assert "docs" in raised.value.message


def test_a_stream_ends_with_done_after_the_account(client: httpx.Client) -> None:
    *chunks, done = stream_events(client)
    assert done == "[DONE]"
    last = json.loads(chunks[-1])
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["lockgate"]["snapshot"] == "snap-1"
    assert all("lockgate" not in json.loads(chunk) for chunk in chunks[:-1])
    assert len({json.loads(chunk)["id"] for chunk in chunks}) == 1


def test_standard_parameters_that_have_no_effect_are_accepted(chat: openai.OpenAI, backend: FakeBackend) -> None:
    chat.chat.completions.create(
        **QUESTION,
        top_p=0.5,
        presence_penalty=0.1,
        frequency_penalty=0,
        user="me",
        n=1,
        logit_bias={},
        response_format={"type": "text"},
        temperature=0.2,
        max_tokens=50,
        seed=4,
        stop=["END"],
        extra_body={"lockgate": {"mode": "generative"}, "something_new": 1},
    )
    asked = backend.fake.asked[0]
    assert (asked.temperature, asked.max_tokens, asked.seed, asked.stop) == (0.2, 50, 4, ("END",))
    assert asked.mode == "generative"


def test_history_and_text_parts_reach_the_chain_and_system_messages_do_not(
    client: httpx.Client, backend: FakeBackend
) -> None:
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi", "name": "x"},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two?"}]},
    ]
    assert client.post("/v1/chat/completions", json=QUESTION | {"messages": messages}).status_code == 200
    asked = backend.fake.asked[0]
    assert asked.question == "One\ntwo?"
    assert asked.history == (Message("user", "Hello"), Message("assistant", "Hi"))


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 4}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "assistant", "content": "y"}]}, "messages[1].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
        ),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_tokens": 10**40}, "max_tokens"),
        ({"max_tokens": "x"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"seed": 2**70}, "seed"),
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"lockgate": {"mode": "wild"}}, "lockgate.mode"),
        ({"lockgate": {"mood": "x"}}, "lockgate.mood"),
    ],
)
def test_wrong_values_are_refused_by_name(client: httpx.Client, changes: dict[str, Any], param: str) -> None:
    response = client.post("/v1/chat/completions", json=QUESTION | changes)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}


def test_a_missing_parameter_is_named(client: httpx.Client) -> None:
    for key in QUESTION:
        body = {k: v for k, v in QUESTION.items() if k != key}
        assert client.post("/v1/chat/completions", json=body).json()["error"]["param"] == key


def test_an_unknown_model_is_404(chat: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        chat.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "x"}])
    assert raised.value.param == "model"


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"\xff\xfe{}", "application/json", 400, "invalid_json"),
        (b'{"model": "\xc3\x28"}', "application/json", 400, "invalid_json"),
        (b'{"model": "docs", "messages": [{"role": "user", "content": "\\ud800"}]}', "application/json", 400, None),
        (b"[" * 50_000, "application/json", 400, "invalid_json"),
        (b'{"model":' * 20_000, "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_input"),
        (b'"text"', "application/json", 400, "invalid_input"),
        (b'{"model": "docs", "temperature": NaN}', "application/json", 400, None),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
def test_bodies_that_are_not_json_are_refused(
    client: httpx.Client, body: bytes, kind: str, status: int, code: str | None
) -> None:
    response = client.post("/v1/chat/completions", content=body, headers={"Content-Type": kind})
    assert response.status_code == status
    assert code is None or response.json()["error"]["code"] == code


@pytest.mark.parametrize("chunked", [False, True])
def test_a_megabyte_of_text_is_413_and_the_server_goes_on(client: httpx.Client, chunked: bool) -> None:
    body = json.dumps(QUESTION | {"messages": [{"role": "user", "content": "x" * 1_000_000}]}).encode()
    content: Any = (body[i : i + 65536] for i in range(0, len(body), 65536)) if chunked else body
    response = client.post("/v1/chat/completions", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"
    assert client.post("/v1/chat/completions", json=QUESTION).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_queue_is_503_with_retry_after(client: httpx.Client, backend: FakeBackend, stream: bool) -> None:
    backend.fake.error = Unavailable("8 requests wait already.", retry_after=7)
    response = client.post("/v1/chat/completions", json=QUESTION | {"stream": stream})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert response.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_the_policy_is_400_with_its_words(chat: openai.OpenAI, backend: FakeBackend, stream: bool) -> None:
    backend.fake.error = PolicyRefused("Your question is too long.")
    with pytest.raises(openai.BadRequestError, match="too long") as raised:
        chat.chat.completions.create(**QUESTION, stream=stream)
    assert raised.value.code == "policy_refused"


def test_an_unexpected_failure_says_nothing_of_its_insides(client: httpx.Client, backend: FakeBackend) -> None:
    backend.fake.error = RuntimeError("password=hunter2")
    response = client.post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 500
    assert "hunter2" not in response.text
    assert response.json()["error"]["code"] == "internal"


@pytest.mark.parametrize("error", [Unavailable("The model left."), RuntimeError("hunter2")])
def test_a_failure_midway_is_an_error_event_and_no_done(
    client: httpx.Client, backend: FakeBackend, error: Exception
) -> None:
    backend.fake.error, backend.fake.fail_after = error, 2
    events = stream_events(client)
    assert events[-1] != "[DONE]"
    assert "hunter2" not in events[-1]
    assert json.loads(events[-1])["error"]["code"] in ("unavailable", "internal")


def test_the_openai_client_raises_on_a_failure_midway(chat: openai.OpenAI, backend: FakeBackend) -> None:
    backend.fake.error, backend.fake.fail_after = Unavailable("The model left."), 2
    with pytest.raises(openai.APIError, match="The model left"):
        list(chat.chat.completions.create(**QUESTION, stream=True))


def test_an_answer_that_finished_by_length_says_so(chat: openai.OpenAI, backend: FakeBackend) -> None:
    backend.fake.answer = dataclasses.replace(ANSWER, finish_reason="length")
    assert chat.chat.completions.create(**QUESTION).choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_closes_the_chain(server: str, backend: FakeBackend, stream: bool) -> None:
    backend.fake.endless, backend.fake.delay = True, 0.02
    host, port = server.removeprefix("http://").split(":")
    body = json.dumps(QUESTION | {"stream": stream}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(head.encode() + body)
        if stream:
            assert raw.recv(4096).startswith(b"HTTP/1.1 200")
        assert wait_for(lambda: len(backend.fake.asked) == 1)
        assert backend.fake.closed == 0
    assert wait_for(lambda: backend.fake.closed == 1)


def test_a_client_that_reads_slowly_makes_the_chain_wait_and_leaving_still_closes_it(
    server: str, backend: FakeBackend
) -> None:
    backend.fake.endless = True
    with (
        httpx.Client(base_url=server, trust_env=False) as client,
        client.stream("POST", "/v1/chat/completions", json=QUESTION | {"stream": True}) as response,
    ):
        pieces = response.iter_raw()
        next(pieces)
        time.sleep(0.3)
        assert backend.fake.closed == 0
    assert wait_for(lambda: backend.fake.closed == 1)


def test_a_silent_chain_is_pinged_and_the_openai_client_reads_on(
    chat: openai.OpenAI, client: httpx.Client, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.chat_routes.PING_SECONDS", 0.05)
    backend.fake.delay = 0.12
    with client.stream("POST", "/v1/chat/completions", json=QUESTION | {"stream": True}) as response:
        assert ": still working" in list(response.iter_lines())
    chunks = list(chat.chat.completions.create(**QUESTION, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == ANSWER.text


def test_twenty_parallel_streams_all_finish(server: str, backend: FakeBackend) -> None:
    backend.fake.delay = 0.01

    def ask(_: int) -> str:
        with httpx.Client(base_url=server, trust_env=False, timeout=20) as client:
            return stream_events(client)[-1]

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(ask, range(20))) == ["[DONE]"] * 20
    assert backend.fake.closed == 20
