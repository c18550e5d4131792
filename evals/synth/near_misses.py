"""Questions that look as if the documents answered them, and that no passage does.

Three ways: what one page tells how to do is asked of the object of another; a fact or an action that is never told is
asked of something that a page defines; and something that pages only mention is asked about. Each is looked up in the
whole snapshot: no passage may hold the thing together with any of the words in which the answer would come.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from evals.synth.corpus import Corpus, Page, Terms
from evals.synth.drafts import Draft
from evals.synth.english import GERUNDS, bare_subject, one_line
from lockgate.types import Chunk

T = TypeVar("T")

_ALIKE = (
    "delete remove drop clear purge destroy", "create make add new set write build define", "change modify edit update",
    "start launch run begin boot", "stop terminate shut end halt", "view list show see display find get describe",
    "install deploy set", "enable turn activate", "disable turn deactivate", "copy clone duplicate replicate",
    "import load upload insert", "export save download", "restore recover", "rotate renew roll replace",
    "share grant allow",
    "move migrate transfer",
    "monitor watch track measure", "configure set customize specify", "attach assign associate connect add",
    "detach disassociate disconnect remove", "rename name call", "test try check validate verify",
    "troubleshoot debug fix resolve handle", "use call invoke run", "tune optimize improve change set",
)  # fmt: skip
"""Verbs that a passage may use in place of one another. One too many only costs a question."""

_KNOWN_VERBS = frozenset(verb for group in _ALIKE for verb in group.split()) - {
    "set",
    "find",
    "describe",
    "get",
    "call",
}
_COUNTED = re.compile(r"(?:an?|the|my)\s")


@dataclass(frozen=True, slots=True)
class _Fact:
    """``ask`` is the question with {X} for the thing; ``cues`` are words of which an answer would hold one. ``of_one``
    facts are asked of what can be counted."""

    ask: str
    cues: str
    of_one: bool = True


_FACTS = (
    _Fact(
        "How much does {X} cost?",
        "cost costs price prices pricing charge charged fee free paid billing budget money",
        of_one=False,
    ),
    _Fact("How do I rename {X}?", "rename renamed renaming name named names call"),
    _Fact("How do I encrypt {X}?", "encrypt encrypted encryption key keys secure security protect"),
    _Fact("How do I schedule {X}?", "schedule scheduled scheduling cron time timer interval daily regularly"),
    _Fact("How do I archive {X}?", "archive archived archives export backup store stored keep kept retain"),
    _Fact(
        "How do I get an alert when {X} changes?", "alert alerts notify notification email alarm event webhook watch"
    ),
    _Fact("How do I export {X} to a spreadsheet?", "spreadsheet excel csv export download"),
    _Fact("How do I undo a change to {X}?", "undo revert rollback roll restore previous back version"),
    _Fact("How do I transfer {X} to another owner?", "transfer owner ownership move migrate share"),
    _Fact("Who has to approve {X}?", "approve approved approval approver review reviewer permission allow authorize"),
    _Fact(
        "When was {X} first released?",
        "release released releases launch launched introduced announced since version date history",
        of_one=False,
    ),
    _Fact("Under which licence is {X} available?", "licence license licensed licensing copyright terms", of_one=False),
)
_SETTING_UP = _Fact(
    "How do I install {X}?", "install installed installing installation download set setup deploy configure"
)
# A name in the middle of a sentence: small words stand on both sides, so that it is all of the name.
_NAMES = re.compile(r"(?<=[a-z] )(?P<name>[A-Z][A-Za-z]*[a-z](?: [A-Z][A-Za-z]*[a-z]){1,2})(?=[.,;)]|\s[a-z])")
_FENCED = re.compile(r"^[ \t]*(`{3,}).*?^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)

LEAST_MENTIONS, MOST_MENTIONS = 2, 5
"""Passages that name it: of one it may be no name at all, and of many the documents do tell about it."""


def other_objects(corpus: Corpus, drafts: Sequence[Draft], random: Random) -> Iterator[Draft]:
    """What one page tells how to do, asked of what another page is about. ``drafts`` are those of several pages."""
    how_to = [draft for draft in drafts if draft.kind == "how-to" and draft.verb in _KNOWN_VERBS]
    things = [
        draft
        for draft in drafts
        if draft.kind in ("definition", "how-to") and _is_thing(draft.subject) and _COUNTED.match(draft.subject)
    ]
    used: set[str] = set()
    for draft in _shuffled(how_to, random):
        for other in _shuffled(things, random)[:20]:
            subject = corpus.terms_of(other.subject)
            if (
                other.subject in used
                or other.path == draft.path
                or not subject
                or subject & corpus.terms_of(draft.subject)
            ):
                continue
            if nowhere(corpus, subject, _alike(corpus, draft.verb)):
                used.add(other.subject)
                question = f"How do I {draft.verb} {other.subject}?"
                yield Draft("other-object", question, "", other.chunks[:1], 0, other.subject, draft.verb)
                break


def missing_facts(corpus: Corpus, drafts: Sequence[Draft], random: Random) -> Iterator[Draft]:
    """A fact or an action that is never told, asked of what a page defines; each of them as often as the others."""
    asked: Counter[str] = Counter()
    for draft in _shuffled([each for each in drafts if each.kind == "definition" and _is_thing(each.subject)], random):
        subject = corpus.terms_of(draft.subject)
        for fact in sorted(_shuffled(_FACTS, random), key=lambda each: asked[each.ask]):
            if fact.of_one and not _COUNTED.match(draft.subject):
                continue
            if subject and nowhere(corpus, subject, corpus.terms_of(fact.cues), on_page=draft.path):
                asked[fact.ask] += 1
                yield Draft("no-such-fact", _ask(fact, draft.subject), "", draft.chunks[:1], 0, draft.subject)
                break


def only_mentioned(corpus: Corpus, pages: Sequence[Page], random: Random) -> Iterator[Draft]:
    """Setting up something that pages name in passing: no title, heading or table is about it."""
    for page in _shuffled(pages, random):
        for chunk, name in _shuffled(list(_mentions(page)), random)[:3]:
            subject = corpus.terms_of(name)
            numbers = corpus.passages_with(subject)
            if (
                len(subject) < 2
                or name.split(" ")[0].lower() in GERUNDS
                or name.endswith(("FAQs", "List", "Guide"))
                or not LEAST_MENTIONS <= len(numbers) <= MOST_MENTIONS
                or _is_told_of(corpus, name, numbers)
            ):
                continue
            if nowhere(corpus, subject, corpus.terms_of(_SETTING_UP.cues)):
                yield Draft("only-mentioned", _ask(_SETTING_UP, name), "", (chunk,), 0, name)
                break


def nowhere(corpus: Corpus, subject: Terms, cues: Terms, *, on_page: str = "") -> bool:
    """Whether no passage holds all of ``subject`` with any of ``cues``, and the page named none of these at all."""
    if not subject or not cues or subject & cues:
        return False
    if any(corpus.passages_with(subject | {cue}) for cue in cues):
        return False
    page = corpus.pages.get(on_page)
    return page is None or not any(corpus.terms_of(chunk.embed_text) & cues for chunk in page.chunks)


def _alike(corpus: Corpus, verb: str) -> Terms:
    groups = [group for group in _ALIKE if verb in group.split()]
    return corpus.terms_of(" ".join([verb, *groups]))


def _ask(fact: _Fact, subject: str) -> str:
    question = fact.ask.replace("{X}", subject)
    return question[:1].upper() + question[1:]


def _is_thing(subject: str) -> bool:
    """A short noun phrase, such as one can be asked about anywhere."""
    return bool(bare_subject(subject)) and len(subject.split()) <= 4 and "`" not in subject


def _mentions(page: Page) -> Iterator[tuple[Chunk, str]]:
    counts: Counter[str] = Counter()
    for chunk in page.chunks:
        for found in _NAMES.finditer(_FENCED.sub("", chunk.text)):
            name = one_line(found["name"])
            counts[name] += 1
            if counts[name] == 1:
                yield chunk, name


def _is_told_of(corpus: Corpus, name: str, numbers: frozenset[int]) -> bool:
    told = re.compile(rf"(?:\|\s*|`|\b){re.escape(name)}`?\s*(?:\bis\b|\bare\b|\||:|\u2013|\u2014)")
    return any(
        name.lower() in " ".join((chunk.title, *chunk.heading)).lower() or told.search(chunk.text)
        for chunk in (corpus.chunks[number] for number in numbers)
    )


def _shuffled(items: Sequence[T], random: Random) -> list[T]:
    return random.sample(list(items), len(items))
