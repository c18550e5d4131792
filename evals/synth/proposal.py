"""Proposals: ``proposals.jsonl`` in a suite's folder. No run reads it; one counts once a person has accepted it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from evals.synth.drafts import MAX_QUESTION, Kind
from lockgate.atomic import write_atomic
from lockgate.content import MAX_BYTES, ContentModel, read_jsonl
from lockgate.errors import NotFound, UserError

FILE = "proposals.jsonl"

State = Literal["proposed", "accepted", "rejected"]


class Maker(ContentModel):
    """Who wrote the question. ``rules`` use no model; ``prompt`` is the hash of the prompt file."""

    kind: Literal["rules", "local", "server"]
    name: str
    host: str = ""
    digest: str = ""
    prompt: str = ""
    seed: int = 0


class Checks(ContentModel):
    """What was looked up when the question was made.

    ``found_at``: the place of the gold page among the pages that retrieval found, None when it was not among them.
    ``rivals``: other pages of which a passage holds all of the question's words, so may answer it too. ``closest`` is
    the page that retrieval found first; ``cosine`` and ``rare_share`` are what the decision to abstain rests on.
    """

    found_at: int | None = Field(default=None, ge=1)
    looked_at: int = Field(ge=0)
    rivals: tuple[str, ...] = ()
    closest: str = ""
    cosine: float | None = None
    rare_share: float = 0.0


class Decision(ContentModel):
    """``verified`` is false while nothing proves the name. ``case`` is the id of the case that it became."""

    by: str = Field(min_length=1)
    verified: bool = False
    at: AwareDatetime
    reason: str = ""
    case: str = ""
    edited: bool = False


class Proposal(ContentModel):
    """One question. ``passage`` is what the reviewer is shown; it is dropped once the question is decided on.

    ``page``, ``page_version`` and ``chunks`` are where the answer stands, for a question without an answer what it was
    made from; ``snapshot`` is the one that was looked through.
    """

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    kind: Kind
    question: str = Field(min_length=3, max_length=MAX_QUESTION)
    reference: str = Field(default="", max_length=1000)
    answerable: bool
    page: str = Field(min_length=1)
    page_version: str
    chunks: tuple[str, ...]
    passage: str = ""
    snapshot: str
    maker: Maker
    checks: Checks
    made_at: AwareDatetime
    state: State = "proposed"
    decision: Decision | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Proposal:
        if self.answerable != bool(self.reference.strip()):
            raise ValueError("an answerable question has a reference, and no other has one")
        if (self.state == "proposed") != (self.decision is None):
            raise ValueError("a decision is there exactly when the question is decided on")
        return self


def proposal_id(question: str, page: str) -> str:
    """The same question about the same page is the same proposal, whenever it is made."""
    return hashlib.sha256(f"{page}\n{question}".encode()).hexdigest()[:12]


def read_proposals(folder: Path) -> list[Proposal]:
    """In the order of the file; none without one. Raises UserError with file and line."""
    path = folder / FILE
    if not path.exists():
        return []
    lines: dict[str, int] = {}
    found = []
    for line, each in read_jsonl(path, Proposal):
        if each.id in lines:
            raise UserError(f"{path}:{line}: the id {each.id!r} is used twice, first on line {lines[each.id]}.")
        lines[each.id] = line
        found.append(each)
    return found


def add_proposals(folder: Path, proposals: Sequence[Proposal]) -> None:
    """Append; what is there stays as it is."""
    path = folder / FILE
    before = path.read_bytes() if path.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    _write(path, before + b"".join(_line(each) for each in proposals))


def change_proposals(folder: Path, changed: Mapping[str, Proposal]) -> None:
    """Put these in the place of those of the same id; every other line stays byte for byte."""
    path = folder / FILE
    made = []
    for line in path.read_bytes().splitlines(keepends=True):
        found = str(json.loads(line).get("id")) if line.strip() else ""
        made.append(_line(changed[found]) if found in changed else line)
    _write(path, b"".join(made))


def named(proposals: Sequence[Proposal], name: str) -> Proposal:
    """By id or its first characters. Raises NotFound, and UserError when several begin so."""
    found = [each for each in proposals if each.id == name] or [
        each for each in proposals if name and each.id.startswith(name)
    ]
    if not found:
        raise NotFound(f"There is no proposal {name[:40]!r}.", hint="See: lockgate evals proposals list SUITE")
    if len(found) > 1:
        raise UserError(f"{name[:40]!r} could be {' or '.join(each.id for each in found[:5])}.", hint="Name one.")
    return found[0]


def _line(proposal: Proposal) -> bytes:
    body = proposal.model_dump(mode="json", exclude_defaults=True)
    return (json.dumps(body, ensure_ascii=False, separators=(", ", ": ")) + "\n").encode("utf-8", "replace")


def _write(path: Path, data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{path}: would be larger than {MAX_BYTES // 1_000_000} MB.",
            hint="Decide on what is there, or ask for less.",
        )
    write_atomic(path, data)
