"""The rule ``verify``: everything pinned is there and matches, the index is not empty, a question is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from evals.verdict import Finding, GateContext
from lockgate.errors import LockgateError
from lockgate.ports import Progress

if TYPE_CHECKING:
    from lockgate.types import Answer

MAX_QUESTIONS = 10
QUESTION_SECONDS = 120.0
"""For one question, the loading of a model with the first one included."""

CHECK_FAILED = "(failed: "
"""Stands in what an answer says of a check that could not do its work (``guardrails.finding.Finding.in_words``)."""

_SHOWN = 5
_STAGE = "verify"


async def judge_verify(context: GateContext, progress: Progress) -> Finding:
    """Raises what ``context.verify`` raises; what breaks while asking becomes the finding's reason."""
    progress(_STAGE, 0, 0)
    # In a thread: it reads and hashes files, and a server that judges must go on answering.
    problems = list(await asyncio.to_thread(context.verify))
    if context.manifest.snapshot.chunks <= 0:
        problems.append("The snapshot that it pins holds no passages.")
    if problems:
        more = f" And {len(problems) - _SHOWN} more." if len(problems) > _SHOWN else ""
        hint = f"See all of it: lockgate release verify {context.release_id[:12]}"
        return Finding("FAIL", " ".join(problems[:_SHOWN]) + more, hint, {"problems": problems})
    return await _ask_one(context, progress)


async def _ask_one(context: GateContext, progress: Progress) -> Finding:
    """PASS at the first answer. A question that could not be asked proves nothing, for or against the release."""
    questions = list(dict.fromkeys(await asyncio.to_thread(context.questions)))[:MAX_QUESTIONS]
    abstained: list[str] = []
    failed: dict[str, str] = {}
    for number, question in enumerate(questions):
        progress(_STAGE, number, len(questions))
        answer, why_not = await _attempt(context, question)
        if answer is None:
            failed[question] = why_not
        elif broken := [note for note in answer.guardrails if CHECK_FAILED in note]:
            hint = "See which checks work: lockgate doctor. Put them right, or build a release without them."
            reason = f"Checks of its policy do not work: {'; '.join(broken[:_SHOWN])}."
            return Finding("FAIL", reason, hint, {"question": question, "checks": broken})
        elif answer.finish_reason == "content_filter":
            failed[question] = "its policy blocked the answer"
        elif answer.abstained or not answer.text.strip():
            abstained.append(question)
        else:
            progress(_STAGE, len(questions), len(questions))
            return Finding(
                "PASS",
                f"Everything pinned is here and matches; it answered {_quoted(question)}.",
                details={"question": question},
                observed={"answer": answer.text[:500], "trace_id": answer.trace_id},
            )
    details = {"abstained": abstained, "failed": failed}
    if failed:
        question, reason = next(iter(failed.items()))
        tried = f"{len(failed)} of {len(questions)} questions failed and none was answered"
        return Finding("INCONCLUSIVE", f"{tried}. First {_quoted(question)}: {reason}", details=details)
    hint = "Give the chain's suite an answerable case about these documents, then try again."
    if not questions:
        return Finding("INCONCLUSIVE", "There is no question to ask it: no suite and no usable page titles.", hint)
    asked = ", ".join(_quoted(question) for question in abstained)
    return Finding("FAIL", f"It answered none of the {len(questions)} questions asked: {asked}.", hint, details)


async def _attempt(context: GateContext, question: str) -> tuple[Answer | None, str]:
    """(answer, "") or (None, why there is none)."""
    try:
        async with asyncio.timeout(QUESTION_SECONDS) as limit:
            return await context.ask(question), ""
    except TimeoutError as error:
        return None, f"took longer than {QUESTION_SECONDS:g} s" if limit.expired() else f"TimeoutError: {error}"
    except LockgateError as error:
        return None, str(error)
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _quoted(question: str) -> str:
    return f'"{question if len(question) <= 80 else question[:77] + "..."}"'
