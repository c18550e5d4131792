"""Dev cases that may become examples of a prompt: set aside by the seed, and never scored by the search."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.answers import prompt_passages
from chains.condense import condense
from evals.case import Case
from evals.rules.leaks import told_cases
from lockgate.errors import LockgateError
from lockgate.ports import Retriever
from lockgate.types import Message
from prompts.prompt import Prompt

PERMISSIVE = frozenset(
    {
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "isc",
        "0bsd",
        "unlicense",
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-3.0",
    }
)
"""Licences of suites whose cases may stand in a prompt."""

SHARE = 4
"""One of so many dev cases is set aside."""

MOST = 8
NOT_FOUND = "Not in the documents."
VARIABLES = {"question": "str", "passages": "list"}
"""What a prompt must take for a case to say how it is answered."""


@dataclass(frozen=True, slots=True)
class PoolExample:
    """``line`` is the row of examples.jsonl; ``pages`` are those that it shows a passage of."""

    case: str
    line: str
    pages: frozenset[str] = frozenset()


def set_aside(cases: Sequence[Case], seed: int) -> tuple[list[Case], list[Case]]:
    """(cases that may become examples, cases that are scored). No gold page is in both: a question about a page that an
    example shows would be an easier one. What else examples show, ``not_shown`` leaves out."""
    alone = [case for case in cases if not case.history]
    draw = random.Random(seed)  # noqa: S311 - chooses cases, hides nothing
    wanted = min(MOST, len(cases) // SHARE)
    chosen = draw.sample(alone, min(wanted, len(alone)))
    taken = {case.id for case in chosen}
    pages = {page for case in chosen for page in case.pages}
    scored = [case for case in cases if case.id not in taken and not pages & set(case.pages)]
    return sorted(chosen, key=lambda case: case.id), scored


def not_shown(cases: Sequence[Case], pool: Mapping[str, PoolExample]) -> list[Case]:
    """Those about no page that an example of the pool shows: one without an answer shows passages of other pages."""
    shown = {page for each in pool.values() for page in each.pages}
    return [case for case in cases if not shown & set(case.pages)]


def why_not(prompt: Prompt, licence: str) -> str:
    """Why no case can become an example of the prompt; "" when some can."""
    if licence.strip().lower() not in PERMISSIVE:
        return f"the suite's licence ({licence or 'none is given'}) is not one whose texts may be put into prompts"
    if prompt.examples is not None:
        return "the prompt has examples of its own"
    if dict(prompt.variables) != VARIABLES:
        return "only a prompt with the variables question and passages can be shown how a case is answered"
    return ""


def build_pool(
    chosen: Sequence[Case], retriever: Retriever, limit: int, hidden: Sequence[Case]
) -> Mapping[str, PoolExample]:
    """The cases with a passage of their gold page, or two passages that hold no answer.

    A case whose passage was not found is left out, and so is one whose texts hold a question or answer of ``hidden``.
    """
    found = {}
    for case in chosen:
        question = condense(case.question, [Message(turn.role, turn.content) for turn in case.history])
        try:
            passages = retriever.retrieve(question, limit=limit).passages
        except LockgateError:
            continue
        gold = [each for each in passages if each.chunk.path in case.pages][:1] if case.answerable else passages[:2]
        if not gold:
            continue
        answer = f"{case.reference.strip()} [1]" if case.answerable else NOT_FOUND
        row = {"input": {"question": question, "passages": prompt_passages(gold)}, "output": answer}
        line = json.dumps(row, ensure_ascii=False)
        texts = [question, answer, *(each.chunk.text for each in gold)]
        if not told_cases(hidden, [line, *texts]):
            found[case.id] = PoolExample(case.id, line, frozenset(each.chunk.path for each in gold))
    return found
