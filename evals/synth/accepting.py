"""A person's decision on proposals: into the suite's cases, or out. What was accepted is a case like any other."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from evals.case import Case, Provenance, Split
from evals.suite import Suite, SuiteDefinition, is_page, load_suite
from evals.synth.checks import Known, known_questions
from evals.synth.corpus import index_terms
from evals.synth.english import one_line
from evals.synth.proposal import Decision, Proposal, change_proposals, named, read_proposals
from evals.synth.suite_lock import suite_lock
from lockgate.actor import Actor
from lockgate.atomic import write_atomic
from lockgate.content import key_line, parse_yaml, read_text
from lockgate.errors import Conflict, NotFound, UserError

if TYPE_CHECKING:
    from lockgate.store.database import Database

_VERSION = re.compile(r"(?P<before>\bversion[\"']?\s*:\s*[\"']?)(?P<number>\d+)(?!\w)")


@dataclass(frozen=True, slots=True)
class Wording:
    """A reviewer's own words for a proposal. "" keeps what is there."""

    question: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """``cases`` are the proposals' cases, ``written`` of them just now: an accept that was killed may have left one.
    ``version`` is the suite's from now on."""

    cases: tuple[str, ...]
    version: int
    written: int


@dataclass(frozen=True, slots=True)
class CurrentPages:
    """The pages of the current snapshot: version and passages by path."""

    snapshot: str
    pages: Mapping[str, tuple[str, frozenset[str]]]

    def why_stale(self, proposal: Proposal) -> str:
        """Why the proposal no longer speaks of these documents; "" when it does."""
        if not proposal.answerable:
            # That nothing answers it was looked up in all the pages of one snapshot.
            changed = proposal.snapshot != self.snapshot
            return "the documents have changed since nothing in them answered it" if changed else ""
        if proposal.page not in self.pages:
            return f"the page {proposal.page} is gone"
        version, chunks = self.pages[proposal.page]
        if version != proposal.page_version or not set(proposal.chunks) <= chunks:
            return f"the page {proposal.page} has changed"
        return ""


def current_pages(db: Database) -> CurrentPages:
    """Raises NotFound while nothing is indexed."""
    from lockgate.store.snapshots import current_snapshot, pages_at

    record = current_snapshot(db)
    if record is None:
        raise NotFound("Nothing is indexed yet.", hint="Run: lockgate ingestion sync PATH")
    pages: dict[str, tuple[str, frozenset[str]]] = {}
    twice = set()
    for page in pages_at(db, record.seq):
        twice |= {page.path} & pages.keys()
        pages[page.path] = (page.version, frozenset(page.chunk_ids))
    return CurrentPages(record.id, {path: each for path, each in pages.items() if path not in twice})


def accept(
    project_dir: Path,
    suite_name: str,
    names: Sequence[str],
    pages: CurrentPages,
    actor: Actor,
    *,
    wording: Wording | None = None,
    split: Split | None = None,
    raise_version: bool = True,
) -> Accepted:
    """Make cases of proposals, all of them or none. ``split`` None gives each the half that has fewer of its kind.

    ``raise_version`` False is for somebody who accepts one after another: the first has raised it. Raises NotFound for
    an id that is none, Conflict for what is decided, stale or asked already, UserError for words that make no case.
    """
    folder = load_suite(project_dir, suite_name, may_be_empty=True).folder
    with suite_lock(folder):
        suite = load_suite(project_dir, suite_name, may_be_empty=True)
        proposals = read_proposals(folder)
        chosen = list({(each := named(proposals, name)).id: each for name in names}.values())
        batch = _Batch(project_dir, suite, pages, actor)
        for each in chosen:
            batch.add(each, wording or Wording(), split)
        batch.refuse_problems()
        version = suite.definition.version
        if raise_version and batch.cases:
            # First: a suite whose version was raised for nothing is whole, and cases under an old version are not.
            version += 1
            _raise_version(folder / "suite.yaml", suite.definition)
        if batch.cases:
            _append(folder / suite.definition.cases, batch.cases)
        change_proposals(folder, batch.decided)
        return Accepted(
            tuple(each.decision.case for each in batch.decided.values() if each.decision), version, len(batch.cases)
        )


def reject(project_dir: Path, suite_name: str, names: Sequence[str], actor: Actor, reason: str = "") -> list[str]:
    """Say no to proposals, all of them or none; they are not proposed again. Raises NotFound, and Conflict for one that
    is decided."""
    folder = load_suite(project_dir, suite_name, may_be_empty=True).folder
    with suite_lock(folder):
        proposals = read_proposals(folder)
        chosen = {(each := named(proposals, name)).id: each for name in names}
        if problems := [text for each in chosen.values() if (text := _decided(each))]:
            raise Conflict("\n".join(problems))
        decision = Decision(by=actor.name, verified=actor.verified, at=_now(), reason=reason)
        change_proposals(folder, {name: _with_decision(each, decision) for name, each in chosen.items()})
        return list(chosen)


class _Batch:
    """Proposals on their way to being cases, and what stands in the way."""

    def __init__(self, project_dir: Path, suite: Suite, pages: CurrentPages, actor: Actor) -> None:
        self._suite, self._pages, self._actor = suite, pages, actor
        self._corpus = project_dir / suite.definition.corpus
        self._known: Known = known_questions(
            index_terms(), [(f"the case {case.id}", case.question) for case in suite.cases]
        )
        self._ids = {case.id for case in suite.cases}
        self._made_of = {case.provenance.proposal: case.id for case in suite.cases if case.provenance}
        self._halves = {
            (half, answerable): sum(case.split == half and case.answerable == answerable for case in suite.cases)
            for half in ("dev", "test")
            for answerable in (True, False)
        }
        self.cases: list[Case] = []
        self.decided: dict[str, Proposal] = {}
        self._problems: list[str] = []

    def add(self, proposal: Proposal, wording: Wording, split: Split | None) -> None:
        if problem := _decided(proposal):
            self._problems.append(problem)
            return
        if there := self._made_of.get(proposal.id):
            # The case was written, and then something ended the process before this was.
            self.decided[proposal.id] = _with_decision(proposal, self._decision(there, edited=False))
            return
        question = one_line(wording.question) or proposal.question
        reference = (one_line(wording.reference) or proposal.reference) if proposal.answerable else ""
        if problem := self._problem(proposal, question):
            self._problems.append(f"{proposal.id}: {problem}.")
            return
        edited = (question, reference) != (proposal.question, proposal.reference)
        try:
            case = self._case(proposal, question, reference, split, edited=edited)
        except ValidationError as error:
            item = error.errors()[0]
            key = ".".join(map(str, item["loc"])) or "the whole"
            self._problems.append(f"{proposal.id}: {key}: {item['msg'].removeprefix('Value error, ')}.")
            return
        self.cases.append(case)
        self._ids.add(case.id)
        self._halves[case.split, case.answerable] += 1
        self._known.add(f"the proposal {proposal.id}, accepted with it,", question)
        self.decided[proposal.id] = _with_decision(proposal, self._decision(case.id, edited=edited))

    def refuse_problems(self) -> None:
        if self._problems:
            raise Conflict("\n".join(self._problems), hint="Nothing was accepted. Leave these out, or reject them.")

    def _problem(self, proposal: Proposal, question: str) -> str:
        if stale := self._pages.why_stale(proposal):
            return f"{stale}; run lockgate evals synth again"
        if proposal.answerable and not is_page(self._corpus, proposal.page):
            return f"the page {proposal.page} is not in {self._corpus}"
        found = self._known.find(question)
        return f"{found} asks the same" if found else ""

    def _case(self, proposal: Proposal, question: str, reference: str, split: Split | None, *, edited: bool) -> Case:
        half: Split = split or (
            "dev" if self._halves["dev", proposal.answerable] <= self._halves["test", proposal.answerable] else "test"
        )
        maker = proposal.maker
        return Case(
            id=self._free_id(question),
            question=question,
            reference=reference,
            pages=(proposal.page,) if proposal.answerable else (),
            answerable=proposal.answerable,
            tags=("synth", proposal.kind) if proposal.answerable else ("synth", "near", proposal.kind),
            split=half,
            provenance=Provenance(
                source="synth",
                proposal=proposal.id,
                maker=f"{maker.name}@{maker.host}" if maker.host else maker.name,
                snapshot=proposal.snapshot,
                chunks=proposal.chunks,
                accepted_by=self._actor.name,
                accepted_at=_now(),
                edited=edited,
            ),
        )

    def _decision(self, case: str, *, edited: bool) -> Decision:
        return Decision(by=self._actor.name, verified=self._actor.verified, at=_now(), case=case, edited=edited)

    def _free_id(self, question: str) -> str:
        words = re.findall(r"[a-z0-9]+", question.lower())
        kept = [word for word in words if word not in _LITTLE] or words or ["case"]
        name = "-".join(kept)[:50].strip("-")
        numbered = (f"{name}-{number}" for number in range(2, len(self._ids) + 3))
        return name if name not in self._ids else next(each for each in numbered if each not in self._ids)


_LITTLE = frozenset("a an the is are do does did i my of in to for what how which can be it".split())  # noqa: SIM905


def _decided(proposal: Proposal) -> str:
    if proposal.decision is None:
        return ""
    return f"{proposal.id}: {proposal.state} already, by {proposal.decision.by} on {proposal.decision.at:%Y-%m-%d}."


def _with_decision(proposal: Proposal, decision: Decision) -> Proposal:
    state = "accepted" if decision.case else "rejected"
    return proposal.model_copy(update={"state": state, "decision": decision, "passage": ""})


def _raise_version(path: Path, definition: SuiteDefinition) -> None:
    """Raise the number in its place; every other byte of the file stays. Raises UserError when it cannot be found."""
    text = path.read_bytes().decode("utf-8")
    line = key_line(read_text(path), ("version",)) - 1
    lines = text.split("\n")
    found = _VERSION.search(lines[line])
    if found:
        new = str(definition.version + 1)
        lines[line] = f"{lines[line][: found.start('number')]}{new}{lines[line][found.end('number') :]}"
    made = "\n".join(lines)
    wanted = definition.model_copy(update={"version": definition.version + 1})
    if not found or parse_yaml(made.removeprefix("\ufeff"), SuiteDefinition, where=str(path)) != wanted:
        raise UserError(
            f"{path}:{line + 1}: the version cannot be raised here.", hint=f"Write it as: version: {definition.version}"
        )
    _write(path, made.encode())


def _append(path: Path, cases: Sequence[Case]) -> None:
    """One line a case at the end; what is there stays byte for byte, with its own line endings."""
    before = path.read_bytes() if path.exists() else b""
    ending = b"\r\n" if b"\r\n" in before else b"\n"
    if before and not before.endswith(b"\n"):
        before += ending
    lines = [
        json.dumps(case.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False).encode() for case in cases
    ]
    _write(path, before + b"".join(line + ending for line in lines))


def _write(path: Path, data: bytes) -> None:
    write_atomic(path, data, mode=path.stat().st_mode & 0o777 if path.exists() else 0o644)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
