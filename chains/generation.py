"""A generated answer on its way: what the model says goes through citing, the output filter and the policy's checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chains import answers
from chains.citing import SentenceCiter
from chains.extractive import Quote, write_quotes
from guardrails.output import OutputFilter
from guardrails.policy import Policy
from guardrails.stream import AnswerStream
from lockgate.types import Citation, Passage


class InsteadOfIt:
    """The extractive answer, made only if a generated one must not stand."""

    def __init__(self, choose: Callable[[], list[Quote]], given: Sequence[Passage], policy: Policy) -> None:
        self._choose, self._given, self._policy = choose, given, policy
        self.citations: tuple[Citation, ...] = ()

    def text(self) -> str:
        quotes = self._choose()
        self.citations = tuple(answers.citations_of_quotes(quotes, self._given))
        markup = self._policy.output_filter(answers.urls(self._given), len(self.citations))
        return markup.feed(write_quotes(quotes)) + markup.finish()


@dataclass(slots=True)
class Generation:
    """One answer to the passages ``given``. ``raw`` is what the model said, ``said`` what the user read."""

    given: Sequence[Passage]
    citer: SentenceCiter
    markup: OutputFilter
    stream: AnswerStream
    quotes: InsteadOfIt
    raw: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def feed(self, piece: str) -> str:
        """What may be shown now that the model has said ``piece``."""
        self.raw.append(piece)
        return self._say(await self.stream.feed(self.markup.feed(self.citer.feed(piece))))

    async def finish(self) -> str:
        """The rest of what is shown: of the answer, or what the policy says in its place."""
        last = self.markup.feed(self.citer.finish()) + self.markup.finish()
        rest = self._say(await self.stream.feed(last) + await self.stream.finish())
        return rest + (said_instead(self.said, self.stream.message) if self.stream.blocked else "")

    def _say(self, text: str) -> str:
        if text:
            self.said.append(text)
        return text

    @property
    def ended(self) -> bool:
        """Whether the model need not go on: it repeats itself, or the policy has blocked the rest."""
        return self.citer.repeats or self.stream.blocked

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def as_written(self) -> bool:
        """Whether the user read what the model wrote, to its end."""
        return not self.stream.blocked and not self.stream.rewritten

    @property
    def citations(self) -> tuple[Citation, ...]:
        if self.stream.rewritten:
            return self.quotes.citations
        return tuple(answers.citations_of_passages(self.citer.cited, self.given))

    @property
    def uncited(self) -> int:
        return 0 if self.stream.rewritten else self.citer.uncited

    def abstains(self, abstention: str) -> bool:
        """Whether the answer says that the documents do not hold one."""
        return not self.stream.rewritten and not self.citer.cited and answers.says_not_found(self.text, abstention)

    @property
    def notes(self) -> list[str]:
        notes = list(self.markup.actions)
        if self.citer.removed and not self.stream.rewritten:
            notes.append(f"removed {self.citer.removed} unsupported citation(s)")
        if self.uncited:
            notes.append(f"{self.uncited} sentence(s) without a citation")
        return notes


def said_instead(said: list[str], message: str) -> str:
    """What follows what was said when the rest is blocked; noted in ``said``."""
    text = f"\n\n{message}" if "".join(said).strip() else message
    said.append(text)
    return text
