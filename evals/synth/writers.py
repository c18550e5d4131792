"""Who writes the questions: the rules, the model in this process, or one behind an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from chains.sentences import split_sentences
from evals.judge.fencing import fenced
from evals.runs.call_cache import CountedCalls, call_key
from evals.synth.corpus import Page
from evals.synth.drafts import MAX_REFERENCE, Draft, Kind
from evals.synth.english import bare_subject, has_pronoun, one_line, without_marks
from evals.synth.proposal import Maker
from evals.synth.rules import drafts_of
from lockgate.types import Chunk, Message

if TYPE_CHECKING:
    from evals.judge.judge import ModelJudge
    from lockgate.ports import Generator
    from prompts.prompt import Prompt

T = TypeVar("T")

AT_ONCE = 8
"""Pages that a server is asked about at once."""

LOCAL_TOKENS = 48

ENOUGH = 25
"""Words of running text that a passage should have."""

RULES = "rules-1"
"""The rules by their version; a change of what they write raises it."""

_FENCED = re.compile(r"^[ \t]*(`{3,}).*?^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_TELLS = re.compile(r"\d|`|\b(?:must|default|only|never|always|because|when|if|at most|at least|maximum|minimum)\b")


class Writer(Protocol):
    maker: Maker

    def drafts(self, pages: Sequence[Page], turn: int) -> Mapping[str, Sequence[Draft]]:
        """Questions by page, the best first; ``turn`` counts how often the same pages were asked for before.

        Raises BudgetSpent.
        """
        ...

    def near_misses(self, pages: Sequence[Page]) -> Sequence[Draft] | None:
        """Questions that the pages leave open; None when this writer makes none of its own."""
        ...


@dataclass
class RuleWriter:
    """No model. Its drafts are the same in every turn."""

    maker: Maker = field(default_factory=lambda: Maker(kind="rules", name=RULES))
    _kept: dict[str, list[Draft]] = field(default_factory=dict, repr=False)

    def drafts(self, pages: Sequence[Page], _turn: int) -> Mapping[str, Sequence[Draft]]:
        for page in pages:
            if page.path not in self._kept:
                self._kept[page.path] = drafts_of(page)
        return {page.path: self._kept[page.path] for page in pages}

    def near_misses(self, _pages: Sequence[Page]) -> Sequence[Draft] | None:
        return None


@dataclass
class LocalWriter:
    """The model in this process, told one sentence at a time: it is too small to find one in a passage."""

    generator: Generator
    prompt: Prompt
    calls: CountedCalls
    maker: Maker
    runner: asyncio.Runner
    failed: list[str] = field(default_factory=list)

    def drafts(self, pages: Sequence[Page], turn: int) -> Mapping[str, Sequence[Draft]]:
        return {page.path: list(self._of_page(page, turn)) for page in pages}

    def near_misses(self, _pages: Sequence[Page]) -> Sequence[Draft] | None:
        return None

    def _of_page(self, page: Page, turn: int) -> Iterator[Draft]:
        told = [(chunk, sentence) for chunk in page.chunks for sentence in _telling(chunk)]
        picked = _pick(told, page, self.maker.seed, turn)
        if picked is None:
            return
        chunk, sentence = picked
        messages = self.prompt.messages({"title": fenced(_topic(chunk)), "sentence": fenced(sentence)})
        said = self.runner.run(self._said(messages))
        question = one_line(said.strip().split("\n")[0].removeprefix("Question:"))
        if question.endswith("?"):
            yield Draft("model", question, sentence, (chunk,), 0, question)

    async def _said(self, messages: list[Message]) -> str:
        parameters = {"temperature": 0, "max_tokens": LOCAL_TOKENS, "seed": self.maker.seed}
        key = call_key(
            "synth",
            model=self.generator.digest,
            messages=[[each.role, each.content] for each in messages],
            parameters=parameters,
        )
        kept = self.calls.get(key)
        if kept is not None:
            return kept
        pieces = self.generator.stream(messages, max_tokens=LOCAL_TOKENS, temperature=0.0, seed=self.maker.seed)
        said = "".join([piece async for piece in pieces])
        self.calls.put(key, said)
        return said


class _Reply(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


R = TypeVar("R", bound=_Reply)


class Asked(_Reply):
    """A question with the words of the passage that answer it."""

    question: str
    quote: str


class LeftOpen(_Reply):
    """A question that the passage does not answer."""

    question: str


@dataclass
class ServerWriter:
    """A model by URL. What it says is checked like everything else: a quote must stand in the passage."""

    judge: ModelJudge
    maker: Maker
    runner: asyncio.Runner
    failed: list[str] = field(default_factory=list)

    def drafts(self, pages: Sequence[Page], turn: int) -> Mapping[str, Sequence[Draft]]:
        made = self.runner.run(_together([self._asked(page, turn) for page in pages]))
        found: dict[str, list[Draft]] = {page.path: [] for page in pages}
        for draft in made:
            if draft is not None:
                found[draft.path].append(draft)
        return found

    def near_misses(self, pages: Sequence[Page]) -> Sequence[Draft]:
        made = self.runner.run(_together([self._left_open(page) for page in pages]))
        return [draft for draft in made if draft is not None]

    async def _asked(self, page: Page, turn: int) -> Draft | None:
        chunk = _passage(page, self.maker.seed, turn)
        if chunk is None:
            return None
        reply = await self._ask("synth-question", chunk, Asked)
        return None if reply is None else _draft("model", reply.question, one_line(reply.quote), chunk)

    async def _left_open(self, page: Page) -> Draft | None:
        chunk = _passage(page, self.maker.seed, 0)
        if chunk is None:
            return None
        reply = await self._ask("synth-near-miss", chunk, LeftOpen)
        return None if reply is None else _draft("model-near", reply.question, "", chunk)

    async def _ask(self, prompt: str, chunk: Chunk, shape: type[R]) -> R | None:
        from evals.judge.server import JudgeFailed

        messages = self.judge.prompts.messages(prompt, {"title": _topic(chunk), "passage": chunk.text})
        try:
            return await self.judge.ask(messages, shape, purpose=prompt.replace("-", "_"))
        except JudgeFailed as error:
            self.failed.append(error.reason)
            return None


def _draft(kind: Kind, question: str, reference: str, chunk: Chunk) -> Draft:
    return Draft(kind, one_line(question), reference, (chunk,), 0, one_line(question))


async def _together(work: Sequence[object]) -> list[Draft | None]:
    """All at once; the first error once every one has ended, so that none is left behind."""
    found = await asyncio.gather(*work, return_exceptions=True)  # type: ignore[call-overload]
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return list(found)


def _telling(chunk: Chunk) -> list[str]:
    """Sentences of running text that can be understood alone and say something definite."""
    prose = _FENCED.sub("\n\n", chunk.text)
    blocks = [block for block in re.split(r"\n{2,}", prose) if block.strip() and not re.match(r"\s*[-*+|\d]", block)]
    found = [one_line(sentence) for block in blocks for sentence in split_sentences(" ".join(block.split("\n")))]
    whole = [
        each for each in found if 7 <= len(each.split()) <= 45 and each.endswith(".") and len(each) <= MAX_REFERENCE
    ]
    clear = [
        each for each in whole if bare_subject(each.split(" ")[0]) and not has_pronoun(" ".join(each.split(" ")[:3]))
    ]
    return sorted(clear, key=lambda each: not _TELLS.search(each))[:3]


def _passage(page: Page, seed: int, turn: int) -> Chunk | None:
    """One with enough to ask about, another in each turn; None when the page has no more."""
    full = [chunk for chunk in page.chunks if len(_FENCED.sub("", chunk.text).split()) >= ENOUGH]
    return _pick(full or list(page.chunks), page, seed, turn)


def _pick(items: Sequence[T], page: Page, seed: int, turn: int) -> T | None:
    order = Random(f"{seed}/{page.path}").sample(range(len(items)), len(items))  # noqa: S311 - picks, hides nothing
    return items[order[turn]] if turn < len(items) else None


def _topic(chunk: Chunk) -> str:
    return without_marks(" > ".join(dict.fromkeys((chunk.title, *chunk.heading))))
