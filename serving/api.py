"""The HTTP application: every route, every error in one shape, and the console on top."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from lockgate.errors import LockgateError
from serving.chat_routes import chat_router
from serving.chat_schema import ChatRequest
from serving.failures import RequestRefused, error_response
from serving.feedback_routes import feedback_router
from serving.health_routes import health_router
from serving.internal_routes import internal_router
from serving.metrics import Metrics
from serving.ports import Backend
from serving.protection import Protection

log = logging.getLogger(__name__)

API_PATHS = ("/v1", "/internal")
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


def create_app(application: Backend, *, console: bool = False) -> FastAPI:
    """The ASGI application over ``application``.

    With ``console`` the chat page is at ``/``; NiceGUI keeps one console a process, so only one can have it.
    """
    metrics = Metrics()
    app = FastAPI(
        title="Lockgate",
        version="1",
        description="Every answer grounded, every release gated.",
        # The pages that show the schema load their scripts from another site.
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(health_router(application, metrics))
    app.include_router(chat_router(application, metrics))
    app.include_router(feedback_router(application, metrics))
    app.include_router(internal_router(application, metrics))
    _add_unknown_paths(app)
    _add_error_handlers(app, metrics)
    _describe_bodies(app)
    if console:
        from serving.console.site import mount_console

        mount_console(app, application, metrics)
    app.add_middleware(Protection)
    return app


def _add_unknown_paths(app: FastAPI) -> None:
    """A wrong path or method under the API's prefixes is an API error; the console takes every other path."""

    async def refuse(request: Request) -> Response:
        for route in app.routes:
            if route.matches(request.scope)[0] is Match.PARTIAL:
                raise HTTPException(405)
        raise HTTPException(404)

    for prefix in API_PATHS:
        app.add_api_route(f"{prefix}/{{rest:path}}", refuse, methods=METHODS, include_in_schema=False)


def _add_error_handlers(app: FastAPI, metrics: Metrics) -> None:
    def respond(_: Request, error: Exception) -> Response:
        response = error_response(error)
        code = error.code if isinstance(error, (LockgateError, RequestRefused)) else "internal"
        metrics.errors.labels(code).inc()
        return response

    def respond_http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        messages = {404: "There is nothing at", 405: "Method not allowed at"}
        message = f"{messages.get(status, 'Refused:')} {request.method} {request.url.path[:200]}."
        codes = {404: "not_found", 405: "method_not_allowed"}
        return respond(request, RequestRefused(message, status=status, code=codes.get(status, "invalid_input")))

    app.add_exception_handler(LockgateError, respond)
    app.add_exception_handler(RequestRefused, respond)
    app.add_exception_handler(HTTPException, respond_http)
    app.add_exception_handler(Exception, respond)


def _describe_bodies(app: FastAPI) -> None:
    """Bodies are read as bytes, under a limit; this puts their schema into /openapi.json all the same."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            body = ChatRequest.model_json_schema(ref_template="#/components/schemas/{model}")
            parts = schema.setdefault("components", {}).setdefault("schemas", {})
            parts.update(body.pop("$defs", {}))
            parts["ChatRequest"] = body
            parts["Feedback"] = {
                "type": "object",
                "required": ["trace_id", "vote"],
                "additionalProperties": False,
                "properties": {
                    "trace_id": {"type": "string"},
                    "vote": {"enum": ["up", "down"]},
                    "comment": {"type": ["string", "null"], "default": None},
                },
            }
            for path, name in (("/v1/chat/completions", "ChatRequest"), ("/v1/feedback", "Feedback")):
                content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
                schema["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
