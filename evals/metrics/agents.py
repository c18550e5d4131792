"""Agents: which tools were called, in which order, in how many steps, and whether the goal was reached.

They read the calls that an outcome recorded. The chains of this version call no tools, so runs leave them unscored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from evals.case import ExpectedCall, Outcome, ToolCall
from evals.metrics.metric import MetricParameters, Tools, metric
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.metrics.words import longest_common_subsequence, plain_form

MOST_STEPS = 1000.0

Calls = tuple[ToolCall, ...]


class CallParameters(MetricParameters):
    """``arguments``: whether a call has to have the arguments that are expected, or only the name."""

    arguments: Literal["exact", "any"] = "exact"


def _calls(outcome: Outcome) -> Calls | NotApplicable | Unscored:
    if not outcome.case.tool_calls:
        return NotApplicable("the case expects no tool calls")
    return _made(outcome)


def _made(outcome: Outcome) -> Calls | Unscored:
    if outcome.tool_calls is None:
        return Unscored(outcome.answer_error or "nothing recorded which tools were called")
    return outcome.tool_calls


def _fits(call: ToolCall, expected: ExpectedCall, how: Literal["exact", "any"]) -> bool:
    if call.name != expected.name:
        return False
    return how == "any" or expected.arguments is None or _same(call.arguments, expected.arguments)


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """By their JSON, where true and 1 are two things."""
    try:
        return json.dumps(dict(first), sort_keys=True) == json.dumps(dict(second), sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return False


def _matched(made: Calls, expected: tuple[ExpectedCall, ...], how: Literal["exact", "any"]) -> int:
    """How many expected calls can be given a call of their own: the largest such matching.

    Augmenting paths, since an expectation without arguments may take what a stricter one needs (Kuhn, 1955).
    """
    owner: dict[int, int] = {}

    def place(want: int, seen: set[int]) -> bool:
        for have, call in enumerate(made):
            if have not in seen and _fits(call, expected[want], how):
                seen.add(have)
                if have not in owner or place(owner[have], seen):
                    owner[have] = want
                    return True
        return False

    return sum(place(want, set()) for want in range(len(expected)))


@metric("tool_call_accuracy", "agents", parameters=CallParameters)
def tool_call_accuracy(outcome: Outcome, _tools: Tools, parameters: CallParameters) -> Score:
    """Expected calls that were made, over the larger of expected and made; order does not count.

    So a call too many costs as much as one that is missing. Source: matching by name and arguments as in the Berkeley
    Function Calling Leaderboard (Patil et al., 2024), with a share in the place of all or nothing.
    """
    made = _calls(outcome)
    if not isinstance(made, tuple):
        return made
    expected = outcome.case.tool_calls
    return _matched(made, expected, parameters.arguments) / max(len(expected), len(made))


@metric("tool_order", "agents")
def tool_order(outcome: Outcome, _tools: Tools) -> Score:
    """Share of the expected calls, by name, that were made in the expected order; others between them do no harm.

    Source: the longest common subsequence over the expected length, that is ROUGE-L's recall (Lin, 2004) of tool names.
    """
    made = _calls(outcome)
    if not isinstance(made, tuple):
        return made
    names = [each.name for each in outcome.case.tool_calls]
    return longest_common_subsequence(names, [call.name for call in made]) / len(names)


@metric("steps", "agents", scale=(0.0, MOST_STEPS), direction="lower")
def steps(outcome: Outcome, _tools: Tools) -> Score:
    """How many tool calls were made. Source: a count."""
    made = _made(outcome)
    return made if isinstance(made, Unscored) else float(len(made))


@metric("goal_reached", "agents", binary=True)
def goal_reached(outcome: Outcome, _tools: Tools) -> Score:
    """Whether the final answer holds all that the case's goal lists, in any case and spacing.

    Source: success by the final state, as in Yao et al., "tau-bench", 2024, of which this version sees the answer only.
    """
    if not outcome.case.goal:
        return NotApplicable("the case states no goal")
    if outcome.answer is None:
        return 0.0 if outcome.refused else Unscored(outcome.answer_error or "no answer came back")
    if outcome.answer.abstained:
        return 0.0
    text = plain_form(outcome.answer.text)
    return float(all(plain_form(each) in text for each in outcome.case.goal))
