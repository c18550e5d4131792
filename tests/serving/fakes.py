"""A backend of about twenty honest lines per part, and a real server around it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import uvicorn
from fastapi import FastAPI

from lockgate.errors import NotFound, Unavailable
from lockgate.ports import Progress
from lockgate.types import (
    Answer,
    AnswerEvent,
    AskRequest,
    Chunk,
    Citation,
    Finished,
    Passage,
    Retrieval,
    Token,
    Usage,
)
from serving.ports import Readiness, Vote
from serving.workbench import Workbench

CITATION = Citation(
    number=1,
    chunk_id="c1",
    source="docs",
    path="guides/keys.md",
    title="Keys",
    heading=("Rotation", "By hand"),
    version="abc123",
    text="Rotate a key with `lockgate keys rotate`.",
    anchor="by-hand",
)

ANSWER = Answer(
    text="Rotate it by hand [1].",
    citations=(CITATION,),
    abstained=False,
    mode="extractive",
    trace_id="trace-1",
    snapshot="snap-1",
    usage=Usage(prompt_tokens=11, completion_tokens=7),
)


@dataclass
class FakeAsker:
    """Yields the answer word by word; fails, waits or never ends where told to."""

    answer: Answer = ANSWER
    error: Exception | None = None
    fail_after: int = 0
    delay: float = 0.0
    endless: bool = False
    asked: list[AskRequest] = field(default_factory=list)
    closed: int = 0

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        self.asked.append(request)
        try:
            for number, piece in enumerate(self._pieces()):
                if self.error is not None and number >= self.fail_after:
                    raise self.error
                await asyncio.sleep(self.delay)
                yield Token(piece)
            yield Finished(self.answer)
        finally:
            self.closed += 1

    def _pieces(self) -> Iterator[str]:
        yield from self.answer.text.splitlines(keepends=True) if "\n" in self.answer.text else _words(self.answer.text)
        while self.endless:
            yield "more "


def _words(text: str) -> Sequence[str]:
    return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:]


@dataclass
class FakeBackend:
    """serving.ports.Backend over a FakeAsker."""

    fake: FakeAsker = field(default_factory=FakeAsker)
    state: Readiness = field(
        default_factory=lambda: Readiness(
            ready=True,
            snapshot="snap-1",
            kind="hybrid",
            documents=3,
            chunks=12,
            model="tiny",
            model_loaded=True,
            release="e" * 64,
            channel="staging",
        )
    )
    token: str = "secret-token"
    votes: dict[str, tuple[Vote, str]] = field(default_factory=dict)
    traces: set[str] = field(default_factory=lambda: {"trace-1"})
    sync_error: Exception | None = None
    asked_models: list[str | None] = field(default_factory=list)
    bench: Workbench | None = None

    def models(self) -> tuple[str, ...]:
        return ("docs", "production", "docs@production")

    def asker(self, model: str | None = None) -> FakeAsker:
        if model is not None and model not in self.models():
            raise NotFound(f"The model {model!r} does not exist. Models: {', '.join(self.models())}.")
        self.asked_models.append(model)
        return self.fake

    def retriever(self, model: str | None = None) -> FakeBackend:
        self.asked_models.append(model)
        return self

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        chunk = Chunk("c1", "docs", "guides/keys.md", "Keys", ("Rotation",), "abc123", 0, "Rotate.", 3)
        return Retrieval(question, (Passage(chunk, 1.0, 0.5),) * limit, "snap-1", "hybrid", 0.5, 1.0)

    def readiness(self) -> Readiness:
        return self.state

    def workbench(self) -> Workbench:
        if self.bench is None:
            raise Unavailable("The server is still starting: opening the index.", retry_after=3)
        return self.bench

    def sync(self, source: str, progress: Progress) -> object:
        progress("scan", 1, 2)
        time.sleep(0.05)
        progress("embed", 2, 2)
        if self.sync_error is not None:
            raise self.sync_error
        return {"source": source, "added": 3}

    def write_feedback(self, trace_id: str, vote: Vote, comment: str | None) -> None:
        if trace_id not in self.traces:
            raise NotFound(f"There is no trace {trace_id!r}.")
        kept = self.votes[trace_id][1] if trace_id in self.votes else ""
        self.votes[trace_id] = (vote, kept if comment is None else comment)

    def not_ready(self, *missing: str, **changes: Any) -> None:
        self.state = replace(self.state, ready=False, missing=missing, **changes)


@contextlib.contextmanager
def run_server(app: FastAPI) -> Iterator[str]:
    """A real uvicorn on a free loopback port, in a thread; its address."""
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, ws="websockets-sansio")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        assert thread.is_alive(), "the server ended"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
