"""The comments of one pull request, on a loopback port."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BOT = "github-actions[bot]"


@dataclass
class Api:
    """``writes`` is the status that writing gets; ``seen`` are method, path and token of each request."""

    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    writes: int = 200
    redirect: str = ""
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, body: str | None, login: str = BOT) -> int:
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"login": login}})
        return len(self.comments)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        where, _, query = path.partition("?")
        if method == "GET" and where == "/repos/team/docs/issues/7/comments":
            page = int(query.rpartition("page=")[2])
            return 200, self.comments[(page - 1) * 100 : page * 100]
        if self.writes != 200:
            return self.writes, {"message": "Resource not accessible by integration"}
        if method == "POST" and where == "/repos/team/docs/issues/7/comments":
            return 201, {"id": self.add(body["body"])}
        if method == "PATCH" and where.startswith("/repos/team/docs/issues/comments/"):
            self.comments[int(where.rpartition("/")[2]) - 1]["body"] = body["body"]
            return 200, {}
        return 404, {}


@contextlib.contextmanager
def open_api() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            api.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
            status, answer = (302, {}) if api.redirect else api.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            if api.redirect:
                self.send_header("Location", api.redirect)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _handle

        def log_message(self, *_arguments: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
