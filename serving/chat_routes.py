"""POST /v1/chat/completions and GET /v1/models, in OpenAI's shape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from lockgate.errors import LockgateError, NotFound, UserError
from lockgate.ports import Asker
from lockgate.types import AnswerEvent, Finished, Token
from serving import chat_reply
from serving.body import read_json_body
from serving.chat_reply import ReplyHead
from serving.chat_schema import ask_request, read_chat_request
from serving.failures import RequestRefused, body_of
from serving.metrics import Metrics
from serving.ports import Backend
from serving.streams import EventStream, Silence, wait_unless_gone, with_silences

log = logging.getLogger(__name__)

PING_SECONDS = 5.0
"""A stream is never silent for longer. Its status line waits as long for the first piece: what is refused by then gets
its own status, such as 503 for a full queue; what fails later can only be told inside the stream."""

CREATED = 1_767_225_600  # chains have no date of their own; OpenAI's shape needs one


def chat_router(backend: Backend, metrics: Metrics) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/chat/completions", summary="Ask a question", response_model=None)
    async def create_completion(request: Request) -> Response:
        """An answer from the documents, with its citations in the extra field `lockgate`.

        Not streamed, it is a field of the completion; streamed, a field of the last chunk before `[DONE]`. A stream
        that fails midway sends one event with `error` and ends without `[DONE]`.
        """
        chat = read_chat_request(await read_json_body(request))
        question = ask_request(chat)
        asker = await _asker(backend, chat.model)
        events = metrics.observe(asker.ask(question), door="api")
        head = ReplyHead(chat.model)
        if chat.streams:
            return await start_stream(events, head, include_usage=chat.include_usage)
        return await _complete(events, head, request)

    @router.get("/models", summary="The models that can be asked")
    async def list_models() -> dict[str, object]:
        return {"object": "list", "data": [_model(name) for name in await asyncio.to_thread(backend.models)]}

    @router.get("/models/{name:path}", summary="One model")
    async def get_model(name: str) -> dict[str, object]:
        await _asker(backend, name)
        return _model(name)

    return router


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "lockgate"}


async def _asker(backend: Backend, name: str) -> Asker:
    try:
        return await asyncio.to_thread(backend.asker, name)
    except (NotFound, UserError) as error:
        raise RequestRefused(str(error), status=404, code="model_not_found", param="model") from None


async def _complete(events: AsyncGenerator[AnswerEvent, None], head: ReplyHead, request: Request) -> Response:
    async with aclosing(events):
        found = await wait_unless_gone(events, request.receive)
    if found is None:
        return Response(status_code=499)  # the client left; nobody reads this
    answers = [event.answer for event in found if isinstance(event, Finished)]
    if not answers:
        raise LockgateError("The chain ended without an answer.", hint="See the server's log.")
    return JSONResponse(head.completion(answers[-1]))


async def start_stream(
    events: AsyncGenerator[AnswerEvent, None], head: ReplyHead, *, include_usage: bool
) -> EventStream:
    """The stream, once its first piece is there or PING_SECONDS have passed. Raises what is raised by then."""
    paced = with_silences(events, PING_SECONDS)
    try:
        opening = await anext(paced, None)
    except asyncio.CancelledError:
        await paced.aclose()
        raise
    pieces = _pieces(opening, paced, head, include_usage=include_usage)
    return EventStream(pieces, media_type="text/event-stream", source=paced)


async def _pieces(
    opening: AnswerEvent | Silence | None,
    rest: AsyncGenerator[AnswerEvent | Silence, None],
    head: ReplyHead,
    *,
    include_usage: bool,
) -> AsyncGenerator[bytes, None]:
    answer = None
    try:
        yield chat_reply.event(head.chunk({"role": "assistant", "content": ""}, usage=include_usage))
        async for event in _chained(opening, rest):
            if isinstance(event, Token):
                yield chat_reply.event(head.chunk({"content": event.text}, usage=include_usage))
            elif isinstance(event, Finished):
                answer = event.answer
            else:
                yield chat_reply.PING
        if answer is None:
            raise LockgateError("The chain ended without an answer.", hint="See the server's log.")
        account = {
            "lockgate": chat_reply.account_of(answer),
            "system_fingerprint": chat_reply.fingerprint_of(answer),
        }
        final = head.chunk({}, finish_reason=answer.finish_reason, usage=include_usage)
        if include_usage:
            yield chat_reply.event(final)
            yield chat_reply.event(head.usage_chunk(answer) | account)
        else:
            yield chat_reply.event(final | account)
        yield chat_reply.DONE
    except Exception as error:
        if not isinstance(error, LockgateError):
            log.exception("A stream failed midway.")
        yield chat_reply.event(body_of(error)[1])


async def _chained(
    opening: AnswerEvent | Silence | None, rest: AsyncIterator[AnswerEvent | Silence]
) -> AsyncIterator[AnswerEvent | Silence]:
    if opening is not None:
        yield opening
    async for event in rest:
        yield event
