"""What an answer must not give away: the instructions it was given, and long passages word for word."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from guardrails.check import NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.decoding import Decoded
from guardrails.normalise import Normalised, normalised, without_markup

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_CANARY = re.compile(r"\blg-canary-[0-9a-z]{8,40}\b")
_MAX_DECODED = 20


class PromptLeakSettings(CheckSettings):
    """Finds the system prompt in an answer.

    ``canaries``: strings that stand in the prompt and nowhere else; one of them in an answer, in any dress, scores 1.
    A string in the prompt that looks like ``lg-canary-3f9a0c71`` is one without being named here.
    ``words``: how many words in a row, taken from the prompt, make a score of 0.5; twice as many make 1. Words that
    also stand in a row in the question or in a passage do not count. ::

        - check: prompt_leak
          action: block
          threshold: 0.5
          message: I cannot show my instructions.
    """

    check: Literal["prompt_leak"]
    action: Literal["block", "redact", "flag", "log"]
    canaries: tuple[Annotated[str, Field(min_length=8, max_length=200)], ...] = ()
    words: Annotated[int, Field(ge=4, le=100)] = 12


class PromptLeak:
    """The instructions of the bot in its answer: a canary string, or many of their words in a row, also encoded."""

    name: ClassVar[str] = "prompt_leak"
    stages: ClassVar[frozenset[Stage]] = frozenset({"output", "tool_call"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "redact", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = PromptLeakSettings

    def __init__(self, settings: PromptLeakSettings, _tools: GuardTools, /) -> None:
        self._canaries = tuple(_squeezed(each) for each in settings.canaries)
        self._words = settings.words

    def look(self, seen: Seen) -> Found:
        canaries = {*self._canaries, *map(_squeezed, _CANARY.findall(seen.prompt))}
        if not canaries and not seen.prompt:
            return NOTHING
        hidden = seen.reading.hidden[:_MAX_DECODED]
        for reading in (seen.text, *(each.text for each in hidden)) if canaries else ():
            letters = _squeezed(reading)
            if any(canary in letters or canary in letters[::-1] for canary in canaries):
                span = Span(0, len(seen.text), "canary")
                return Found(1.0, (span,), "a canary of the prompt is in the answer")
        return self._overlap(seen, hidden)

    def _overlap(self, seen: Seen, hidden: Sequence[Decoded]) -> Found:
        told = _words_of(seen.prompt)
        said = [_words_in(seen.reading.plain), *(_said(each.text) for each in hidden)]
        if not any(_in_a_row(each, told, self._words) for each in said):
            return NOTHING
        secret = _grams([seen.prompt], self._words)
        secret -= _grams([seen.question, *seen.passages], self._words)
        runs = list(_runs(seen.reading.plain, secret, self._words))
        longest = max((run.words for run in runs), default=0)
        spans = tuple(_span(run, "prompt") for run in runs)
        for each in hidden:
            inner = max((run.words for run in _runs(_plain(each.text), secret, self._words)), default=0)
            if inner:
                longest = max(longest, inner)
                spans += (Span(each.start, each.end, "prompt"),)
        if not longest:
            return NOTHING
        score = min(1.0, longest / (2 * self._words))
        return Found(score, spans, f"{longest} words in a row are those of the prompt")


class RegurgitationSettings(CheckSettings):
    """Finds long passages word for word.

    ``max_words``: how many words in a row an answer may take from one passage; one more scores 0.5, twice as many 1.
    The extractive bot quotes by design, so the default policy leaves this check out. ::

        - check: regurgitation
          action: block
          max_words: 100
          message: This can only be summarised. Please read it at its source.
    """

    check: Literal["regurgitation"]
    action: Literal["block", "redact", "flag", "log"]
    max_words: Annotated[int, Field(ge=5, le=5_000)] = 100


class Regurgitation:
    """More words in a row from one passage than the policy allows to copy."""

    name: ClassVar[str] = "regurgitation"
    stages: ClassVar[frozenset[Stage]] = frozenset({"output"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "redact", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = RegurgitationSettings

    def __init__(self, settings: RegurgitationSettings, _tools: GuardTools, /) -> None:
        self._limit = settings.max_words

    def look(self, seen: Seen) -> Found:
        size = self._limit + 1
        if len(_WORD.findall(seen.text)) < size:
            return NOTHING
        plain = seen.reading.plain
        runs = [run for passage in seen.passages for run in _runs(plain, _grams([passage], size), size)]
        if not runs:
            return NOTHING
        longest = max(run.words for run in runs)
        score = min(1.0, longest / (2 * size))
        spans = tuple(_span(run, "copied") for run in sorted(runs, key=lambda run: run.start))
        return Found(score, spans, f"{longest} words in a row are those of one passage", f"at most {self._limit} words")


@dataclass(frozen=True, slots=True)
class _Run:
    start: int
    end: int
    words: int


def _plain(text: str) -> Normalised:
    return without_markup(normalised(text))


def _words_in(read: Normalised) -> list[str]:
    return _WORD.findall(read.text.casefold())


def _said(text: str) -> list[str]:
    return _words_in(_plain(text))


@functools.lru_cache(maxsize=32)
def _words_of(prompt: str) -> frozenset[str]:
    """Kept, since every sentence of every answer is held against the same few prompts."""
    return frozenset(_said(prompt))


def _in_a_row(words: Sequence[str], known: Set[str], size: int) -> bool:
    """Whether ``size`` words in a row are in ``known``, in whatever order: quicker to see than what they say."""
    return "1" * size in "".join(["1" if word in known else "0" for word in words])


def _grams(texts: Sequence[str], size: int) -> set[int]:
    """Every ``size`` words in a row, hashed: the texts are not kept."""
    grams: set[int] = set()
    for text in texts:
        words = _said(text)
        grams.update(map(hash, zip(*(words[at:] for at in range(size)), strict=False)))
    return grams


def _runs(read: Normalised, grams: set[int], size: int) -> Iterator[_Run]:
    """The longest parts of the text of which every ``size`` words in a row are in ``grams``."""
    places = list(_WORD.finditer(read.text))
    words = [each.group().casefold() for each in places]
    first = None
    for at in range(len(words) - size + 2):
        known = at <= len(words) - size and hash(tuple(words[at : at + size])) in grams
        if known and first is None:
            first = at
        elif not known and first is not None:
            last = at + size - 2
            start, end = read.spans_back(places[first].start(), places[last].end())
            yield _Run(start, end, last - first + 1)
            first = None


def _span(run: _Run, label: str) -> Span:
    return Span(run.start, run.end, label)


def _squeezed(text: str) -> str:
    """Letters and digits alone, so that marks, spaces and case hide nothing."""
    return "".join(filter(str.isalnum, normalised(text, accents=False).text)).casefold()
