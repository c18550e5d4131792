"""Metrics with a judge. Each is an async function of a sample and a judge, its scale and direction beside it.

The judge never states a score where it can be counted instead: it lists claims and says of each whether it holds, and
the number is made here. A judge that fails, and an answer that speaks to its judge, leave the case unscored.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from evals.judge.appeals import appeal_reason, without_appeals
from evals.judge.judge import Judge
from evals.judge.rubric import Rubric
from evals.judge.sample import JudgedPair, JudgedSample
from evals.judge.server import JudgeFailed
from evals.judge.shapes import Claims, Level, Preference, Relevance, verdicts_on
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.metrics.words import content_words, without_citations
from lockgate.errors import UserError

T = TypeVar("T")

Need = Literal["passages", "reference"]

LEAST_COVERED = 0.4
"""Share of a text's content words that its claims must hold together: a judge that was talked into listing only what is
harmless lists too little."""

_SPACE_BEFORE = re.compile(r"[ \t]+(?=[.,;:!?])")  # where a citation marker stood
_STEM = 5  # first letters that make two forms of a word the same here


@dataclass(frozen=True, slots=True)
class JudgedMetric:
    """A metric with what a reader needs to judge its number.

    ``calls`` bounds the judge calls of one sample (k is the number of passages, for the estimate before a run);
    ``prompts`` names what its scores depend on, for the calibration that gives it a vote; ``judges`` is the text that
    would gain by talking the judge round.
    """

    name: str
    description: str
    function: Callable[[JudgedSample, Judge], Awaitable[Score]]
    prompts: tuple[str, ...]
    needs: tuple[Need, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    direction: Literal["higher", "lower"] = "higher"
    binary: bool = False
    calls: int = 2
    judges: Literal["answer", "passages"] = "answer"
    asks_judge: bool = True

    async def score(self, sample: JudgedSample, judge: Judge) -> Score:
        """Never raises for what a judge or an answer does; BudgetSpent and cancellation go on up."""
        if (unfit := unfit_reason(sample, self.needs, asks_judge=self.asks_judge)) is not None:
            return unfit
        try:
            value = await self.function(readable(sample), judge)
        except (JudgeFailed, UserError) as error:  # UserError: texts too large for the prompt
            return Unscored(str(error))
        if isinstance(value, Unscored | NotApplicable):
            return value
        low, high = self.scale
        if not math.isfinite(value) or not low <= value <= high:
            return Unscored(f"{self.name} gave {value}, which is outside {low} to {high}")
        return float(value)


def unfit_reason(
    sample: JudgedSample, needs: Sequence[Need], *, asks_judge: bool = True
) -> Unscored | NotApplicable | None:
    """Why ``sample`` is not judged; None when it is. Without a judge there is nobody to talk round."""
    if sample.abstained:
        return NotApplicable("abstained; abstention metrics judge this case")
    if "reference" in needs and not sample.reference.strip():
        return NotApplicable("there is no reference answer")
    if not sample.answer.strip():
        return Unscored("the answer is empty")
    if "passages" in needs and sample.passages is None:
        return Unscored("the passages are not known")
    if asks_judge and (reason := appeal_reason("the answer", sample.answer)):
        return Unscored(reason)
    return None


def readable(sample: JudgedSample) -> JudgedSample:
    """``sample`` as a judge may read it: a document, too, may speak to the judge, and [1] is no claim."""
    passages = None if sample.passages is None else _readable_passages(sample.passages)
    answer = _SPACE_BEFORE.sub("", without_citations(sample.answer)).strip()
    return replace(sample, answer=answer, passages=passages)


@lru_cache(maxsize=128)
def _readable_passages(passages: tuple[str, ...]) -> tuple[str, ...]:
    """Several metrics look at the passages of one sample at about the same time."""
    return tuple(without_appeals(text) for text in passages)


async def faithfulness(sample: JudgedSample, judge: Judge) -> Score:
    """Share of the answer's claims that the passages support.

    Scale 0 to 1, higher is better. 0 when there are no passages. Source: Es et al., "RAGAS: Automated Evaluation of
    Retrieval Augmented Generation", EACL 2024, section 3 (statements, then a verdict on each); the statements are
    those of Min et al., "FActScore", EMNLP 2023.
    """
    if not sample.passages:
        return 0.0
    claims = await _claims(sample.question, sample.answer, judge)
    return claims if isinstance(claims, Unscored) else await _supported(claims, sample.passages, judge)


async def answer_relevance(sample: JudgedSample, judge: Judge) -> Score:
    """How far the answer addresses the question, whatever its truth: level 1 to 5, as 0 to 1.

    Scale 0 to 1, higher is better. Source: a direct rating in the form of Liu et al., "G-Eval", EMNLP 2023. Ragas
    guesses questions from the answer instead and compares vectors; that needs an embedder and is another number.
    """
    values = {"question": sample.question, "answer": sample.answer}
    prompt = judge.prompts.messages("judge-answer-relevance", values)
    return (await judge.ask(prompt, Level, purpose="answer_relevance")).share


async def context_precision(sample: JudgedSample, judge: Judge) -> Score:
    """Average precision of the retrieved passages, each judged relevant or not against the reference.

    The mean over the relevant ranks of the share of relevant passages up to that rank; 0 when none is relevant.
    Scale 0 to 1, higher is better. Source: Manning, Raghavan and Schütze, "Introduction to Information Retrieval",
    2008, section 8.4; as Ragas' context precision, whose k calls run one after another and here at once.
    """
    if not sample.passages:
        return 0.0
    return average_precision(await _together(*(_relevant(sample, passage, judge) for passage in sample.passages)))


async def context_recall(sample: JudgedSample, judge: Judge) -> Score:
    """Share of the reference's claims that the passages support.

    Scale 0 to 1, higher is better. 0 when there are no passages. Source: Es et al., 2024 (Ragas' context recall), on
    claims instead of sentences.
    """
    if not sample.passages:
        return 0.0
    claims = await _claims(sample.question, sample.reference, judge)
    return claims if isinstance(claims, Unscored) else await _supported(claims, sample.passages, judge)


async def correctness(sample: JudgedSample, judge: Judge) -> Score:
    """F1 of claims: those of the answer that the reference supports, and those of the reference that the answer does.

    Scale 0 to 1, higher is better. Source: Ragas' factual correctness (claims both ways, F1) over the claims of
    Min et al., "FActScore", EMNLP 2023.
    """
    said, wanted = await _together(
        _claims(sample.question, sample.answer, judge), _claims(sample.question, sample.reference, judge)
    )
    if isinstance(said, Unscored):
        return said
    if isinstance(wanted, Unscored):
        return wanted
    precision, recall = await _together(
        _supported(said, (sample.reference,), judge), _supported(wanted, (sample.answer,), judge)
    )
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


async def rubric_level(sample: JudgedSample, judge: Judge, rubric: Rubric) -> Score:
    """The level that a rubric gives the answer: 1 to 5, as 0 to 1.

    Scale 0 to 1, higher is better. Source: the rubric.
    """
    if "passages" in rubric.shows and sample.passages is None:
        return Unscored("the rubric looks at the passages, which are not known")
    if "reference" in rubric.shows and not sample.reference.strip():
        return NotApplicable("the rubric looks at a reference answer, and there is none")
    values = {
        "question": sample.question,
        "answer": sample.answer,
        "passages": (sample.passages or ()) if "passages" in rubric.shows else (),
        "reference": sample.reference if "reference" in rubric.shows else "",
    }
    prompt = judge.prompts.messages("judge-rubric", values, rubric=rubric.text)
    return (await judge.ask(prompt, Level, purpose="rubric")).share


def rubric_metric(rubric: Rubric) -> JudgedMetric:
    """A metric of ``rubric``. Register the rubric in the judge's prompts, so that its identity names it."""

    async def level(sample: JudgedSample, judge: Judge) -> Score:
        return await rubric_level(sample, judge, rubric)

    return JudgedMetric(rubric.key, rubric.description, level, ("judge-rubric", rubric.key), calls=1)


async def preference(pair: JudgedPair, judge: Judge) -> Score:
    """Whether the new answer is better: 1, worse: 0, or neither: 0.5. Both orders are asked; if they disagree, a tie.

    Scale 0 to 1, higher is better for the new one. Source: Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and
    Chatbot Arena", NeurIPS 2023, section 3.4 (swapping positions).
    """
    for what, text in (("the new answer", pair.new), ("the old answer", pair.old)):
        if reason := appeal_reason(what, text):
            return Unscored(reason)
    if not pair.new.strip() or not pair.old.strip():
        return Unscored("an answer is empty")
    try:
        forward, backward = await _together(
            _better(pair, pair.new, pair.old, judge), _better(pair, pair.old, pair.new, judge)
        )
    except (JudgeFailed, UserError) as error:
        return Unscored(str(error))
    if (forward, backward) == ("first", "second"):
        return 1.0
    if (forward, backward) == ("second", "first"):
        return 0.0
    return 0.5


def average_precision(relevant: Sequence[bool]) -> float:
    """0 when nothing is relevant."""
    hits = [sum(relevant[: rank + 1]) / (rank + 1) for rank, is_hit in enumerate(relevant) if is_hit]
    return math.fsum(hits) / len(hits) if hits else 0.0


async def _together(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """The results of calls that run at once. When one raises, the others are stopped and it goes on up."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failed:
        # What stops a run, such as a spent budget, matters more than one judge's failure beside it.
        raise next(
            (one for one in failed.exceptions if not isinstance(one, JudgeFailed)), failed.exceptions[0]
        ) from None
    return [task.result() for task in tasks]


async def _claims(question: str, text: str, judge: Judge) -> list[str] | Unscored:
    prompt = judge.prompts.messages("judge-claims", {"question": question, "text": text})
    claims = (await judge.ask(prompt, Claims, purpose="claims")).claims
    if not claims:
        return Unscored("the judge found no claim in the text")
    covered = share_covered(text, claims)
    if covered < LEAST_COVERED:
        return Unscored(f"the judge's claims hold {100 * covered:.0f} % of the text's words: it left most of it out")
    return claims


async def _supported(claims: Sequence[str], evidence: Sequence[str], judge: Judge) -> float:
    prompt = judge.prompts.messages("judge-verify", {"evidence": evidence, "claims": claims})
    reply = await judge.ask(prompt, verdicts_on(len(claims)), purpose="verify")
    return sum(verdict.supported for verdict in reply.verdicts) / len(claims)


async def _relevant(sample: JudgedSample, passage: str, judge: Judge) -> bool:
    values = {"question": sample.question, "reference": sample.reference, "passage": passage}
    prompt = judge.prompts.messages("judge-passage", values)
    return (await judge.ask(prompt, Relevance, purpose="context_precision")).relevant


async def _better(pair: JudgedPair, first: str, second: str, judge: Judge) -> str:
    values = {"question": pair.question, "reference": pair.reference, "first": first, "second": second}
    prompt = judge.prompts.messages("judge-preference", values)
    return (await judge.ask(prompt, Preference, purpose="preference")).better


def share_covered(text: str, claims: Sequence[str]) -> float:
    """Share of the different content words of ``text`` that ``claims`` hold, by their first letters."""
    words = {word[:_STEM] for word in content_words(text)}
    held = {word[:_STEM] for claim in claims for word in content_words(claim)}
    return len(words & held) / len(words) if words else 1.0


JUDGED_METRICS: Mapping[str, JudgedMetric] = MappingProxyType(
    {
        each.name: each
        for each in (
            JudgedMetric(
                "faithfulness",
                "Share of the answer's claims that the passages support.",
                faithfulness,
                ("judge-claims", "judge-verify"),
                ("passages",),
            ),
            JudgedMetric(
                "answer_relevance",
                "How far the answer addresses the question, whatever its truth.",
                answer_relevance,
                ("judge-answer-relevance",),
                calls=1,
            ),
            JudgedMetric(
                "context_precision",
                "Average precision of the passages, each judged relevant or not.",
                context_precision,
                ("judge-passage",),
                ("passages", "reference"),
                calls=5,
                judges="passages",
            ),
            JudgedMetric(
                "context_recall",
                "Share of the reference's claims that the passages support.",
                context_recall,
                ("judge-claims", "judge-verify"),
                ("passages", "reference"),
                judges="passages",
            ),
            JudgedMetric(
                "correctness",
                "F1 of the claims of answer and reference, each checked against the other.",
                correctness,
                ("judge-claims", "judge-verify"),
                ("reference",),
                calls=4,
            ),
        )
    }
)
