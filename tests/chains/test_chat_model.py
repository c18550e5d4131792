"""A model behind OPENAI_BASE_URL: what it says, what it is asked, and every way in which it fails."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from chains.chat_model import LocalChatModel, probe_server, server_model, shown_address, stream_text
from lockgate.errors import LockgateError, Unavailable, UserError
from lockgate.settings import Settings
from lockgate.types import Message
from tests.chains.fakes import ScriptedGenerator
from tests.chains.model_server import ModelServer, free_port, run_model_server


def say(url: str, tmp_path: Path, said: list[str] | None = None) -> list[str]:
    settings = Settings(project=tmp_path, OPENAI_BASE_URL=url, _env_file=None)
    said = [] if said is None else said

    async def collect() -> None:
        model = server_model(settings, "tiny")
        messages = [Message("system", "Be short."), Message("user", "How?")]
        async for piece in stream_text(model, messages, max_tokens=9, temperature=0.5, stop=("END",), seed=7):
            said.append(piece)

    asyncio.run(collect())
    return said


def test_the_words_of_a_server_stream_as_they_come(tmp_path: Path) -> None:
    with run_model_server(ModelServer()) as server:
        assert say(server.url, tmp_path) == ["Rotate ", "it."]
    assert server.paths == ["/v1/chat/completions"]
    [asked] = server.asked
    assert asked["messages"] == [{"role": "system", "content": "Be short."}, {"role": "user", "content": "How?"}]
    assert (asked["model"], asked["stream"], asked["temperature"]) == ("tiny", True, 0.5)
    assert (asked["stop"], asked["seed"]) == (["END"], 7)
    assert 9 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))


@pytest.mark.parametrize(
    ("server", "error"),
    [
        (ModelServer(status=500), Unavailable),
        (ModelServer(status=429), Unavailable),
        (ModelServer(status=401), Unavailable),
        (ModelServer(status=400), UserError),
        (ModelServer(status=404), UserError),
        (ModelServer(garbage=b"data: {not json\n\n"), Unavailable),
        (ModelServer(garbage=b"<html>It works!</html>"), Unavailable),
        (ModelServer(garbage=b"data: [1, 2]\n\n"), Unavailable),
    ],
    ids=str,
)
def test_a_server_that_fails_is_told_as_what_it_is(
    tmp_path: Path, server: ModelServer, error: type[LockgateError]
) -> None:
    with run_model_server(server), pytest.raises(error, match="OPENAI_BASE_URL"):
        say(server.url, tmp_path)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_server_that_hangs_up_midway_is_unavailable(tmp_path: Path, chunked: bool) -> None:
    said: list[str] = []
    with (
        run_model_server(ModelServer(hangs_up=True, chunked=chunked)) as server,
        pytest.raises(Unavailable, match="OPENAI_BASE_URL"),
    ):
        say(server.url, tmp_path, said)
    assert said == ["Rotate ", "it."]


def test_a_model_in_this_process_ends_its_answer(tmp_path: Path) -> None:
    async def collect() -> list[str]:
        model = LocalChatModel(generator=ScriptedGenerator(["Rotate ", "it."]))
        pieces = stream_text(model, [Message("user", "How?")], max_tokens=9, temperature=0.0, stop=(), seed=None)
        return [piece async for piece in pieces]

    assert asyncio.run(collect()) == ["Rotate ", "it."]


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, True), (401, False), (500, False)])
def test_a_probe_asks_only_whether_the_server_answers(tmp_path: Path, status: int, answers: bool) -> None:
    with run_model_server(ModelServer(status=status)) as server:
        settings = Settings(project=tmp_path, OPENAI_BASE_URL=server.url, _env_file=None)
        with contextlib.nullcontext() if answers else pytest.raises(Unavailable, match=str(status)):
            probe_server(settings)
    assert server.paths == ["/v1/models"]


def test_an_address_is_shown_without_its_password() -> None:
    assert shown_address("https://user:secret@models.example:8443/v1") == "https://models.example:8443/v1"


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the model server failed"):
        say(f"http://127.0.0.1:{free_port()}/v1", tmp_path)
