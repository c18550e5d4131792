"""What is judged: a question with an answer, and what the answer is held against."""

from __future__ import annotations

from dataclasses import dataclass

from evals.case import ExpectedCall, Outcome, ToolCall
from evals.metrics.score import NotApplicable, Unscored


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """``passages`` and ``tool_calls`` None: not known; ``reference`` "": there is none."""

    question: str
    answer: str
    passages: tuple[str, ...] | None = None
    reference: str = ""
    abstained: bool = False
    tool_calls: tuple[ToolCall, ...] | None = None
    expected_calls: tuple[ExpectedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """Two answers to one question; which of them is the new release's is the caller's to know."""

    question: str
    new: str
    old: str
    reference: str = ""


def sample_of(outcome: Outcome) -> JudgedSample | Unscored | NotApplicable:
    """The sample of a case that was asked, or why it cannot be judged."""
    if outcome.refused:
        return NotApplicable("the policy refused to answer")
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    return JudgedSample(
        question=outcome.answer.question or outcome.case.question,
        answer=outcome.answer.text,
        passages=outcome.passages,
        reference=outcome.case.reference,
        abstained=outcome.answer.abstained,
        tool_calls=outcome.tool_calls,
        expected_calls=outcome.case.tool_calls,
    )
