"""A model server that speaks OpenAI's streaming API on a loopback port, as far as a script says."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ModelServer:
    """``words`` are streamed; ``status`` other than 200 refuses, ``garbage`` is sent instead of events,
    ``hangs_up`` closes the connection after the words, as a server that died."""

    words: list[str] = field(default_factory=lambda: ["Rotate ", "it."])
    status: int = 200
    garbage: bytes = b""
    hangs_up: bool = False
    chunked: bool = True
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.paths.append(self.path)
                self._reply(b'{"object": "list", "data": []}')

            def do_POST(self) -> None:
                server.paths.append(self.path)
                server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                if server.status != 200:
                    self._reply(b'{"error": {"message": "no such thing"}}')
                    return
                self.close_connection = True
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                if server.chunked:
                    self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for data in [server.garbage] if server.garbage else server.events():
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if server.chunked else data)
                if server.chunked and not server.hangs_up:
                    self.wfile.write(b"0\r\n\r\n")

            def _reply(self, body: bytes) -> None:
                self.send_response(server.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing: a test reads what it needs from the server."""

        return Handler

    def events(self) -> Iterator[bytes]:
        for word in self.words:
            yield _event({"delta": {"role": "assistant", "content": word}, "finish_reason": None})
        if not self.hangs_up:
            yield _event({"delta": {}, "finish_reason": "stop"})
            yield b"data: [DONE]\n\n"


def _event(choice: dict[str, Any]) -> bytes:
    body = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0} | choice],
    }
    return f"data: {json.dumps(body)}\n\n".encode()


@contextlib.contextmanager
def run_model_server(server: ModelServer, *, port: int = 0) -> Iterator[ModelServer]:
    listener = ThreadingHTTPServer(("127.0.0.1", port), server.handler())
    server.url = f"http://127.0.0.1:{listener.server_port}/v1"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
