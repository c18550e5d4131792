"""The judge: asks a model for JSON of a given shape and gives back that shape, or says why it could not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from evals.judge.book import PromptBook
from evals.judge.cache import CallCache, call_key
from evals.judge.identity import JudgeIdentity, host_of
from evals.judge.reply import BadReply, read_reply
from evals.judge.server import Completion, JudgeFailed, JudgeServer, Refused
from lockgate.errors import UserError
from lockgate.settings import Settings
from lockgate.types import Message

T = TypeVar("T", bound=BaseModel)

_PARAMETERS: Mapping[str, Any] = {"temperature": 0, "seed": 7, "max_tokens": 2048}


class Judge(Protocol):
    """What a judged metric asks. ``prompts`` are the judge's own prompt files."""

    prompts: PromptBook

    @property
    def identity(self) -> JudgeIdentity: ...

    async def ask(self, prompt: list[Message], schema: type[T], *, purpose: str) -> T:
        """The reply to ``prompt``. ``purpose`` is a short name for logs and for the server's schema.

        Raises JudgeFailed when no usable reply came.
        """
        ...


@dataclass
class JudgeUsage:
    """What was spent; ``cached`` replies were not asked for."""

    asked: int = 0
    cached: int = 0
    again: int = 0  # replies that could not be used and were asked for a second time
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(eq=False, slots=True)
class _Call:
    """A call under way, for whoever asks the same: ``failed`` is why it got no reply, once it is over."""

    over: asyncio.Event = field(default_factory=asyncio.Event)
    failed: str = ""


@dataclass
class ModelJudge:
    """A model behind an OpenAI-compatible server. Temperature 0 and a fixed seed; used by one event loop.

    With a cache that serves, a call that is under way is not made a second time: faithfulness and correctness both
    ask for the claims of the answer.
    """

    server: JudgeServer
    model: str
    prompts: PromptBook
    cache: CallCache | None = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: dict(_PARAMETERS))
    usage: JudgeUsage = field(default_factory=JudgeUsage)
    _under_way: dict[str, _Call] = field(default_factory=dict, repr=False)
    _takes_schema: bool | None = None  # None until the server has answered one call

    @property
    def identity(self) -> JudgeIdentity:
        return JudgeIdentity(self.model, host_of(self.server.base_url), self.prompts.hashes, dict(self.parameters))

    async def ask(self, prompt: list[Message], schema: type[T], *, purpose: str) -> T:
        shape = _shape_of(schema)
        key = call_key(
            model=self.model,
            base_url=self.server.base_url,
            messages=prompt,
            parameters=self.parameters,
            schema=shape,
        )
        if self.cache is None or not self.cache.serves:
            return await self._ask_and_keep(key, prompt, schema, shape, purpose)
        while (same := self._under_way.get(key)) is not None:
            await same.over.wait()
            if same.failed:
                raise JudgeFailed(same.failed)
        call = self._under_way[key] = _Call()
        try:
            return await self._ask_and_keep(key, prompt, schema, shape, purpose)
        except JudgeFailed as error:
            call.failed = error.reason
            raise
        finally:
            del self._under_way[key]
            call.over.set()

    async def aclose(self) -> None:
        await self.server.aclose()

    async def __aenter__(self) -> ModelJudge:
        return self

    async def __aexit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask_and_keep(
        self, key: str, prompt: list[Message], schema: type[T], shape: dict[str, Any], purpose: str
    ) -> T:
        if (kept := self._kept(key, schema)) is not None:
            return kept
        self.usage.asked += 1
        try:
            reply = await self._ask_twice(prompt, schema, shape, purpose)
        except JudgeFailed:
            self.usage.failed += 1
            raise
        if self.cache is not None:
            self.cache.put(key, reply.model_dump_json())
        return reply

    def _kept(self, key: str, schema: type[T]) -> T | None:
        text = self.cache.get(key) if self.cache is not None else None
        if text is None:
            return None
        try:
            reply = read_reply(text, schema)
        except BadReply:  # a damaged entry is asked for again
            return None
        self.usage.cached += 1
        return reply

    async def _ask_twice(self, prompt: list[Message], schema: type[T], shape: dict[str, Any], purpose: str) -> T:
        seed = int(self.parameters.get("seed", 0))
        messages = prompt
        reason = ""
        for attempt in range(2):
            completion = await self._complete(messages, shape, purpose, seed + attempt)
            self.usage.prompt_tokens += completion.prompt_tokens
            self.usage.completion_tokens += completion.completion_tokens
            try:
                return _read(completion, schema)
            except BadReply as error:
                reason = str(error)
                self.usage.again += 1 - attempt
                # What the judge said is not repeated: it may hold judged text outside its marks.
                again = "Reply with the JSON object alone, without a code fence."
                messages = _with_words(prompt, f"An earlier reply could not be used: {reason}. {again}")
        raise JudgeFailed(f"its reply could not be used twice: {reason}")

    async def _complete(self, messages: list[Message], shape: dict[str, Any], purpose: str, seed: int) -> Completion:
        body = {"model": self.model, **self.parameters, "seed": seed}
        if self._takes_schema is not False:
            named = {"name": purpose, "schema": shape, "strict": True}
            try:
                completion = await self.server.complete(
                    {
                        **body,
                        "messages": _plain(messages),
                        "response_format": {"type": "json_schema", "json_schema": named},
                    }
                )
            except Refused as error:
                if self._takes_schema:
                    raise JudgeFailed(str(error)) from None
            else:
                self._takes_schema = True
                return completion
        words = f"Reply with one JSON object that fits this JSON Schema, and nothing else:\n{_compact(shape)}"
        try:
            completion = await self.server.complete({**body, "messages": _plain(_with_words(messages, words))})
        except Refused as error:
            raise JudgeFailed(str(error)) from None
        self._takes_schema = False  # the same request was taken without it: remembered for this server
        return completion


def open_judge(
    settings: Settings,
    *,
    model: str = "",
    cache: CallCache | None = None,
    timeout_s: float = 60.0,
) -> ModelJudge:
    """The judge that the settings name; ``model`` overrides theirs. Raises UserError when they name none."""
    name = model or settings.judge_model
    if not settings.judge_base_url or not name:
        missing = "LOCKGATE_JUDGE_BASE_URL" if not settings.judge_base_url else "LOCKGATE_JUDGE_MODEL"
        raise UserError(
            f"No judge is set: {missing} is empty.",
            hint="Set LOCKGATE_JUDGE_BASE_URL and LOCKGATE_JUDGE_MODEL to an OpenAI-compatible server and its model.",
        )
    server = JudgeServer(
        base_url=settings.judge_base_url,
        api_key=settings.judge_api_key.get_secret_value(),
        concurrency=settings.judge_concurrency,
        timeout_s=timeout_s,
    )
    return ModelJudge(server, name, PromptBook(settings.project_dir), cache)


@lru_cache(maxsize=256)
def _shape_of(schema: type[BaseModel]) -> dict[str, Any]:
    """Made once: it takes as long as a fast judge's reply."""
    shape: dict[str, Any] = closed_shape(schema.model_json_schema())
    return shape


def closed_shape(shape: Any) -> Any:
    """``shape`` with every key needed and no other allowed: servers that constrain output ask for it to be said."""
    if isinstance(shape, list):
        return [closed_shape(item) for item in shape]
    if not isinstance(shape, dict):
        return shape
    made: dict[str, Any] = {}
    for key, value in shape.items():
        if key in ("properties", "$defs") and isinstance(value, dict):  # names of the caller's, not words of the schema
            made[key] = {name: closed_shape(item) for name, item in value.items()}
        elif key != "default":
            made[key] = closed_shape(value)
    if isinstance(shape.get("properties"), dict):
        made |= {"additionalProperties": False, "required": list(shape["properties"])}
    return made


def _read(completion: Completion, schema: type[T]) -> T:
    if completion.refusal:
        raise BadReply("the model refused to answer")
    if completion.cut:
        raise BadReply("it was cut off for want of room")
    return read_reply(completion.text, schema)


def _with_words(messages: list[Message], words: str) -> list[Message]:
    """``messages`` with ``words`` at the end of the last one: the end is what a model heeds most."""
    last = messages[-1]
    return [*messages[:-1], Message(last.role, f"{last.content}\n\n{words}")]


def _plain(messages: list[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _compact(shape: Mapping[str, Any]) -> str:
    import json

    return json.dumps(shape, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
