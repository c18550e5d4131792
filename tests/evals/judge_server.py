"""A judge on a loopback port that replies as a script says, in every way in which a real one may fail."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """``body`` replaces the whole answer; ``content`` is the message in an otherwise well-formed one."""

    content: str | None = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    delay: float = 0.0
    body: bytes | None = None
    refusal: str | None = None


Script = Callable[[dict[str, Any]], Reply | str | dict[str, Any]]


@dataclass
class JudgeStub:
    """Calls ``script`` with each request's JSON. ``refuses_schema`` is the status for a response_format, 0 for none."""

    script: Script
    refuses_schema: int = 0
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    running: int = 0
    peak: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, request: dict[str, Any]) -> Reply:
        if self.refuses_schema and "response_format" in request:
            return Reply(body=b'{"error": {"message": "response_format is not supported"}}', status=self.refuses_schema)
        said = self.script(request)
        if isinstance(said, dict):
            said = json.dumps(said)
        return Reply(said) if isinstance(said, str) else said


def said_in(request: dict[str, Any]) -> str:
    """All that the judge was told."""
    return "\n".join(message["content"] for message in request["messages"])


def purpose_of(request: dict[str, Any]) -> str:
    return str(request["response_format"]["json_schema"]["name"])


def _handler(stub: JudgeStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with stub.lock:
                stub.asked.append(request)
                stub.headers.append(dict(self.headers.items()))
                stub.running += 1
                stub.peak = max(stub.peak, stub.running)
            try:
                reply = stub.reply(request)
                time.sleep(reply.delay)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._send(reply)
            finally:
                with stub.lock:
                    stub.running -= 1

        def _send(self, reply: Reply) -> None:
            message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
            body = reply.body
            if body is None:
                body = json.dumps(
                    {
                        "id": "1",
                        "object": "chat.completion",
                        "created": 1,
                        "model": "stub",
                        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
                        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
                    }
                ).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a test reads what it needs from the stub."""

    return Handler


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that gave up is what some tests are about."""


@contextlib.contextmanager
def run_judge(script: Script, *, refuses_schema: int = 0) -> Iterator[JudgeStub]:
    stub = JudgeStub(script, refuses_schema)
    listener = _Listener(("127.0.0.1", 0), _handler(stub))
    stub.url = f"http://127.0.0.1:{listener.server_port}/v1"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(10)
