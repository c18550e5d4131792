"""Whether a release was given the suite's own answers: then its scores say nothing about other questions."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

from evals.case import Case
from evals.rules.check import Check
from evals.rules.measured import Measured
from lockgate.release import Manifest

_SHOWN = 5
_WORD = re.compile(r"\w+")

FEWEST_WORDS = 5
"""Shorter references, such as a number, are in many texts without anybody having put them there."""


def leak_check(new: Measured, manifest: Manifest) -> Check:
    """FAIL when a question or reference stands word by word in the release's prompts. INCONCLUSIVE when passages hold a
    question with its reference, and the gold page in the suite's corpus does not ask it: the release may be good, but
    these cases cannot show it."""
    prompts = [text for prompt in manifest.prompts.values() for text in prompt.files.values()]
    prompted = told_cases(new.suite.cases, prompts)
    planted = [case.id for case in new.suite.cases if _planted(case, new)]
    figures = {"in_prompts": prompted, "in_passages": planted}
    if prompted:
        reason = f"The prompts hold {len(prompted)} of the suite's own questions or answers: {_few(prompted)}."
        return Check("leaks", "FAIL", reason, "Take the suite's cases out of the prompts.", figures)
    if planted:
        reason = f"Passages hold {len(planted)} of the suite's own questions with their answers: {_few(planted)}."
        resolve = "Take the suite's cases out of the documents, sync, and build and measure the release again."
        return Check("leaks", "INCONCLUSIVE", reason, resolve, figures)
    return Check("leaks", "PASS", "Neither prompts nor passages hold the suite's own cases.", figures=figures)


def told_cases(cases: Sequence[Case], texts: Sequence[str]) -> list[str]:
    """The ids of the cases whose question or reference stands word by word in one of ``texts``."""
    plain = [f" {_plain(text)} " for text in texts]
    return [case.id for case in cases if any(needle in text for needle in _needles(case) for text in plain)]


def _needles(case: Case) -> Iterator[str]:
    for text in (case.question, case.reference):
        words = _plain(text)
        if len(words.split()) >= FEWEST_WORDS:
            yield f" {words} "


def _planted(case: Case, new: Measured) -> bool:
    question, reference = _plain(case.question), _plain(case.reference)
    if len(question.split()) < FEWEST_WORDS or not reference:
        return False
    held = any(
        f" {question} " in text and f" {reference} " in text
        for row in new.rows.get(case.id, ())
        for text in (f" {_plain(passage)} " for passage in row.passages or ())
    )
    return held and not any(f" {question} " in text for text in _gold_texts(case, new))


def _gold_texts(case: Case, new: Measured) -> Iterator[str]:
    """The gold pages as they are in the suite's corpus: a page of questions and answers may well ask the question."""
    corpus = new.suite.folder.parents[2] / new.suite.definition.corpus
    for page in case.pages:
        with contextlib.suppress(OSError):
            yield f" {_plain((corpus / page).read_text(encoding='utf-8', errors='replace'))} "


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
