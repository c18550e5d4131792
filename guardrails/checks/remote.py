"""Asking a server for a check, behind OpenAI's API.

Whatever is not a whole, well-formed answer is an error, and the policy's ``on_error`` applies. A server is never asked
twice about one text, and never sent anything but what the check says and the key that is meant for it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints

from guardrails.check import CheckSettings
from lockgate.errors import LockgateError, UserError

if TYPE_CHECKING:
    import ssl

MAX_REPLY = 1_000_000
"""Bytes of an answer that are read."""

OVERLAP = 200
"""Characters that two parts of a long text share, so that nothing is cut in two."""

_SHORTEST_WINDOW = 2 * OVERLAP

Variable = Annotated[
    str, StringConstraints(pattern=r"^(OPENAI_BASE_URL|OPENAI_API_KEY|LOCKGATE_GUARD_[A-Z0-9_]{1,60})$")
]
"""The name of an environment variable. Only these names: a policy may come from somewhere else, and must not be able to
send another secret of this machine anywhere."""


class RemoteFailed(LockgateError):
    """The server gave no answer that can be used."""

    code = "unavailable"


class RemoteSettings(CheckSettings):
    """``base_url_env`` and ``api_key_env`` name the environment variables that hold the server's address (such as
    ``https://api.openai.com/v1``) and its key; a key that is not set is not sent. A text longer than ``max_characters``
    is asked about in parts, at most ``max_parts`` of them; a longer one is an error."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    base_url_env: Variable = "OPENAI_BASE_URL"
    api_key_env: Variable = "OPENAI_API_KEY"
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 5_000
    max_characters: Annotated[int, Field(ge=_SHORTEST_WINDOW, le=100_000)] = 8_000
    max_parts: Annotated[int, Field(ge=1, le=32)] = 4


def parts_of(text: str, settings: RemoteSettings) -> list[str]:
    """``text`` in parts that the server takes; all of it, or an error."""
    size = settings.max_characters
    if len(text) <= size:
        return [text] if text.strip() else []
    step = size - OVERLAP
    starts = range(0, len(text) - OVERLAP, step)
    if len(starts) > settings.max_parts:
        raise RemoteFailed(f"the text has {len(text)} characters, more than {settings.max_parts} parts of {size}")
    return [text[at : at + size] for at in starts]


def share_of(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise RemoteFailed(f"{what} is {str(value)[:40]}, not a number from 0 to 1")
    return float(value)


def value_at(body: object, key: str) -> Any:
    if not isinstance(body, Mapping) or key not in body:
        raise RemoteFailed(f"the answer lacks {key!r}")
    return body[key]


async def post(settings: RemoteSettings, path: str, body: Mapping[str, Any]) -> object:
    """The JSON that the server answers with. Raises RemoteFailed for anything else."""
    import httpx

    url = f"{_address(settings)}/{path}"
    key = os.environ.get(settings.api_key_env, "").strip()
    headers = {"accept-encoding": "identity", **({"authorization": f"Bearer {key}"} if key else {})}
    content = json.dumps(body).encode()  # ASCII, so that half a character cannot break it
    limit = httpx.Timeout(settings.timeout_ms / 1000)
    try:
        async with (
            asyncio.timeout(settings.timeout_ms / 1000),
            httpx.AsyncClient(verify=_certificates(), trust_env=False, follow_redirects=False, timeout=limit) as client,
            client.stream(
                "POST", url, content=content, headers={"content-type": "application/json", **headers}
            ) as response,
        ):
            if response.status_code != 200:
                raise RemoteFailed(f"the server answered with the status {response.status_code}")
            return _parsed(await _read(response.aiter_raw()))
    except TimeoutError:
        raise RemoteFailed(f"no answer within {settings.timeout_ms} ms") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        # Its words may hold the address, and that a password.
        raise RemoteFailed(f"the server at {settings.base_url_env} cannot be asked ({type(error).__name__})") from None


async def _read(pieces: Any) -> bytes:
    data = bytearray()
    async for piece in pieces:
        data += piece
        if len(data) > MAX_REPLY:
            raise RemoteFailed(f"the answer is larger than {MAX_REPLY // 1_000_000} MB")
    return bytes(data)


def _parsed(data: bytes) -> object:
    def refuse(name: str) -> float:
        raise RemoteFailed(f"the answer holds {name}, which is no number")

    try:
        return json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise RemoteFailed("the answer is not JSON") from None


def _address(settings: RemoteSettings) -> str:
    url = os.environ.get(settings.base_url_env, "").strip().rstrip("/")
    if not url:
        raise UserError(
            f"{settings.base_url_env} is not set: it says where the check {settings.check} asks.",
            hint="Set it to the address of the server, such as http://localhost:8001/v1",
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(f"{settings.base_url_env} is not an http or https address.")
    return url


@cache
def _certificates() -> ssl.SSLContext:
    """Made once: reading the certificates takes a tenth of a second."""
    import httpx

    return httpx.create_ssl_context(trust_env=False)
