"""What POST /v1/chat/completions reads: OpenAI's request, and what of it becomes an AskRequest.

Read and used: model, messages, stream, stream_options.include_usage, max_tokens or max_completion_tokens, temperature,
seed, stop, user or safety_identifier (which side of a rollout answers), and Lockgate's own ``lockgate: {"mode":
"extractive" | "generative", "conversation": ID}``. Refused because ignoring them
would give another answer than the one asked for: n over 1, tools, functions, logprobs, audio, a response_format other
than text, content parts other than text. Every other parameter is accepted and has no effect.

System and developer messages are accepted and not used: the chain's own prompt is what its evidence was measured
with, and a caller's instructions could undo its guardrails.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lockgate.types import AnswerMode, AskRequest, Message, Origin
from serving.failures import RequestRefused

MAX_TOKENS = 131_072
MAX_MESSAGES = 500
MAX_STOPS = 4
MAX_KEY = 512


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class TextPart(_Model):
    type: Literal["text"]
    text: str


class ChatMessage(_Model):
    """``content`` is text or a list of text parts; null only where an assistant message called a tool."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(_Model):
    include_usage: bool = False


class ResponseFormat(_Model):
    type: str


class LockgateOptions(BaseModel):
    """Lockgate's own options; unknown keys are errors here, since no client sends them by habit."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    mode: AnswerMode | None = None
    conversation: Annotated[str, Field(max_length=MAX_KEY)] = ""


StopText = Annotated[str, Field(min_length=1, max_length=200)]


class ChatRequest(_Model):
    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    user: Annotated[str, Field(max_length=MAX_KEY)] | None = None
    safety_identifier: Annotated[str, Field(max_length=MAX_KEY)] | None = None
    lockgate: LockgateOptions | None = None

    @property
    def conversation(self) -> str:
        """What keeps a rollout's answers to one conversation, or to one user, on one release; "" when none is named."""
        own = self.lockgate.conversation if self.lockgate else ""
        return own or self.safety_identifier or self.user or ""

    @property
    def streams(self) -> bool:
        return bool(self.stream)

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def read_chat_request(body: bytes) -> ChatRequest:
    """Raises RequestRefused naming the parameter, as OpenAI names it, and the value it was given."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None
    _refuse_unsupported(request)
    return request


def ask_request(request: ChatRequest, *, origin: Origin = "api") -> AskRequest:
    """The question is the last message, the history what the user and the assistant said before it."""
    *before, last = request.messages
    if last.role != "user":
        raise RequestRefused(
            f"The last message must be from the user, not from {last.role!r}.", param=f"messages[{len(before)}].role"
        )
    if not last.text.strip():
        raise RequestRefused("The last message is empty.", param=f"messages[{len(before)}].content")
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    return AskRequest(
        question=last.text,
        history=tuple(
            Message("user" if message.role == "user" else "assistant", message.text)
            for message in before
            if message.role in ("user", "assistant") and message.text.strip()
        ),
        origin=origin,
        mode=request.lockgate.mode if request.lockgate else None,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        temperature=request.temperature,
        seed=request.seed,
        stop=stop,
        conversation=request.conversation,
    )


def _refuse_unsupported(request: ChatRequest) -> None:
    if request.tools or request.functions:
        raise RequestRefused(
            "Tools are not supported: this model answers from documents only. Leave the parameter out.",
            code="unsupported_parameter",
            param="tools" if request.tools else "functions",
        )
    if request.n is not None and request.n > 1:
        raise RequestRefused("Only n=1 is supported.", code="unsupported_parameter", param="n")
    if request.response_format is not None and request.response_format.type != "text":
        raise RequestRefused(
            f"response_format {request.response_format.type!r} is not supported, only 'text'.",
            code="unsupported_parameter",
            param="response_format",
        )
    if request.logprobs:
        raise RequestRefused("logprobs are not supported.", code="unsupported_parameter", param="logprobs")
    if request.modalities and request.modalities != ["text"]:
        raise RequestRefused("Only the modality 'text' is supported.", code="unsupported_parameter", param="modalities")


def _refusal(error: ValidationError) -> RequestRefused:
    # Of a union, every branch complains; the one that got deepest is the one that was meant.
    item = max(error.errors(include_url=False), key=lambda found: len(found["loc"]))
    if item["type"] == "json_invalid":
        return RequestRefused(f"The body is not JSON that can be read: {item['msg']}.", code="invalid_json")
    if not item["loc"]:
        return RequestRefused(f"The body must be a JSON object, got {_short(item.get('input'))}.")
    param = _param(item["loc"])
    if item["type"] == "missing":
        return RequestRefused(f"Missing required parameter: {param!r}.", code="missing_required_parameter", param=param)
    if item["type"] == "extra_forbidden":
        return RequestRefused(f"Unknown parameter: {param!r}.", code="unknown_parameter", param=param)
    if item["loc"] == ("messages",) and item["type"] == "too_short":
        return RequestRefused("messages is empty; send at least one message from the user.", param=param)
    if param.endswith(".type") and "content" in item["loc"]:
        return RequestRefused(f"Only text content parts are supported, got {_short(item.get('input'))}.", param=param)
    return RequestRefused(f"Invalid value for {param!r}: {item['msg']}, got {_short(item.get('input'))}.", param=param)


_UNION_BRANCHES = ("str", "int", "list[TextPart]", "constrained-str")


def _param(loc: tuple[int | str, ...]) -> str:
    """``messages[0].content`` of ("messages", 0, "content", "str"): the union's branch is no part of the name."""
    name = ""
    for part in loc:
        if isinstance(part, int):
            name += f"[{part}]"
        elif part not in _UNION_BRANCHES and "[" not in part:
            name += f".{part}" if name else part
    return name


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
