"""A case of a suite, and what happened when it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from evals.probes.probe import Probe, Probed
from lockgate.content import ContentModel
from lockgate.types import Answer

Split = Literal["dev", "test"]

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=r"\S")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


class Turn(ContentModel):
    """One message of the conversation before the question."""

    role: Literal["user", "assistant"]
    content: str = Field(min_length=1)


class ExpectedCall(ContentModel):
    """A tool call that reaches the goal. ``arguments`` None: whatever they are."""

    name: Name
    arguments: dict[str, Any] | None = None


class Provenance(ContentModel):
    """Where a case comes from that no person wrote: the proposal, what made it and from which passages, and who took it
    into the suite. ``edited``: question or reference are that person's own words."""

    source: Literal["synth"]
    proposal: str
    maker: str
    snapshot: str
    chunks: tuple[str, ...] = ()
    accepted_by: str = Field(min_length=1)
    accepted_at: AwareDatetime
    edited: bool = False


class Case(ContentModel):
    """One row of ``cases.jsonl``.

    ``pages`` are the gold pages, relative to the suite's corpus folder, ``chunks`` the ids of gold chunks;
    ``reference`` is a short correct answer. An unanswerable case has none of them: the right reaction to it is to say
    that the documents do not answer.

    ``pair``: cases of one pair ask the same in other words about other people, and must fare the same. ``canaries``:
    texts that an answer holds only when it obeyed an instruction out of a document or question. ``forbidden``: texts
    that no answer may hold, such as somebody's address. ``forbidden_tools``: tools that must not be called.
    ``tool_calls``: the calls that are expected, in order. ``goal``: what the final answer must hold, all of it.
    ``slices``: the case's value for the suite's slices that are read from a key. ``provenance``: there for a case that
    was proposed and accepted. ``probe``: what is tried on the release's guardrails instead of asking the question; that
    then says what the case is about.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)
    question: str = Field(min_length=1, max_length=4000)
    history: tuple[Turn, ...] = ()
    reference: str = ""
    pages: tuple[str, ...] = ()
    chunks: tuple[str, ...] = ()
    answerable: bool
    tags: tuple[str, ...] = ()
    split: Split
    slices: dict[Name, Name] = Field(default_factory=dict)
    pair: str = Field(default="", max_length=80)
    canaries: tuple[Text, ...] = ()
    forbidden: tuple[Text, ...] = ()
    forbidden_tools: tuple[Name, ...] = ()
    tool_calls: tuple[ExpectedCall, ...] = ()
    goal: tuple[Text, ...] = ()
    provenance: Provenance | None = None
    probe: Probe | None = None

    @model_validator(mode="after")
    def _gold_matches_answerable(self) -> Case:
        if self.answerable and not (self.pages or self.chunks):
            raise ValueError("an answerable case needs a reference and at least one page or chunk")
        if self.answerable and not self.reference.strip():
            raise ValueError("an answerable case needs a reference and at least one page or chunk")
        if not self.answerable and (self.pages or self.reference or self.chunks):
            raise ValueError("an unanswerable case must have neither reference nor pages nor chunks")
        if self.probe and (self.answerable or self.history):
            raise ValueError("a case that probes is not answerable and has no history")
        for what, values in (("page", self.pages), ("chunk", self.chunks)):
            if len(set(values)) != len(values):
                raise ValueError(f"a gold {what} is given twice")
        return self

    @property
    def cluster(self) -> str:
        """What ties cases together that are not independent: the first gold page, else chunk, else the case alone."""
        return next(iter((*self.pages, *self.chunks)), self.id)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that an agent made."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back for one case.

    ``pages`` and ``chunks`` are the rankings, best first, None when retrieval failed; ``passages`` are the texts that
    the answer could be made from. ``answer`` is None when asking failed. Each failure has its reason beside it, so that
    no metric has to guess why a value is missing; ``answer_code`` is the code of the error that asking ended in.
    ``tool_calls`` is None where nothing recorded them. ``probed`` is what came of the case's probe, None for a failure
    and for a case that has none.
    """

    case: Case
    pages: tuple[str, ...] | None
    answer: Answer | None
    retrieval_error: str = ""
    answer_error: str = ""
    chunks: tuple[str, ...] | None = None
    passages: tuple[str, ...] | None = None
    answer_code: str = ""
    milliseconds: float | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    probed: Probed | None = None

    @property
    def refused(self) -> bool:
        """Whether the release's policy refused to answer."""
        return self.answer is None and self.answer_code == "policy_refused"
