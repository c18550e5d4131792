"""The judge's connections: reused, bounded, and every way in which one may end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from evals.judge.connections import AnswerTooLarge, BadAddress, ConnectionFailed, HttpConnections

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Stub:
    """Answers each request with the next of ``answers``, the last one for ever; None closes without a word."""

    def __init__(self, *answers: bytes | None, close_after: bool = False) -> None:
        self.answers, self.close_after = list(answers), close_after
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self.open: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    break
                writer.write(answer)
                if self.close_after:
                    break
        writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextlib.asynccontextmanager
async def running(stub: Stub) -> AsyncIterator[HttpConnections]:
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    stub.port = server.sockets[0].getsockname()[1]
    connections = HttpConnections(stub.url, {"authorization": "Bearer k"})
    try:
        yield connections
    finally:
        await connections.aclose()
        server.close()
        for writer in stub.open:
            writer.close()
        await server.wait_closed()
        await asyncio.sleep(0)


async def test_one_connection_carries_calls_that_follow_each_other() -> None:
    stub = Stub(OK)
    async with running(stub) as connections:
        for _ in range(3):
            answer = await connections.post("chat/completions", b'{"a": 1}')
            assert (answer.status, answer.body) == (200, b"ok")
        await asyncio.gather(*(connections.post("chat/completions", b"{}") for _ in range(2)))
    assert stub.connections == 2
    head = stub.requests[0].lower()
    assert head.startswith(b"post /v1/chat/completions http/1.1\r\n")
    assert f"host: 127.0.0.1:{stub.port}".encode() in head
    assert b"authorization: bearer k" in head
    assert head.endswith(b'\r\n\r\n{"a": 1}')


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["chunked", "a word before", "headers"],
)
async def test_reads_the_ways_in_which_servers_answer(answer: bytes) -> None:
    async with running(Stub(answer)) as connections:
        for _ in range(2):
            got = await connections.post("x", b"{}")
            assert (got.status, got.body) == (200, b"ok")
    assert got.headers.get("retry-after", "3") == "3"


async def test_an_answer_that_ends_with_the_connection_is_whole_and_the_next_call_opens_another() -> None:
    stub = Stub(b"HTTP/1.1 200 OK\r\n\r\nok", close_after=True)
    async with running(stub) as connections:
        for _ in range(2):
            assert (await connections.post("x", b"{}")).body == b"ok"
    assert stub.connections == 2


async def test_a_kept_connection_that_the_server_closed_costs_no_call() -> None:
    stub = Stub(OK, None, OK)
    async with running(stub) as connections:
        await connections.post("x", b"{}")
        assert (await connections.post("x", b"{}")).body == b"ok"  # closed while we wrote: asked on another
        assert stub.connections == 2
        stub.open[1].close()
        await asyncio.sleep(0.05)
        assert (await connections.post("x", b"{}")).body == b"ok"  # closed in between
    assert (stub.connections, len(stub.requests)) == (3, 4)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\no",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n",
    ],
    ids=["nothing", "half a body", "half a chunk", "not HTTP", "endless headers"],
)
async def test_half_an_answer_is_none(answer: bytes | None) -> None:
    stub = Stub(answer, close_after=True)
    async with running(stub) as connections:
        with pytest.raises(ConnectionFailed):
            await connections.post("x", b"{}")


async def test_an_answer_without_end_is_cut() -> None:
    chunk = b"%x\r\n%s\r\n" % (100_000, b"x" * 100_000)
    async with running(Stub(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * 30)) as connections:
        with pytest.raises(AnswerTooLarge):
            await connections.post("x", b"{}")


async def test_a_call_that_was_given_up_leaves_no_connection_with_half_an_answer() -> None:
    stub = Stub(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nold", OK)
    async with running(stub) as connections:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connections.post("x", b"{}")
        assert (await connections.post("x", b"{}")).body == b"ok"
    assert stub.connections == 2


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("http://h/v1/", b"/v1/chat"),
        ("http://h", b"/chat"),
        ("http://h/a b/ü?api-version=1", b"/a%20b/%C3%BC/chat?api-version=1"),
    ],
)
def test_paths_go_below_the_address(address: str, target: bytes) -> None:
    [head, *_] = HttpConnections(address)._request("chat", b"")
    assert getattr(head, "target") == target  # noqa: B009 - h11 declares no types for its slots


@pytest.mark.parametrize(
    "make",
    [
        lambda: HttpConnections("ftp://h/v1"),
        lambda: HttpConnections("http://"),
        lambda: HttpConnections("http://h:99999/v1"),
        lambda: HttpConnections("http://h/v1", {"authorization": "Bearer schlüssel"}),
        lambda: HttpConnections("http://h/v1", {"authorization": "Bearer a\r\nx: y"})._request("chat", b""),
    ],
    ids=["scheme", "no host", "port", "a key that is no header", "a key with a line of its own"],
)
def test_what_cannot_be_sent_is_said(make: Callable[[], object]) -> None:
    with pytest.raises(BadAddress):
        make()


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 70}.com"])
async def test_a_host_that_can_have_no_address_is_said(host: str) -> None:
    with pytest.raises(BadAddress, match="cannot be the name of a host"):
        await HttpConnections(f"http://{host}/v1").post("chat/completions", b"{}")
