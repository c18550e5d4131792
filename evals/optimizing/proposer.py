"""A model that proposes other words for a prompt's instruction. What it says is untrusted: taken whole and checked, or
not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from evals.case import Case
from evals.judge.identity import host_of
from evals.judge.reply import BadReply, read_reply
from evals.judge.server import JudgeFailed, JudgeServer, Refused
from evals.optimizing.variants import MAX_INSTRUCTION, check_instruction
from evals.rules.leaks import told_cases
from evals.runs.budget import BudgetSpent, CallBudget
from lockgate.content import ContentModel
from lockgate.errors import Unavailable, UserError
from lockgate.terminal import plain
from prompts.prompt import Prompt

PROPOSALS = 3
PATIENCE = 10.0
"""Seconds that a server which does not answer is waited for."""

_SHOWN = 4

_TASK = """\
You improve the instruction of a prompt. Its model is small and gets numbered passages and a question after it.
Write the instruction anew: say the same, clearer. Keep every part that stands in double braces as it is.
Write plain text without Markdown headings and without code fences, at most {limit} characters.
Reply with one JSON object and nothing else: {{"instruction": "..."}}."""


class Proposal(ContentModel):
    instruction: str


@dataclass(frozen=True, slots=True)
class Proposer:
    """An OpenAI-compatible server and its model."""

    url: str
    model: str
    api_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            named = False
        if not named:
            raise UserError(
                f"--proposer {self.url[:100]!r} is not an address such as http://localhost:8001/v1.",
                hint="It must be an OpenAI-compatible server.",
            )
        if "@" in parts.netloc:
            raise UserError("--proposer must not hold a user or password: give the key as LOCKGATE_PROPOSER_API_KEY.")
        if not self.model:
            raise UserError("--proposer needs --proposer-model: the model as that server calls it.")


async def propose(
    proposer: Proposer,
    prompt: Prompt,
    instruction: str,
    shown: Sequence[Case],
    hidden: Sequence[Case],
    budget: CallBudget,
    say: Callable[[str], None],
) -> list[str]:
    """Instructions that may take the place of ``instruction``. ``say`` is told why others were left out.

    The model is shown ``shown``, cases that nothing is scored by, and nothing of ``hidden``; a text that holds one of
    those all the same is left out. Raises Unavailable when the server does not answer at all.
    """
    found: dict[str, None] = {}
    async with JudgeServer(proposer.url, proposer.api_key, 1, patience_s=PATIENCE) as server:
        for number in range(PROPOSALS):
            try:
                budget.take()
            except BudgetSpent:
                break
            try:
                text = await _ask(server, proposer.model, prompt, instruction, shown, number)
            except JudgeFailed as error:
                raise Unavailable(
                    f"The proposer at {host_of(proposer.url)} gave nothing: {_named(error.reason)}.",
                    hint="Check --proposer, or leave it out: then the instruction stays as it is.",
                ) from None
            except Refused as error:
                raise UserError(f"The proposer at {host_of(proposer.url)} refused the request: {error}.") from None
            try:
                new = check_instruction(instruction, read_reply(text, Proposal).instruction)
                if told := told_cases(hidden, [new]):
                    raise ValueError(f"it holds a question or answer of the suite ({told[0]})")
            except (BadReply, ValueError) as error:
                say(plain(f"Proposal {number + 1} is left out: {' '.join(str(error).split())[:200]}."))
                continue
            found[new] = None
    return list(found)


async def _ask(
    server: JudgeServer, model: str, prompt: Prompt, instruction: str, shown: Sequence[Case], number: int
) -> str | None:
    cases = [{"question": each.question, "answer": each.reference or "(none)"} for each in shown[:_SHOWN]]
    body = {"purpose": prompt.description, "instruction": instruction, "cases": cases}
    completion = await server.complete(
        {
            "model": model,
            "temperature": 1,
            "seed": number,
            "max_tokens": 2048,
            "messages": [
                {"role": "system", "content": _TASK.format(limit=MAX_INSTRUCTION)},
                {"role": "user", "content": json.dumps(body, ensure_ascii=False)},
            ],
        }
    )
    return None if completion.cut else completion.text


def _named(reason: str) -> str:
    return plain(reason.replace("LOCKGATE_JUDGE_API_KEY", "LOCKGATE_PROPOSER_API_KEY"))
