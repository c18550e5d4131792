"""A judge for benchmarks: it answers each call after a fixed time, some at once and no more, and costs next to nothing.

    python -m bench.mock_judge [--latency 0.05] [--at-once 8]

Prints its address. It speaks OpenAI's chat completions to Lockgate's judge prompts and to those of Ragas 0.4.3, and
answers 429 beyond ``--at-once`` calls. Its claims are the sentences of the text, every second of which holds; it judges
nothing. ``GET /count`` gives what it was asked, ``GET /reset`` begins to count anew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_DATA = re.compile(r"<data ([0-9a-f]+)>\n(.*?)\n</data \1>", re.DOTALL)


@dataclass
class Counts:
    """``peak`` is the most calls that were under way at once."""

    calls: int = 0
    refused: int = 0
    running: int = 0
    peak: int = 0
    connections: int = 0

    def reset(self) -> None:
        self.calls = self.refused = self.peak = self.connections = 0


@dataclass
class Mock(asyncio.Protocol):
    """One connection: requests come one after another (HTTP/1.1 keep-alive, bodies with a Content-Length)."""

    latency: float
    at_once: int
    counts: Counts
    _buffer: bytearray = field(default_factory=bytearray)
    _transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.counts.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._buffer[:head_end])
        found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        end = head_end + 4 + (int(found[1]) if found else 0)
        if len(self._buffer) < end:
            return
        body = bytes(self._buffer[head_end + 4 : end])
        del self._buffer[:end]
        if head.startswith(b"GET"):
            self._get(head)
        elif self.counts.running >= self.at_once:
            self.counts.refused += 1
            self._send(
                b'{"error": {"message": "too many at once"}}', b"429 Too Many Requests", b"retry-after: 0.05\r\n"
            )
        else:
            self._take(body)

    def _take(self, body: bytes) -> None:
        counts = self.counts
        counts.calls += 1
        counts.running += 1
        counts.peak = max(counts.peak, counts.running)
        loop = asyncio.get_running_loop()
        due = loop.time() + self.latency  # the reply is made while the clock runs
        loop.call_at(due, self._done, _completion(json.loads(body)))

    def _done(self, body: bytes) -> None:
        self.counts.running -= 1
        self._send(body)

    def _get(self, head: bytes) -> None:
        self._send(json.dumps(vars(self.counts)).encode())
        if head.startswith(b"GET /reset"):
            self.counts.reset()

    def _send(self, body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> None:
        if not self._transport.is_closing():
            head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
            self._transport.write(head % (status, more, len(body)) + body)


def _completion(request: dict[str, Any]) -> bytes:
    said = "\n".join(message["content"] for message in request["messages"])
    named = request.get("response_format", {}).get("json_schema")
    reply = _for_lockgate(named["name"], said) if named else _for_ragas(said)
    message = {"role": "assistant", "content": json.dumps(reply)}
    usage = {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "mock", "choices": [choice], "usage": usage}
    return json.dumps(body).encode()


def _for_lockgate(purpose: str, said: str) -> dict[str, Any]:
    if purpose == "context_precision":
        return {"reason": _REASON, "relevant": len(said) % 2 == 0}
    texts = [text for _, text in _DATA.findall(said)]
    if purpose == "claims":
        return {"claims": _sentences(texts[-1])}
    claims = sum(bool(re.match(r"\d+\. ", text)) for text in texts)
    return {"verdicts": [{"claim": n, "reason": _REASON, "supported": n % 2 == 1} for n in range(1, claims + 1)]}


def _for_ragas(said: str) -> dict[str, Any]:
    given, _ = json.JSONDecoder().raw_decode(said, said.rindex("nput: {") + 6)
    if "statements" in given:
        texts = given["statements"]
        return {"statements": [{"statement": t, "reason": _REASON, "verdict": n % 2} for n, t in enumerate(texts, 1)]}
    if "response" in given:
        return {"claims": _sentences(given["response"])}
    if "context" not in given:
        return {"statements": _sentences(given["answer"])}
    if "attributed" in said:
        texts = _sentences(given["answer"])
        return {
            "classifications": [
                {"statement": text, "reason": _REASON, "attributed": n % 2} for n, text in enumerate(texts, 1)
            ]
        }
    return {"reason": _REASON, "verdict": len(said) % 2}


_REASON = "The passage names the setting and says what it does, which is what the sentence says too."


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


async def serve(latency: float, at_once: int) -> None:
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Mock(latency, at_once, counts), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--at-once", type=int, default=8)
    options = parser.parse_args()
    asyncio.run(serve(options.latency, options.at_once))


if __name__ == "__main__":
    main()
