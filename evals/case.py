"""A case of a suite, and what happened when it was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from lockgate.content import ContentModel
from lockgate.types import Answer

Split = Literal["dev", "test"]


class Turn(ContentModel):
    """One message of the conversation before the question."""

    role: Literal["user", "assistant"]
    content: str = Field(min_length=1)


class Case(ContentModel):
    """One row of ``cases.jsonl``.

    ``pages`` are the gold pages, relative to the suite's corpus folder; ``reference`` is a short correct answer.
    An unanswerable case has neither: the right reaction to it is to say that the documents do not answer.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)
    question: str = Field(min_length=1, max_length=4000)
    history: tuple[Turn, ...] = ()
    reference: str = ""
    pages: tuple[str, ...] = ()
    answerable: bool
    tags: tuple[str, ...] = ()
    split: Split

    @model_validator(mode="after")
    def _gold_matches_answerable(self) -> Case:
        if self.answerable and not (self.pages and self.reference.strip()):
            raise ValueError("an answerable case needs a reference and at least one page")
        if not self.answerable and (self.pages or self.reference):
            raise ValueError("an unanswerable case must have neither reference nor pages")
        if len(set(self.pages)) != len(self.pages):
            raise ValueError("a gold page is given twice")
        return self


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back for one case.

    ``pages`` is the page ranking, best first, None when retrieval failed; ``answer`` is None when asking failed.
    Each failure has its reason beside it, so that no metric has to guess why a value is missing.
    """

    case: Case
    pages: tuple[str, ...] | None
    answer: Answer | None
    retrieval_error: str = ""
    answer_error: str = ""
