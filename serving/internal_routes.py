"""The routes that Lockgate's own commands use while this server owns the index. See lockgate/remote.py.

Each needs the token of ``owner.json``, which only the owner of the files can read.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator
from dataclasses import asdict

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from lockgate import wire
from lockgate.errors import LockgateError, UserError
from lockgate.types import AnswerEvent
from serving.body import read_json_body
from serving.failures import INTERNAL_MESSAGE, RequestRefused
from serving.metrics import Metrics
from serving.ports import Backend
from serving.streams import EventStream, Silence, with_silences

log = logging.getLogger(__name__)

MAX_BYTES = 2_000_000
PING_SECONDS = 5.0
MAX_PASSAGES = 1000
NDJSON = "application/x-ndjson"


def internal_router(backend: Backend, metrics: Metrics) -> APIRouter:
    def check_token(request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        right = secrets.compare_digest(token.strip().encode(), backend.token.encode())
        if scheme.lower() != "bearer" or not right:
            raise RequestRefused("This route needs the server's own token.", status=401, code="unauthorized")

    router = APIRouter(prefix="/internal", include_in_schema=False, dependencies=[Depends(check_token)])

    @router.post("/ask", response_model=None)
    async def ask(request: Request) -> Response:
        call = wire.load_ask_call(await read_json_body(request, limit=MAX_BYTES))
        asker = await asyncio.to_thread(backend.asker, call.model or None)
        events = metrics.observe(asker.ask(call.request), door=call.request.origin)
        return _ndjson(_answer_lines(events))

    @router.post("/retrieve", response_model=None)
    async def retrieve(request: Request) -> Response:
        wanted = wire.load(await read_json_body(request, limit=MAX_BYTES), wire.RetrieveRequest)
        if not 1 <= wanted.limit <= MAX_PASSAGES:
            raise UserError(f"limit: {wanted.limit} is not between 1 and {MAX_PASSAGES}.")
        retriever = await asyncio.to_thread(backend.retriever, wanted.model)
        found = await asyncio.to_thread(retriever.retrieve, wanted.question, limit=wanted.limit)
        return Response(wire.dump(found), media_type="application/json")

    @router.post("/sync", response_model=None)
    async def sync(request: Request) -> Response:
        wanted = wire.load(await read_json_body(request, limit=MAX_BYTES), wire.SyncRequest)
        return _ndjson(_sync_lines(backend, wanted.source))

    @router.get("/status", response_model=None)
    def status() -> Response:
        return JSONResponse(asdict(backend.readiness()))

    return router


def _ndjson(lines: AsyncGenerator[bytes, None]) -> EventStream:
    paced = with_silences(lines, PING_SECONDS)
    return EventStream(_told(paced), media_type=NDJSON, source=paced)


async def _told(lines: AsyncGenerator[bytes | Silence, None]) -> AsyncGenerator[bytes, None]:
    """The lines, with a ping for a silence and a last line for an error."""
    try:
        async for line in lines:
            yield wire.dump_ping() if isinstance(line, Silence) else line
    except LockgateError as error:
        yield wire.dump_error_line(error)
    except Exception:
        log.exception("An internal stream failed.")
        yield wire.dump_error_line(LockgateError(INTERNAL_MESSAGE))


async def _answer_lines(events: AsyncGenerator[AnswerEvent, None]) -> AsyncGenerator[bytes, None]:
    try:
        async for event in events:
            yield wire.dump_event(event)
    finally:
        await events.aclose()


async def _sync_lines(backend: Backend, source: str) -> AsyncGenerator[bytes, None]:
    """Progress, then the report. The sync itself goes on when the client leaves: half of one helps nobody."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    def progress(stage: str, done: int, total: int) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, wire.dump_progress(stage, done, total))

    work = asyncio.ensure_future(asyncio.to_thread(backend.sync, source, progress))
    work.add_done_callback(_note_failure)
    while True:
        line = asyncio.ensure_future(queue.get())
        try:
            await asyncio.wait([line, work], return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                break
            yield line.result()
        finally:
            line.cancel()
    yield wire.dump_report(await asyncio.shield(work))


def _note_failure(work: asyncio.Future[object]) -> None:
    """Looked at here, so that a sync whose client left does not fail unheard."""
    if not work.cancelled() and (error := work.exception()) is not None:
        log.warning("A sync failed: %s", error)
