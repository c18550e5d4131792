"""One door to chat models: the in-process model and any OpenAI-compatible server, both as LangChain chat models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

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
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    return ChatOpenAI(
        model=name,
        base_url=settings.openai_base_url,
        api_key=SecretStr(settings.openai_api_key or "none"),
        streaming=True,
        stream_usage=False,
        max_retries=0,
        timeout=120,
    )


async def stream_text(
    model: BaseChatModel,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    temperature: float,
    stop: Sequence[str],
    seed: int | None,
) -> AsyncIterator[str]:
    """The model's words as they come. Raises Unavailable when its server fails, UserError when it refuses the input."""
    options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    if seed is not None:
        options["seed"] = seed
    if stop:
        options["stop"] = list(stop)
    chunks = model.astream([_to_langchain(message) for message in messages], **options)
    try:
        async for chunk in chunks:
            if text := _text(chunk.content):
                yield text
    except (LockgateError, asyncio.CancelledError):
        raise
    except Exception as error:
        raise _server_error(error) from error
    finally:
        await cast("Any", chunks).aclose()


def _server_error(error: Exception) -> LockgateError:
    status = getattr(error, "status_code", None)
    reason = f"{type(error).__name__}: {error}"[:300]
    if status in (400, 404, 422):
        return UserError(f"OPENAI_BASE_URL: the model server refused the request ({reason}).")
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
