"""Checks that do what a test says, in a policy of their own."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from guardrails import catalogue
from guardrails.check import STAGES, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.policy import Policy, PolicyFile

_released = threading.Event()

Fails = Literal["", "raises", "hangs", "nan", "two", "prose", "nothing", "unbuilt", "awaits", "exits"]


class WordSettings(CheckSettings):
    check: Literal["word", "other"]
    word: str = "secret"
    fails: Fails = ""
    score: float = 1.0
    private: bool = False
    reversible: bool = False
    rewritten: str | None = Field(default=None)


class Word:
    """Finds a word, or fails as it is told."""

    name: ClassVar[str] = "word"
    stages: ClassVar[frozenset[Stage]] = frozenset(STAGES)
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "redact", "rewrite", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = WordSettings

    def __init__(self, settings: WordSettings, _tools: GuardTools, /) -> None:
        if settings.fails == "unbuilt":
            raise FileNotFoundError("the weights are missing")
        self._settings = settings
        if settings.fails == "awaits":
            self.look = self._forever  # type: ignore[method-assign]

    async def _forever(self, seen: Seen) -> Found:
        await asyncio.sleep(60)
        return Found(0.0)

    def look(self, seen: Seen) -> Any:
        fails = self._settings.fails
        if fails == "raises":
            raise RuntimeError("broken")
        if fails == "exits":
            raise SystemExit(3)
        if fails == "hangs":
            _released.wait(10)
        bad = {"nan": Found(math.nan), "two": Found(2.0), "prose": "yes", "nothing": None}
        if fails in bad:
            return bad[fails]
        return self._found(seen.text)

    def _found(self, text: str) -> Found:
        word = self._settings.word
        spans: list[Span] = []
        at = text.find(word)
        while at >= 0:
            replacement = f"[w{len(spans)}]" if self._settings.reversible else "[removed]"
            private, reversible = self._settings.private, self._settings.reversible
            spans.append(Span(at, at + len(word), "word", replacement, private=private, reversible=reversible))
            at = text.find(word, at + len(word))
        score = self._settings.score if spans else 0.0
        return Found(score, tuple(spans), "it is there" if spans else "", rewritten=self._settings.rewritten)


@contextmanager
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While this lasts, the catalogue knows the checks ``word`` and ``other``."""
    monkeypatch.setitem(catalogue.CHECKS, "word", Word)
    monkeypatch.setitem(catalogue.CHECKS, "other", Word)
    _released.clear()
    yield
    release()


def release() -> None:
    """Let every check that hangs go on."""
    _released.set()


def policy_with(*checks: CheckSettings, stage: Stage = "input", dry_run: bool = False) -> Policy:
    """A policy with these checks at one stage. Built around the file's model, which knows only what ships."""
    file = PolicyFile(name="own", description="d", owner="me", dry_run=dry_run).model_copy(update={stage: checks})
    return Policy("own", "0" * 64, "", "own.yaml", file, dry_run)
