"""Ask, retrieve and sync through the server that owns the index, over its internal routes on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import httpx

from lockgate import wire
from lockgate.errors import Corrupt, LockgateError, Unavailable
from lockgate.owner import ServerHandle
from lockgate.types import AnswerEvent, AskRequest, Finished, Retrieval

if TYPE_CHECKING:
    from lockgate.ports import Progress

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 30.0
"""The server pings every few seconds while it works; a longer silence means that it is gone."""


class RemoteAsker:
    """ports.Asker through the owning server, which asks what ``model`` names ("" is its default). Closing the iterator
    stops the work there."""

    def __init__(self, handle: ServerHandle, model: str = "") -> None:
        self._handle = handle
        self._model = model

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        """Raises the error that the server raised, as the same branch; Unavailable when it does not answer."""
        finished = False
        with _network_errors(self._handle):
            async with (
                httpx.AsyncClient(**_client_options(self._handle)) as client,
                client.stream(
                    "POST", "/internal/ask", content=wire.dump(wire.AskCall(self._model, request)), headers=_JSON
                ) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise wire.load_error(await response.aread(), status=response.status_code)
                async for line in response.aiter_lines():
                    event = wire.event_of(wire.load_line(line))
                    if event is not None:
                        finished = isinstance(event, Finished)
                        yield event
        if not finished:
            raise _ended_early(self._handle)


class RemoteRetriever:
    """ports.Retriever through the owning server: of what ``model`` names, or of the current snapshot."""

    def __init__(self, handle: ServerHandle, model: str | None = None) -> None:
        self._handle = handle
        self._model = model

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        body = _post(self._handle, "/internal/retrieve", wire.dump(wire.RetrieveRequest(question, limit, self._model)))
        return wire.load_retrieval(body)


def remote_status(handle: ServerHandle) -> dict[str, Any]:
    """What the server says of itself: readiness, snapshot, indexing, model."""
    with _network_errors(handle), httpx.Client(**_client_options(handle)) as client:
        response = client.get("/internal/status")
        if response.status_code != httpx.codes.OK:
            raise wire.load_error(response.content, status=response.status_code)
        try:
            status = response.json()
        except ValueError:
            status = None
    if not isinstance(status, dict):
        raise Corrupt(f"{handle.url}: the status is not a JSON object.")
    return status


def remote_sync(handle: ServerHandle, source: str, progress: Progress | None = None) -> dict[str, Any]:
    """Run a sync in the server and wait for it; the report is the one a local sync gives, as a mapping.

    Raises Conflict when one is running there already, else the error that the sync raised.
    """
    with (
        _network_errors(handle),
        httpx.Client(**_client_options(handle)) as client,
        client.stream("POST", "/internal/sync", content=wire.dump(wire.SyncRequest(source)), headers=_JSON) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise wire.load_error(response.read(), status=response.status_code)
        for text in response.iter_lines():
            line = wire.load_line(text)
            if isinstance(line, wire.ErrorLine):
                raise wire.build_error(line.error)
            if isinstance(line, wire.ReportLine):
                return line.report
            if isinstance(line, wire.ProgressLine) and progress is not None:
                progress(line.stage, line.done, line.total)
    raise _ended_early(handle)


_JSON = {"Content-Type": "application/json"}


def _post(handle: ServerHandle, path: str, body: bytes) -> bytes:
    with _network_errors(handle), httpx.Client(**_client_options(handle)) as client:
        response = client.post(path, content=body, headers=_JSON)
        if response.status_code != httpx.codes.OK:
            raise wire.load_error(response.content, status=response.status_code)
        return response.content


def _client_options(handle: ServerHandle) -> dict[str, Any]:
    return {
        "base_url": handle.url,
        "headers": {"Authorization": f"Bearer {handle.token}"},
        "timeout": httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        # A proxy of the environment must never see the token, and loopback needs none.
        "trust_env": False,
    }


@contextlib.contextmanager
def _network_errors(handle: ServerHandle) -> Iterator[None]:
    try:
        yield
    except LockgateError:
        raise
    except httpx.ConnectError:
        raise Unavailable(
            f"{handle.url}: the server (process {handle.pid}) does not answer.",
            hint="If it is just starting, try again; if it hangs, stop it.",
            retry_after=2,
        ) from None
    except httpx.TimeoutException:
        raise Unavailable(
            f"{handle.url}: the server (process {handle.pid}) went silent for over {SILENCE_SECONDS:.0f} seconds.",
            hint="Look at its log; stop it and start it again.",
        ) from None
    except httpx.HTTPError as error:
        raise Unavailable(f"{handle.url}: the connection to the server broke ({error}).", hint="Try again.") from error


def _ended_early(handle: ServerHandle) -> Unavailable:
    return Unavailable(
        f"{handle.url}: the server ended its answer early.", hint="It was probably stopped; try again when it is up."
    )
