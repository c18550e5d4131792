"""One door to chat models: the in-process model and any OpenAI-compatible server, both as LangChain chat models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from lockgate.errors import LockgateError, Unavailable, UserError
from lockgate.settings import Settings
from lockgate.types import Message, Role

if TYPE_CHECKING:
    from lockgate.ports import Generator

PROBE_SECONDS = 5.0

_ROLES: dict[str, Role] = {"system": "system", "human": "user", "ai": "assistant"}


class LocalChatModel(BaseChatModel):
    """The in-process model behind LangChain's interface."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    generator: Any
    max_tokens: int = 160
    temperature: float = 0.0
    seed: int | None = None

    @property
    def _llm_type(self) -> str:
        return "lockgate-local"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        generator = cast("Generator", self.generator)
        pieces = generator.stream(
            [_from_langchain(message) for message in messages],
            max_tokens=kwargs.get("max_tokens", self.max_tokens),
            temperature=kwargs.get("temperature", self.temperature),
            stop=tuple(stop or ()),
            seed=kwargs.get("seed", self.seed),
        )
        try:
            async for piece in pieces:
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"finish_reason": "stop"}))
        finally:
            await cast("Any", pieces).aclose()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        async def collect() -> str:
            return "".join([str(chunk.message.content) async for chunk in self._astream(messages, stop, **kwargs)])

        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=asyncio.run(collect())))])


def server_model(settings: Settings, name: str) -> BaseChatModel:
    """A model behind ``OPENAI_BASE_URL``, for example vLLM; the key may be anything where the server asks for none."""
    from langchain.chat_models import init_chat_model

    return init_chat_model(
        name,
        model_provider="openai",
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key or "none",
        streaming=True,
        stream_usage=False,
        max_retries=0,
        timeout=120,
    )


def probe_server(settings: Settings) -> None:
    """Ask the server at ``OPENAI_BASE_URL`` for its models. Raises Unavailable unless it answers, whatever it lists."""
    import httpx

    url = settings.openai_base_url
    headers = {"authorization": f"Bearer {settings.openai_api_key or 'none'}"}
    try:
        status = httpx.get(f"{url.rstrip('/')}/models", headers=headers, timeout=PROBE_SECONDS).status_code
    except httpx.HTTPError as error:
        reason = f"{type(error).__name__}: {error}"[:300]
        raise Unavailable(
            f"OPENAI_BASE_URL: the model server at {shown_address(url)} does not answer ({reason}).",
            hint="Start it, or correct the address.",
            retry_after=5,
        ) from error
    # A server that does not list its models answers 404, and may chat all the same.
    if status in (401, 403) or status >= 500:
        raise Unavailable(
            f"OPENAI_BASE_URL: the model server at {shown_address(url)} answers with status {status}.",
            hint="Check its log." if status >= 500 else "Check OPENAI_API_KEY.",
            retry_after=5,
        )


def shown_address(url: str) -> str:
    """``url`` without a user name and password, which may stand before the host."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


async def stream_text(
    model: BaseChatModel,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    temperature: float,
    stop: Sequence[str],
    seed: int | None,
) -> AsyncIterator[str]:
    """The model's words as they come.

    Raises Unavailable when its server fails or hangs up midway, UserError when it refuses the input.
    """
    options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    if seed is not None:
        options["seed"] = seed
    if stop:
        options["stop"] = list(stop)
    chunks = model.astream([_to_langchain(message) for message in messages], **options)
    finished = False
    try:
        async for chunk in chunks:
            finished = finished or bool(chunk.response_metadata.get("finish_reason"))
            if text := _text(chunk.content):
                yield text
    except (LockgateError, asyncio.CancelledError):
        raise
    except Exception as error:
        raise _server_error(error) from error
    finally:
        await cast("Any", chunks).aclose()
    if not finished:
        raise _server_failed("it hung up before the end of its answer")


def _server_error(error: Exception) -> LockgateError:
    status = getattr(error, "status_code", None)
    reason = f"{type(error).__name__}: {error}"[:300]
    if status in (400, 404, 422):
        return UserError(f"OPENAI_BASE_URL: the model server refused the request ({reason}).")
    return _server_failed(reason)


def _server_failed(reason: str) -> Unavailable:
    return Unavailable(
        f"OPENAI_BASE_URL: the model server failed ({reason}).",
        hint="Check that it runs and that the chain's model name is one it serves.",
        retry_after=5,
    )


def _to_langchain(message: Message) -> BaseMessage:
    kinds: dict[Role, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return kinds[message.role](content=message.content)


def _from_langchain(message: BaseMessage) -> Message:
    return Message(_ROLES[message.type], _text(message.content))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(_pieces(content))


def _pieces(content: Any) -> Iterator[str]:
    for part in content:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and part.get("type") == "text":
            yield str(part.get("text", ""))
