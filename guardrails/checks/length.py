"""How long a text may be."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from guardrails.check import NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Stage


class InputLengthSettings(CheckSettings):
    """Blocks a text that is longer than ``max_characters``."""

    check: Literal["input_length"]
    action: Literal["block", "flag", "log"]
    max_characters: Annotated[int, Field(ge=1, le=1_000_000)]


class InputLength:
    """A question of more than ``max_characters``."""

    name: ClassVar[str] = "input_length"
    stages: ClassVar[frozenset[Stage]] = frozenset({"input", "document", "context", "tool_call"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = InputLengthSettings

    def __init__(self, settings: InputLengthSettings, _tools: GuardTools, /) -> None:
        self._limit = settings.max_characters

    def look(self, seen: Seen) -> Found:
        if len(seen.text) <= self._limit:
            return NOTHING
        words = f"{len(seen.text)} characters, at most {self._limit}"
        return Found(1.0, reason=words, told=words)
