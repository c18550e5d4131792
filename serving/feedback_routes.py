"""POST /v1/feedback: a vote on an answer, by the ``trace_id`` that came with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from lockgate import wire
from serving.body import read_json_body
from serving.metrics import Metrics
from serving.ports import Backend, Vote


@dataclass(frozen=True, slots=True)
class Feedback:
    """A second vote on the same trace replaces the first; without a comment it keeps the first one's."""

    trace_id: str
    vote: Vote
    comment: str | None = None


def feedback_router(backend: Backend, metrics: Metrics) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["Lockgate"])

    @router.post("/feedback", summary="Vote on an answer", response_model=None)
    async def give_feedback(request: Request) -> Response:
        feedback = wire.load(await read_json_body(request), Feedback)
        await asyncio.to_thread(backend.write_feedback, feedback.trace_id, feedback.vote, feedback.comment)
        metrics.feedback.labels(feedback.vote).inc()
        return JSONResponse({"trace_id": feedback.trace_id, "vote": feedback.vote})

    return router
