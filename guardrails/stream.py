"""An answer on its way to the user, sentence by sentence: nothing is shown before the checks have seen it.

Two sentences are held: the one that is complete and the one after it, so that what lies across their border is seen
before the first is shown. What never comes to an end is cut at a space once ``MAX_HELD`` characters wait; what has no
space either is one word and waits as long as it takes, up to ``MAX_WORD``, where it is cut too. A check that judges an
answer as a whole sees it when it has ended; where the policy lets such a check take the answer back, all of it waits.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from guardrails.check import Seen
from guardrails.finding import Finding, StageResult
from guardrails.guard import Guard
from guardrails.policy import Policy

MAX_HELD = 600
MAX_WORD = 8_000

# Behind two characters: "k . e . y" and "k. e. y." are one word, spelled out.
_END = re.compile(r"(?<=\S\S[.!?…。！？])[\"')\]\*_]*\s+|\n{2,}")


@dataclass(slots=True)
class AnswerStream:
    """Feeds an answer through the output checks of a guard. Use it for one answer.

    ``seen`` says what the answer is to: its question, passages and prompt. After a block, ``message`` is what to show
    instead of the rest, and nothing more is let through. A policy without checks of the output holds nothing back.
    ``details`` is what checks of the whole answer gave beside their findings; ``rewritten`` says that one put something
    else in the answer's place.
    """

    guard: Guard
    seen: Seen
    channel: str = ""
    group: str = ""
    findings: list[Finding] = field(default_factory=list)
    message: str = ""
    details: dict[str, object] = field(default_factory=dict)
    rewritten: bool = False
    _policy: Policy = field(init=False)
    _checked: bool = field(init=False)
    _holds: bool = field(init=False)
    _passed: list[str] = field(default_factory=list)  # what the checks of sentences let through, in pieces
    _held: str = ""
    _ready: str = ""  # the sentence before ``_held``, complete, not shown yet

    def __post_init__(self) -> None:
        self._policy = self.guard.policy.view(self.channel, self.group)
        self._checked = bool(self._policy.checks("output", whole=False))
        self._holds = self._policy.holds_answers()

    @property
    def blocked(self) -> bool:
        return bool(self.message)

    async def feed(self, piece: str) -> str:
        """What may be shown now that ``piece`` has come; often nothing."""
        if self.blocked:
            return ""
        if not self._checked:
            return self._pass(piece)
        self._held += piece
        shown = []
        while (sentence := self._next()) is not None:
            shown.append(self._pass(await self._take(sentence)))
            if self.blocked:
                break
        return "".join(shown)

    async def finish(self) -> str:
        """The rest of what may be shown; all of it where the policy holds answers until they have ended."""
        if self.blocked:
            return ""
        rest, self._held = self._held, ""
        result = await self._look(self._ready + rest, final=True)
        self._ready = ""
        if result is None:
            return ""
        shown = self._pass(result.text)
        if not self._policy.checks("output", whole=True):
            return shown
        answer = "".join(self._passed)
        whole = await self._look(answer, final=True, whole=True)
        if whole is None:
            return ""
        if whole.text == answer:
            return whole.text if self._holds else shown
        return await self._rewritten(whole.text)

    async def _rewritten(self, text: str) -> str:
        """What takes the place of the answer goes the answer's way."""
        self.rewritten = True
        self._passed = []
        self.details.clear()
        self.seen = replace(self.seen, instead=None)
        result = await self._look(text, final=True)
        if result is not None:
            seen = replace(self.seen, text=result.text)
            judged = await self.guard.look(seen, channel=self.channel, group=self.group, whole=True)
            self.details = {each.check: each.detail for each in judged.findings if each.detail is not None}
        return "" if result is None else result.text

    def _pass(self, text: str) -> str:
        """``text`` has passed the checks of sentences; what of it may be shown."""
        self._passed.append(text)
        return "" if self._holds else text

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

    async def _look(self, text: str, *, final: bool, whole: bool = False) -> StageResult | None:
        if not text:
            return StageResult("", "")
        self._passed = ["".join(self._passed)]
        before = "" if whole else self._passed[0]
        seen = replace(self.seen, text=text, final=final, before=before)
        result = await self.guard.look(seen, channel=self.channel, group=self.group, whole=whole)
        self._note(result.findings)
        self.details |= {each.check: each.detail for each in result.findings if each.detail is not None}
        if result.blocked:
            self.message = result.message
            self._held = self._ready = ""
            self.details.clear()
            return None
        return result

    def _note(self, found: Sequence[Finding]) -> None:
        """Each check and what it did once, with its highest score: sentences are seen more than once."""
        for each in found:
            if not each.acted and not each.error:
                continue
            noted = replace(each, spans=(), detail=None)  # the places are those in a part of the answer
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
