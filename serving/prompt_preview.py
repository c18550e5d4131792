"""An edited prompt on three cases beside the one on disk: two releases built and assembled in memory, nothing kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lockgate.errors import LockgateError, UserError
from lockgate.types import AskRequest, Finished, Message
from serving.failures import INTERNAL_MESSAGE

if TYPE_CHECKING:
    from chains.definition import ChainDefinition
    from evals.case import Case
    from lockgate.ports import Asker
    from lockgate.release import PromptRole
    from prompts.branch import Edit
    from serving.workbench import Workbench

log = logging.getLogger(__name__)

CASES = 3
SECONDS = 120.0
"""How long one answer may take."""


@dataclass(frozen=True, slots=True)
class Output:
    """What one side made of a case. ``problem`` is not empty when it made nothing."""

    text: str
    abstained: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One case, asked on both sides."""

    case: str
    question: str
    before: Output
    after: Output


@dataclass(frozen=True, slots=True)
class Preview:
    """What is about to be asked. ``before`` is None when the prompt on disk does not load, for ``problem``."""

    chain: str
    cases: tuple[Case, ...]
    source: str  # where the cases are from, in words
    note: str
    before: Asker | None
    problem: str
    after: Asker


def prepare_preview(bench: Workbench, edit: Edit) -> Preview:
    """Build and assemble both sides. Blocks, for seconds where a model has to be loaded.

    Raises UserError when no chain uses the prompt, and what building and assembling a release raise.
    """
    from chains.assembly import assemble_chain
    from chains.release import build_manifest
    from prompts.branch import edited_prompt

    definition, role = _chain_of(bench, edit.name)
    if role == "condense" and definition.condense == "rule":
        raise UserError(
            f"The chain {definition.name!r} completes follow-up questions by a rule, so this prompt makes no output.",
            hint="Set `condense: model` in the chain to use it.",
        )
    settings, db, embedder = bench.settings, bench.db, bench.service.embedder
    edited = build_manifest(settings, db, embedder, definition.name, prompts={role: edited_prompt(edit)})
    after = assemble_chain(edited, db, bench.service, bench.models)
    before: Asker | None = None
    problem = ""
    try:
        now = build_manifest(settings, db, embedder, definition.name)
        before = assemble_chain(now, db, bench.service, bench.models)
    except LockgateError as error:
        problem = f"The prompt on disk cannot be used: {error}"
    cases, source = _cases(bench, definition, role)
    note = ""
    if edited.route.mode == "extractive" and role == "answer":
        note = (
            f"The chain {definition.name} answers by quoting, which uses no answer prompt. The cases are asked in "
            "generative mode, which is not what its readers get."
        )
    return Preview(definition.name, cases, source, note, before, problem, after)


async def preview(found: Preview, *, seconds: float = SECONDS) -> AsyncGenerator[Sample, None]:
    """One sample after the other, each as it is done; each answer may take ``seconds``. Raises nothing of its own."""
    for case in found.cases:
        before = await _output(found.before, case, seconds) if found.before else Output("", problem=found.problem)
        yield Sample(case.id, case.question, before, await _output(found.after, case, seconds))


async def _output(asker: Asker, case: Case, seconds: float) -> Output:
    """Without chance, as an eval is asked, but without its waiting for a model server: a person looks on here."""
    request = AskRequest(
        question=case.question,
        history=tuple(Message(turn.role, turn.content) for turn in case.history),
        origin="eval",
        mode="generative",
        temperature=0.0,
        seed=0,
    )
    try:
        async with asyncio.timeout(seconds), aclosing(cast("Any", asker.ask(request))) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return Output(event.answer.text, event.answer.abstained)
    except TimeoutError:
        return Output("", problem=f"It took longer than {seconds:g} s.")
    except LockgateError as error:
        return Output("", problem=str(error))
    except Exception:
        log.exception("A preview could not ask the case %s.", case.id)
        return Output("", problem=INTERNAL_MESSAGE)
    return Output("", problem="The answer did not end.")


def _chain_of(bench: Workbench, name: str) -> tuple[ChainDefinition, PromptRole]:
    """The project's default chain if it uses the prompt, else the first that does."""
    from chains.definition import list_chains, load_chain

    default = bench.settings.chain
    problems = []
    for chain in sorted(list_chains(bench.settings.project_dir), key=lambda one: (one != default, one)):
        try:
            definition = load_chain(bench.settings.project_dir, chain)
        except LockgateError as error:
            problems.append(str(error))
            continue
        if definition.prompts.answer == name:
            return definition, "answer"
        if definition.prompts.condense == name:
            return definition, "condense"
    raise UserError(
        f"No chain uses the prompt {name!r}, so it makes no output to show." + "".join(f"\n{one}" for one in problems),
        hint="Name it in a chain definition to use it.",
    )


def _cases(bench: Workbench, definition: ChainDefinition, role: PromptRole) -> tuple[tuple[Case, ...], str]:
    """The first answerable cases of the chain's suite, else questions about pages of the snapshot."""
    from evals.case import Case
    from evals.questions import page_questions
    from evals.suite import load_suite
    from lockgate.store.snapshots import current_snapshot, pages_at

    try:
        suite = load_suite(bench.settings.project_dir, definition.suite)
    except LockgateError:
        suite = None
    if suite is not None:
        # The condense prompt has a part only where there is a conversation to complete a question from.
        wanted = [case for case in suite.cases if case.answerable and (case.history or role == "answer")]
        if wanted:
            return tuple(wanted[:CASES]), f"Cases of the suite {suite.name}"
    if role == "condense":
        raise UserError(
            f"There is no suite {definition.suite!r} with a follow-up question, so this prompt makes no output.",
            hint="Add a case with a history to the chain's suite.",
        )
    snapshot = current_snapshot(bench.db)
    questions = page_questions(pages_at(bench.db, snapshot.seq), CASES) if snapshot else []
    if not questions:
        raise UserError("There is neither a suite nor a page to ask about.", hint="Run: lockgate ingestion sync PATH")
    # Not scored by anybody, so what would be the right answer is left open.
    made = [
        Case(id=f"page-{number}", question=question, answerable=False, split="dev")
        for number, question in enumerate(questions, start=1)
    ]
    return tuple(made), "Questions made of titles of indexed pages, since the chain has no suite"
