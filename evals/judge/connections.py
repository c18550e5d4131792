"""Connections to one HTTP/1.1 server, kept open from call to call.

A general client computes for 2 to 3 ms a call: too long to keep eight places busy at a judge that answers in 50 ms
(docs/log.md). What is needed here is little: POST, one server, no redirects, no proxies, no cookies, no decoding. h11
makes and reads the messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    import ssl

    import h11

_PORTS = {"http": 80, "https": 443}
_READ = 65536


class BadAddress(ValueError):
    """The address, or a header for it, is none that can be used; says why."""


class ConnectionFailed(Exception):
    """No whole answer came: the name of what happened. Asking again may help."""


class AnswerTooLarge(Exception):
    """The answer has more bytes than are read."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """``headers`` by their lower-case names; the last of several counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Open:
    """One open connection; ``used`` once it has carried an answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    used: bool = False

    @property
    def gone(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()


@dataclass
class HttpConnections:
    """Used by one event loop. As many connections are opened as calls run at once; the caller bounds those.

    Raises BadAddress for a ``base_url`` that is no http or https address, or for a header that cannot be sent.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_body: int = 2_000_000
    _idle: list[_Open] = field(default_factory=list, repr=False)
    _ssl: ssl.SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            self._host, self._port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
            named = parts.netloc.rpartition("@")[2].encode("idna" if not parts.netloc.isascii() else "ascii")
        except ValueError as error:
            raise BadAddress(str(error)) from None
        if not self._host or not self._port:
            raise BadAddress("it is no http or https address")
        self._secure = parts.scheme == "https"
        self._path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self._query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else ""
        fixed = {"host": named.decode(), "accept": "*/*", "accept-encoding": "identity", **self.headers}
        try:
            self._fixed = [(name.encode("ascii"), value.encode("ascii")) for name, value in fixed.items()]
        except UnicodeEncodeError:
            raise BadAddress("a header holds characters that no header can") from None

    async def post(self, path: str, body: bytes) -> HttpAnswer:
        """The answer to JSON ``body`` at ``path`` below the address.

        Raises ConnectionFailed, AnswerTooLarge and BadAddress. Cancelled half-way, the connection is closed.
        """
        request = self._request(path, body)
        while self._idle:
            kept = self._idle.pop()
            if kept.gone:
                await _close(kept)
                continue
            try:
                return await self._exchange(kept, request)
            except _NothingCame:
                break  # the server closed it as we began to write: that says nothing about this call
        return await self._exchange(await self._connect(), request)

    async def aclose(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await _close(connection)

    def _request(self, path: str, body: bytes) -> list[h11.Event]:
        import h11

        target = f"{self._path}/{path}{self._query}".encode("ascii")
        length = str(len(body)).encode()
        headers = [*self._fixed, (b"content-type", b"application/json"), (b"content-length", length)]
        try:
            head = h11.Request(method="POST", target=target, headers=headers)
        except h11.LocalProtocolError as error:
            raise BadAddress(f"the request cannot be sent: {error}") from None
        return [head, h11.Data(data=body), h11.EndOfMessage()]

    async def _connect(self) -> _Open:
        import h11

        try:
            reader, writer = await asyncio.open_connection(
                self._host, self._port, ssl=self._context(), server_hostname=self._host if self._secure else None
            )
        except UnicodeError:  # a part of the name is empty, or too long
            raise BadAddress(f"{self._host[:80]!r} cannot be the name of a host") from None
        except OSError as error:  # also what TLS says
            raise ConnectionFailed(type(error).__name__) from None
        return _Open(reader, writer, h11.Connection(h11.CLIENT))

    def _context(self) -> ssl.SSLContext | None:
        """Made once: reading the certificates takes a tenth of a second."""
        if self._secure and self._ssl is None:
            import httpx

            self._ssl = httpx.create_ssl_context(trust_env=False)
        return self._ssl

    async def _exchange(self, connection: _Open, request: list[h11.Event]) -> HttpAnswer:
        whole = False
        try:
            answer = await self._send_and_read(connection, request)
            whole = self._may_carry_more(connection)
        finally:
            if whole:
                self._idle.append(connection)
            else:
                connection.writer.transport.abort()
        return answer

    async def _send_and_read(self, connection: _Open, request: list[h11.Event]) -> HttpAnswer:
        import h11

        http, came = connection.http, False
        status, headers, body = 0, {}, bytearray()
        try:
            connection.writer.write(b"".join(http.send(event) or b"" for event in request))  # one packet where it fits
            await connection.writer.drain()
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    data = await connection.reader.read(_READ)
                    came = came or bool(data)
                    http.receive_data(data)
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > self.max_body:
                        raise AnswerTooLarge
        except (OSError, h11.RemoteProtocolError) as error:  # the second one also for an answer that ends too soon
            kind = ConnectionFailed if came or not connection.used else _NothingCame
            raise kind(type(error).__name__) from None
        return HttpAnswer(status, headers, bytes(body))

    def _may_carry_more(self, connection: _Open) -> bool:
        import h11

        if connection.http.our_state is not h11.DONE or connection.http.their_state is not h11.DONE:
            return False
        connection.http.start_next_cycle()
        connection.used = True
        return True


class _NothingCame(ConnectionFailed):
    """A kept connection ended before a byte of the answer."""


async def _close(connection: _Open) -> None:
    connection.writer.transport.abort()  # nothing is under way
    with contextlib.suppress(OSError):
        await connection.writer.wait_closed()
