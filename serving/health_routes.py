"""/healthz, /readyz and /metrics."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from serving import metrics as names
from serving.failures import RETRY_SECONDS
from serving.metrics import Metrics
from serving.ports import Backend


def health_router(backend: Backend, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["Health"])

    @router.get("/healthz", summary="The process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Index and model answer", response_model=None)
    def readyz() -> Response:
        """200 when a question can be answered, else 503 with what is `missing`.

        `checks` are the guardrails of the release that answers. While one of them does not work and what it should see
        is blocked, the status is 503; where it is not blocked, 200 with `degraded` and a `warning`.
        """
        readiness = backend.readiness()
        if readiness.ready:
            return JSONResponse(asdict(readiness))
        return JSONResponse(asdict(readiness), status_code=503, headers={"Retry-After": str(RETRY_SECONDS)})

    @router.get("/metrics", summary="Prometheus metrics", response_model=None)
    def show_metrics() -> Response:
        return Response(metrics.render(backend.readiness()), headers={"Content-Type": names.CONTENT_TYPE})

    return router
