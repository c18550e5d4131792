"""A text through one stage of a policy as it happens when somebody asks, and a policy's own examples run that way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guardrails.check import Seen, Stage
from guardrails.finding import Finding
from guardrails.guard import Guard, without_controls
from guardrails.policy import PolicyExample
from guardrails.stream import AnswerStream


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a text: as it was let through, what the checks did, and what the output filter took out."""

    text: str
    findings: tuple[Finding, ...] = ()
    actions: tuple[str, ...] = ()
    message: str = ""

    @property
    def blocked(self) -> bool:
        return bool(self.message)

    def did(self, what: str, check: str | None) -> bool:
        """Whether the policy did ``what``, an action or "pass", through ``check``, if one is named."""
        acted = [each for each in self.findings if each.acted and check in (None, each.check)]
        if what == "pass":
            return not self.blocked and not acted and (check is not None or not self.actions)
        if what == "redact" and check in (None, "citations", "links") and self.actions:
            return True
        return any(each.acted == what for each in acted)

    def lines(self) -> list[str]:
        return [each.in_words() for each in self.findings if each.acted or each.error] + list(self.actions)

    def as_json(self) -> dict[str, Any]:
        return {
            "blocked": self.blocked,
            "message": self.message,
            "text": self.text,
            "actions": list(self.actions),
            "findings": [each.as_json() for each in self.findings],
        }


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """A policy's example, and what came of it."""

    number: int
    example: PolicyExample
    tried: Tried

    @property
    def passed(self) -> bool:
        return self.tried.did(self.example.expect, self.example.check)

    def line(self) -> str:
        what = "; ".join(self.tried.lines()) or "let through"
        named = f" by {self.example.check}" if self.example.check else ""
        text = self.example.text if len(self.example.text) <= 60 else f"{self.example.text[:57]}..."
        return f"Example {self.number} ({self.example.stage}, {text!r}): {self.example.expect}{named} expected; {what}."

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "stage": self.example.stage,
            "expect": self.example.expect,
            "check": self.example.check,
            "passed": self.passed,
            **self.tried.as_json(),
        }


async def pass_through(
    guard: Guard,
    stage: Stage,
    text: str,
    *,
    question: str = "",
    passages: Sequence[str] = (),
    citations: int = 0,
    channel: str = "",
    group: str = "",
) -> Tried:
    """``text`` through the checks of ``stage``; an answer also through the output filter, and as a stream."""
    seen = Seen("", stage, question=question, passages=tuple(passages))
    if stage == "output":
        markup = guard.policy.output_filter(frozenset(), citations)
        stream = AnswerStream(guard, seen, channel=channel, group=group)
        shown = await stream.feed(markup.feed(text) + markup.finish()) + await stream.finish()
        return Tried(shown, tuple(stream.findings), tuple(markup.actions), stream.message)
    clean = without_controls(text)
    actions = ("control characters removed",) if clean != text else ()
    result = await guard.look(Seen(clean, stage, question, passages=tuple(passages)), channel=channel, group=group)
    return Tried(result.text, result.findings, actions, result.message)


async def run_examples(guard: Guard, *, channel: str = "", group: str = "") -> list[ExampleResult]:
    """Every example of the policy. A check that cannot be used fails those that count on it."""
    results = []
    for number, example in enumerate(guard.policy.examples, 1):
        tried = await pass_through(
            guard,
            example.stage,
            example.text,
            question=example.question,
            passages=example.passages,
            citations=len(example.passages),
            channel=channel,
            group=group,
        )
        results.append(ExampleResult(number, example, tried))
    return results
