"""What POST /v1/chat/completions answers: OpenAI's completion and chunk objects, with one extra field ``lockgate``."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from lockgate.types import Answer, Citation


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """What every object of one reply shares."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None, usage: bool = False) -> dict[str, Any]:
        """With ``usage`` asked for, every chunk carries the key, null but in the last."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._object("chat.completion.chunk", [choice]) | ({"usage": None} if usage else {})

    def usage_chunk(self, answer: Answer) -> dict[str, Any]:
        return self._object("chat.completion.chunk", []) | {"usage": usage_of(answer)}

    def completion(self, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        return self._object("chat.completion", [choice]) | {
            "system_fingerprint": fingerprint_of(answer),
            "usage": usage_of(answer),
            "lockgate": account_of(answer),
        }

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
            "choices": choices,
        }


def fingerprint_of(answer: Answer) -> str:
    """OpenAI's name for the configuration that answered; here that is the release."""
    return f"lg_{answer.release[:12]}"


def usage_of(answer: Answer) -> dict[str, int]:
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def account_of(answer: Answer) -> dict[str, Any]:
    """The ``lockgate`` field: where the answer comes from, and the trace to refer to in feedback."""
    return {
        "trace_id": answer.trace_id,
        "release": answer.release,
        "channel": answer.channel or None,
        "forced": answer.forced,
        "snapshot": answer.snapshot,
        "mode": answer.mode,
        "abstained": answer.abstained,
        "citations": [citation_of(citation) for citation in answer.citations],
        "uncited_sentences": answer.uncited_sentences,
        "guardrails": list(answer.guardrails),
        "grounding": None if answer.grounding is None else answer.grounding.as_json(),
        "indexing": answer.indexing,
    }


def citation_of(citation: Citation) -> dict[str, Any]:
    return {
        "number": citation.number,
        "title": citation.title,
        "source": citation.source,
        "path": citation.path,
        "heading": list(citation.heading),
        "version": citation.version,
        "anchor": citation.anchor,
        "page": citation.page,
        "chunk_id": citation.chunk_id,
        "text": citation.text,
    }


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + to_json(data) + b"\n\n"


DONE = b"data: [DONE]\n\n"
PING = b": still working\n\n"
