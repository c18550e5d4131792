"""Reading a JSON request body without trusting its size, its speed or its type."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from serving.failures import RequestRefused

MAX_BODY_BYTES = 256_000
MAX_BODY_SECONDS = 30.0
DRAIN_BYTES = 16_000_000
"""What is read and dropped of a body that is too large, so that its sender gets to read the answer."""


async def read_json_body(request: Request, *, limit: int = MAX_BODY_BYTES) -> bytes:
    """The body, at most ``limit`` bytes. Raises RequestRefused 408, 413 or 415."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestRefused(
            f"Content-Type is {kind or 'missing'!r}; send application/json.", status=415, code="unsupported_media_type"
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestRefused(
            "Content-Encoding is not supported; send the body as it is.", status=415, code="unsupported_media_type"
        )
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            return await _read(request, limit)
    except TimeoutError:
        raise RequestRefused(
            f"The body did not arrive within {MAX_BODY_SECONDS:.0f} seconds.",
            status=408,
            code="request_timeout",
            close=True,
        ) from None
    except ClientDisconnect:
        raise RequestRefused("The client left.", status=400, code="client_left", close=True) from None


async def _read(request: Request, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size <= limit:
            pieces.append(piece)
        elif size > DRAIN_BYTES:
            break
        else:
            pieces.clear()
    if size > limit:
        raise RequestRefused(
            f"The body is larger than {limit // 1000} kB; send fewer or shorter messages.",
            status=413,
            code="request_too_large",
            close=size > DRAIN_BYTES,
        )
    return b"".join(pieces)
