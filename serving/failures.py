"""Every error of the API in OpenAI's shape: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse

from lockgate.errors import HTTP_STATUS, LockgateError, Unavailable

RETRY_SECONDS = 2
"""Retry-After of an Unavailable that does not name its own."""

INTERNAL_MESSAGE = "Something went wrong in the server; its log has the details."


@dataclass(slots=True)
class RequestRefused(Exception):
    """A request that is wrong as HTTP or as an OpenAI request, before any chain sees it."""

    message: str
    status: int = 400
    code: str = "invalid_input"
    param: str | None = None
    close: bool = False  # the body was not read to its end, so the connection cannot go on

    def __str__(self) -> str:
        return self.message


def error_body(message: str, *, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def body_of(error: Exception) -> tuple[int, dict[str, Any]]:
    """(status, body) of any error; one that is not ours says nothing of its insides."""
    if isinstance(error, RequestRefused):
        return error.status, error_body(error.message, status=error.status, code=error.code, param=error.param)
    if isinstance(error, LockgateError):
        status = HTTP_STATUS.get(error.code, 500)
        return status, error_body(str(error), status=status, code=error.code)
    return 500, error_body(INTERNAL_MESSAGE, status=500, code="internal")


def error_response(error: Exception) -> JSONResponse:
    status, body = body_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable) or status == 503:
        headers["Retry-After"] = str(getattr(error, "retry_after", None) or RETRY_SECONDS)
    if isinstance(error, RequestRefused) and error.close:
        headers["Connection"] = "close"
    return JSONResponse(body, status_code=status, headers=headers)
