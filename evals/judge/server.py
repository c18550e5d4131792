"""One OpenAI-compatible server: a chat completion with its retries, waits and bounds.

What may pass (429, 408, 5xx, a closed connection, a time-out) is tried again with growing, jittered pauses; a
``Retry-After`` holds every call to this server up, not only the one that got it. A server that gave nothing but such
answers for ``PATIENCE`` seconds is down: calls then fail at once, except one that looks again every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from evals.judge.identity import host_of
from lockgate.errors import LockgateError
from lockgate.terminal import plain

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 12
PATIENCE = 90.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
LONGEST_RETRY_AFTER = 60.0
LOOK_AGAIN = 10.0
MAX_BODY = 2_000_000

_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})


class JudgeFailed(LockgateError):
    """The judge gave nothing that can be used; ``reason`` becomes the row's reason for being unscored."""

    code = "unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the judge failed: {reason}")
        self.reason = reason


class Refused(Exception):
    """The server said no to the request itself (4xx)."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"the server answered {status}: {said}")
        self.status = status


class _Passing(Exception):
    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


Sleep = Callable[[float], Awaitable[None]]
Pressure = Callable[[float], None]
"""Called with the seconds to wait whenever the server asks for less (429)."""


@dataclass(frozen=True, slots=True)
class Completion:
    """``text`` is None where the server gave no text; ``cut`` when the reply ended for want of room."""

    text: str | None
    cut: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refusal: str = ""


@dataclass
class JudgeServer:
    """Used by one event loop. ``clock``, ``sleep`` and ``pressure`` are there for callers that schedule, and tests."""

    base_url: str
    api_key: str = field(repr=False)
    concurrency: int = 8
    timeout_s: float = 60.0
    patience_s: float = PATIENCE
    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep
    pressure: Pressure | None = None
    calls: int = 0
    _client: httpx.AsyncClient | None = field(default=None, repr=False)
    _not_before: float = 0.0
    _down_since: float | None = None
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.concurrency)
        self._random = random.Random()  # noqa: S311 - spreads retries, hides nothing

    async def complete(self, body: Mapping[str, Any]) -> Completion:
        """The completion of ``body``. Raises JudgeFailed, or Refused for a request that this server does not take."""
        async with self._slots:
            for attempt in range(ATTEMPTS):
                self._refuse_while_down()
                await self._wait_until_allowed()
                try:
                    completion = await self._post(body)
                except _Passing as error:
                    reason = str(error)
                    now = self.clock()
                    self._down_since = now if self._down_since is None else self._down_since
                    if now - self._down_since >= self.patience_s:
                        raise JudgeFailed(f"{reason}, for {now - self._down_since:.0f} s now") from None
                    await self._pause(attempt, error.retry_after)
                    continue
                self._down_since = None
                return completion
        raise JudgeFailed(f"{reason}, {ATTEMPTS} times")

    async def aclose(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def __aenter__(self) -> JudgeServer:
        return self

    async def __aexit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None
    ) -> None:
        await self.aclose()

    def _refuse_while_down(self) -> None:
        now = self.clock()
        if self._down_since is None or now - self._down_since < self.patience_s:
            return
        if now - self._looked < LOOK_AGAIN:
            raise JudgeFailed(f"{host_of(self.base_url)} has not answered for {now - self._down_since:.0f} s")
        self._looked = now

    async def _wait_until_allowed(self) -> None:
        while (left := self._not_before - self.clock()) > 0:
            await self.sleep(left)

    async def _pause(self, attempt: int, retry_after: float | None) -> None:
        if retry_after is not None:
            wait = min(retry_after, LONGEST_RETRY_AFTER)
            self._not_before = max(self._not_before, self.clock() + wait)
            wait += self._random.uniform(0, FIRST_PAUSE)  # so that not all come back in the same instant
        else:
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
            wait = self._random.uniform(longest / 2, longest)
        await self.sleep(wait)

    async def _post(self, body: Mapping[str, Any]) -> Completion:
        import httpx

        self.calls += 1
        try:
            async with asyncio.timeout(self.timeout_s):
                async with self._open().stream("POST", "chat/completions", json=dict(body)) as response:
                    data = await _read(response)
        except TimeoutError:
            raise _Passing(f"no answer within {self.timeout_s:g} s") from None
        except httpx.InvalidURL as error:
            raise JudgeFailed(f"{host_of(self.base_url)}: {error}") from None
        except httpx.HTTPError as error:
            raise _Passing(f"{host_of(self.base_url)} cannot be reached ({type(error).__name__})") from None
        if response.status_code in _PASSING:
            after = _seconds(response.headers.get("retry-after"))
            if response.status_code == 429 and self.pressure is not None:
                self.pressure(after if after is not None else FIRST_PAUSE)
            raise _Passing(f"the server answered {response.status_code}", after)
        if response.status_code in (401, 403):
            raise JudgeFailed(f"the server answered {response.status_code}: check LOCKGATE_JUDGE_API_KEY")
        if response.status_code >= 400:
            raise Refused(response.status_code, _said(data))
        if response.status_code != 200:
            raise JudgeFailed(f"the server answered {response.status_code}, which is no completion")
        return _completion(data)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
            self._client = httpx.AsyncClient(
                base_url=self.base_url.rstrip("/") + "/",
                headers=headers,
                timeout=httpx.Timeout(self.timeout_s),
                limits=httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency),
                follow_redirects=False,  # a redirect would take the key and the answers somewhere else
                trust_env=False,
                verify=self.base_url.startswith("https"),  # reading the certificates takes a tenth of a second
            )
        return self._client


async def _read(response: httpx.Response) -> bytes:
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > MAX_BODY:
            raise JudgeFailed(f"the server's answer is larger than {MAX_BODY // 1_000_000} MB")
    return bytes(data)


def _completion(data: bytes) -> Completion:
    try:
        body = json.loads(data)
        choice = body["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise _Passing("the server's answer is not a chat completion") from None
    usage = body.get("usage") if isinstance(body, dict) else None
    return Completion(
        text=text if isinstance(text, str) else None,
        cut=choice.get("finish_reason") == "length",
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        refusal=refusal if isinstance(refusal, str) else "",
    )


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else 0


def _seconds(header: str | None) -> float | None:
    """``Retry-After`` in seconds; it may also be a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    with contextlib.suppress(ValueError):
        seconds = float(header)
        return seconds if 0 <= seconds < 1e9 else None
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _said(data: bytes) -> str:
    """The server's own words, short, on one line, without anything that could drive a terminal."""
    text = data[:2000].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError, AttributeError, TypeError):
        error = json.loads(data, strict=False).get("error")  # a raw control character is no reason
        text = str(error.get("message") if isinstance(error, dict) else error or text)
    return plain(" ".join(text.split()))[:200]
