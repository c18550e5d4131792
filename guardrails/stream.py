"""An answer on its way to the user, sentence by sentence: nothing is shown before the checks have seen it.

Two sentences are held: the one that is complete and the one after it, so that what lies across their border is seen
before the first is shown. What never comes to an end is cut at a space once ``MAX_HELD`` characters wait; what has no
space either is one word and waits as long as it takes, up to ``MAX_WORD``, where it is cut too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from guardrails.check import Seen
from guardrails.finding import Finding, StageResult
from guardrails.guard import Guard

MAX_HELD = 600
MAX_WORD = 8_000

_END = re.compile(r"(?<=[.!?…。！？])[\"')\]\*_]*\s+|\n{2,}")


@dataclass(slots=True)
class AnswerStream:
    """Feeds an answer through the output checks of a guard. Use it for one answer.

    ``seen`` says what the answer is to: its question, passages and prompt. After a block, ``message`` is what to show
    instead of the rest, and nothing more is let through. A policy without checks of the output holds nothing back.
    """

    guard: Guard
    seen: Seen
    channel: str = ""
    group: str = ""
    findings: list[Finding] = field(default_factory=list)
    message: str = ""
    _checked: bool = field(init=False)
    _held: str = ""
    _ready: str = ""  # the sentence before ``_held``, complete, not shown yet

    def __post_init__(self) -> None:
        self._checked = bool(self.guard.policy.view(self.channel, self.group).checks("output"))

    @property
    def blocked(self) -> bool:
        return bool(self.message)

    async def feed(self, piece: str) -> str:
        """What may be shown now that ``piece`` has come; often nothing."""
        if self.blocked:
            return ""
        if not self._checked:
            return piece
        self._held += piece
        shown = []
        while (sentence := self._next()) is not None:
            shown.append(await self._take(sentence))
            if self.blocked:
                return "".join(shown)
        return "".join(shown)

    async def finish(self) -> str:
        """The rest of what may be shown."""
        if self.blocked:
            return ""
        rest, self._held = self._held, ""
        result = await self._look(self._ready + rest, final=True)
        self._ready = ""
        return "" if result is None else result.text

    def _next(self) -> str | None:
        """The next complete sentence of what is held, with the space after it."""
        found = _END.search(self._held)
        if found is not None and found.end() < len(self._held):
            return self._cut(found.end())
        if len(self._held) > MAX_HELD:
            space = self._held.rfind(" ", 0, MAX_HELD)
            if space > 0:
                return self._cut(space + 1)
            if len(self._held) > MAX_WORD:
                return self._cut(MAX_WORD)
        return None

    def _cut(self, at: int) -> str:
        sentence, self._held = self._held[:at], self._held[at:]
        return sentence

    async def _take(self, sentence: str) -> str:
        """Check the waiting sentence together with this one; show the waiting one."""
        before = self._ready
        if not before:
            self._ready = sentence
            return ""
        result = await self._look(before + sentence, final=False)
        if result is None:
            return ""
        if result.text != before + sentence:
            first, second = await self._look(before, final=False), await self._look(sentence, final=False)
            if first is None or second is None:
                return ""
            if first.text + second.text != result.text:
                # What was taken out lies across the border, so both wait on as one.
                self._ready = result.text
                return ""
            before = first.text
        self._ready = sentence
        return before

    async def _look(self, text: str, *, final: bool) -> StageResult | None:
        if not text:
            return StageResult("", "")
        seen = replace(self.seen, text=text, final=final)
        result = await self.guard.look(seen, channel=self.channel, group=self.group)
        self._note(result.findings)
        if result.blocked:
            self.message = result.message
            self._held = self._ready = ""
            return None
        return result

    def _note(self, found: Sequence[Finding]) -> None:
        """Each check and what it did once, with its highest score: sentences are seen more than once."""
        for each in found:
            if not each.acted and not each.error:
                continue
            noted = replace(each, spans=())  # their places are those in a part of the answer
            same = [index for index, known in enumerate(self.findings) if _what(known) == _what(noted)]
            if not same:
                self.findings.append(noted)
            elif (noted.score or 0) > (self.findings[same[0]].score or 0):
                self.findings[same[0]] = noted


def _what(finding: Finding) -> tuple[str, str, bool]:
    return finding.check, finding.acted, bool(finding.error)


async def guarded(pieces: AsyncIterator[str], stream: AnswerStream) -> AsyncIterator[str]:
    """The pieces that may be shown. Ends early after a block; the caller then shows ``stream.message``."""
    async for piece in pieces:
        if shown := await stream.feed(piece):
            yield shown
        if stream.blocked:
            return
    if shown := await stream.finish():
        yield shown
