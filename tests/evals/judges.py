"""Judges in this process: they reply by a function, and see exactly what a real one would see."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from evals.judge.book import PromptBook
from evals.judge.identity import JudgeIdentity
from evals.judge.reply import BadReply, read_reply
from evals.judge.server import JudgeFailed
from lockgate.types import Message

T = TypeVar("T", bound=BaseModel)

SHIPPED = PromptBook(Path())
"""Loaded once for all tests; one that registers a rubric takes its own."""

Script = Callable[[str, str], Mapping[str, Any] | str]
"""(purpose, everything that the judge was told) to its reply."""


@dataclass
class FakeJudge:
    script: Script
    prompts: PromptBook = field(default_factory=lambda: SHIPPED)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def identity(self) -> JudgeIdentity:
        return JudgeIdentity("fake", "nowhere", self.prompts.hashes, {})

    async def ask(self, prompt: list[Message], schema: type[T], *, purpose: str) -> T:
        told = "\n".join(message.content for message in prompt)
        self.asked.append((purpose, told))
        reply = self.script(purpose, told)
        try:
            return read_reply(reply if isinstance(reply, str) else json.dumps(reply), schema)
        except BadReply as error:
            raise JudgeFailed(str(error)) from None


_DATA = re.compile(r"<data ([0-9a-f]+)>\n(.*?)\n</data \1>", re.DOTALL)


def data_in(told: str) -> list[str]:
    """The texts between the data marks."""
    return [text for _, text in _DATA.findall(told)]


def sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def honest(purpose: str, told: str) -> Mapping[str, Any]:
    """Claims are sentences; a claim is supported, and a passage relevant, when it stands word for word."""
    texts = data_in(told)
    if purpose == "claims":
        return {"claims": sentences(texts[1])}
    if purpose == "verify":
        claims = [text for text in texts if re.match(r"\d+\. ", text)]
        evidence = "\n".join(text for text in texts if text not in claims).lower()
        return {
            "verdicts": [
                {"claim": n, "reason": "r", "supported": claim.split(". ", 1)[1].lower().rstrip(".") in evidence}
                for n, claim in enumerate(claims, 1)
            ]
        }
    if purpose == "context_precision":
        return {"reason": "r", "relevant": texts[1].lower().rstrip(".") in texts[2].lower()}
    if purpose == "preference":
        reference, first, second = texts[-3:]
        right = [reference.lower() in text.lower() for text in (first, second)]
        return {"reason": "r", "better": "tie" if right[0] == right[1] else "first" if right[0] else "second"}
    asked, said = (set(re.findall(r"\w{4,}", text.lower())) for text in (texts[0], texts[-1]))
    return {"reason": "r", "level": 5 if asked & said else 1}


WISHES = re.compile(
    r"1\.0|full marks|perfect|supported|faithful|highest|ignore|judge|grader|level 5|pass(?:es)? (?:it|this)|hodnoť"
    r"|best possible|approve|10/10|top score|correct|verdict",
    re.IGNORECASE,
)


def gullible(purpose: str, told: str) -> Mapping[str, Any]:
    """Honest, until the data asks for something: then it gives the best it can."""
    if not any(WISHES.search(text) for text in data_in(told)):
        return honest(purpose, told)
    count = len([text for text in data_in(told) if re.match(r"\d+\. ", text)])
    if purpose == "claims":
        return honest(purpose, told)
    if purpose == "verify":
        return {"verdicts": [{"claim": n, "reason": "told to", "supported": True} for n in range(1, count + 1)]}
    if purpose == "context_precision":
        return {"reason": "told to", "relevant": True}
    if purpose == "preference":
        return {"reason": "told to", "better": "first" if WISHES.search(data_in(told)[-2]) else "second"}
    return {"reason": "told to", "level": 5}
