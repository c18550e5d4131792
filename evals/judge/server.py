"""One OpenAI-compatible server: a chat completion with its retries, waits and bounds.

What may pass (429, 408, 5xx, a closed connection, a time-out) is tried again with growing, jittered pauses. After a
429, or whatever comes with a ``Retry-After``, every call to this server waits, and fewer are under way at once until it
takes more again. A server that gave nothing but such answers for ``PATIENCE`` seconds is down: calls then fail at once,
except one that looks again every few seconds.
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
from typing import Any

from evals.judge.connections import AnswerTooLarge, BadAddress, ConnectionFailed, HttpConnections
from evals.judge.identity import host_of
from evals.runs.limiter import AdaptiveLimit
from lockgate.errors import LockgateError
from lockgate.terminal import plain

ATTEMPTS = 12
PATIENCE = 90.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
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
    """``full``: the server is asked too much at once. ``retry_after`` is what it said of when to come back."""

    def __init__(self, reason: str, *, full: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.full = full or retry_after is not None
        self.retry_after = retry_after


Sleep = Callable[[float], Awaitable[None]]


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
    """Used by one event loop. At most ``concurrency`` calls are under way. ``clock`` and ``sleep`` are for tests."""

    base_url: str
    api_key: str = field(repr=False)
    concurrency: int = 8
    timeout_s: float = 60.0
    patience_s: float = PATIENCE
    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep
    calls: int = 0
    _connections: HttpConnections | None = field(default=None, repr=False)
    _down_since: float | None = None
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self.limit = AdaptiveLimit(self.concurrency, clock=self.clock, sleep=self.sleep)
        self._random = random.Random()  # noqa: S311 - spreads retries, hides nothing

    async def complete(self, body: Mapping[str, Any]) -> Completion:
        """The completion of ``body``. Raises JudgeFailed, or Refused for a request that this server does not take."""
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        reason = ""
        for attempt in range(ATTEMPTS):
            async with self.limit.slot() as slot:
                self._refuse_while_down()
                try:
                    completion = await self._post(data)
                except _Passing as error:
                    reason = str(error)
                    self._note_failure(reason)
                    pause = self._pause(attempt)
                    if error.full:
                        self.limit.busy(slot, pause if error.retry_after is None else error.retry_after)
                    else:
                        slot.busy = True  # no reason to ask for more at once
                        await self.sleep(pause)
                    continue
                self._down_since = None
                return completion
        raise JudgeFailed(f"{reason}, {ATTEMPTS} times")

    async def aclose(self) -> None:
        if self._connections is not None:
            connections, self._connections = self._connections, None
            await connections.aclose()

    async def __aenter__(self) -> JudgeServer:
        return self

    async def __aexit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None
    ) -> None:
        await self.aclose()

    def _note_failure(self, reason: str) -> None:
        """Raises JudgeFailed once the server has failed for longer than anybody waits."""
        now = self.clock()
        self._down_since = now if self._down_since is None else self._down_since
        if now - self._down_since >= self.patience_s:
            raise JudgeFailed(f"{reason}, for {now - self._down_since:.0f} s now") from None

    def _refuse_while_down(self) -> None:
        now = self.clock()
        if self._down_since is None or now - self._down_since < self.patience_s:
            return
        if now - self._looked < LOOK_AGAIN:
            raise JudgeFailed(f"{host_of(self.base_url)} has not answered for {now - self._down_since:.0f} s")
        self._looked = now

    def _pause(self, attempt: int) -> float:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        return self._random.uniform(longest / 2, longest)

    async def _post(self, data: bytes) -> Completion:
        self.calls += 1
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await self._open().post("chat/completions", data)
        except TimeoutError:
            raise _Passing(f"no answer within {self.timeout_s:g} s") from None
        except BadAddress as error:
            raise JudgeFailed(f"{host_of(self.base_url)}: {error}") from None
        except AnswerTooLarge:
            raise JudgeFailed(f"the server's answer is larger than {MAX_BODY // 1_000_000} MB") from None
        except ConnectionFailed as error:
            raise _Passing(f"{host_of(self.base_url)} cannot be reached ({error})") from None
        if answer.status in _PASSING:
            after = _seconds(answer.headers.get("retry-after"))
            raise _Passing(f"the server answered {answer.status}", full=answer.status == 429, retry_after=after)
        if answer.status in (401, 403):
            raise JudgeFailed(f"the server answered {answer.status}: check LOCKGATE_JUDGE_API_KEY")
        if answer.status >= 400:
            raise Refused(answer.status, _said(answer.body))
        if answer.status != 200:
            raise JudgeFailed(f"the server answered {answer.status}, which is no completion")
        return _completion(answer.body)

    def _open(self) -> HttpConnections:
        if self._connections is None:
            headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
            self._connections = HttpConnections(self.base_url, headers, MAX_BODY)
        return self._connections


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
