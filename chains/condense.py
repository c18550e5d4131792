"""A follow-up question made to stand alone, by a rule that copies words and never invents any."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chains.sentences import content_words
from lockgate.types import Message

_POINTS_BACK = re.compile(
    r"\b(?:it|its|that|this|these|those|they|them|their|there|one|ones|same|else|former|latter|above|he|she|him|her)\b",
    re.IGNORECASE,
)
_CONTINUES = re.compile(r"^\s*(?:and|but|or|so|then|also|what about|how about|what if|why|why not|where|when)\b", re.I)
_FEW_WORDS = 2


def follows_up(question: str) -> bool:
    """Whether the question leans on what was said before."""
    words = content_words(question)
    return bool(_POINTS_BACK.search(question) or _CONTINUES.match(question)) or len(words) <= _FEW_WORDS


def asks_model(question: str, history: Sequence[Message]) -> bool:
    """Whether a chain with ``condense: model`` asks its model to complete the question."""
    return any(message.content.strip() for message in history) and follows_up(question.strip())


def condense(question: str, history: Sequence[Message]) -> str:
    """The question, completed with the last user question that stood alone when it leans on the history."""
    if not history or not follows_up(question):
        return question
    earlier = [message.content for message in history if message.role == "user"]
    for before in reversed(earlier):
        if not follows_up(before) or before is earlier[0]:
            return f"{before.strip()} {question.strip()}"
    return question
