"""Questions without a model: from headings, definitions, options, tables and sentences that state a number.

English only. Each rule reads one shape of text and leaves everything else alone: a question that nobody would ask costs
a reviewer more than one that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chains.sentences import split_sentences
from evals.synth.corpus import Page
from evals.synth.drafts import MAX_REFERENCE, Draft
from evals.synth.english import (
    DOES,
    VERBS,
    Casing,
    bare_subject,
    casing_of,
    has_pronoun,
    in_sentence,
    is_plural,
    one_line,
    shortened,
    verb_and_object,
    without_marks,
)
from lockgate.types import Chunk

LONGEST_ANSWER = 350
"""Characters of the first passage that answer a question which is a heading, when its section is longer."""

_NUMBER = r"(?:\d[\d,.]*|two|three|four|five|six|seven|eight|nine|ten|thirty)"
_DEFINITION = re.compile(
    r"^(?P<phrase>(?:(?:An?|The)\s+)?[^.;:]{2,60}?)\s+(?P<verb>is|are)\s+(?:an?|the)\s+"
    r"(?!same|following|default|only|name|value|number|first|second|last|most|one)[a-z].{20,}$"
)
_STATED = re.compile(
    r"^The\s+(?P<what>(?P<how>maximum|minimum|default|largest|smallest|recommended|required|longest|shortest)\s+"
    r"[^.,;:]{3,60}?)\s+(?P<verb>is|are)\s+(?P<value>[^.;]{1,80})"
)
_COUNT = re.compile(
    rf"^(?P<phrase>[^.,;:]{{3,60}}?)\s+(?:can\s+|may\s+|must\s+)?"
    rf"(?P<verb>has|have|contains?|holds?|supports?|accepts?|allows?|takes?|includes?)\s+"
    rf"(?P<bound>at most|up to|at least|no more than|a maximum of|a minimum of|exactly)\s+{_NUMBER}\s+"
    rf"(?P<noun>[a-z][a-z -]{{2,40}}?s)(?=[.,;:(]|\s(?:and|or|for|in|of|to|at|that|per|with|on)\b|$)"
)
_LASTS = re.compile(
    rf"^(?P<phrase>[^.,;:]{{3,60}}?)\s+(?P<verb>expires?|times? out|lasts?|"
    rf"(?:is|are) (?:kept|retained|stored|deleted|valid))"
    rf"\s+(?P<how>after|for)\s+(?:up to\s+|about\s+)?{_NUMBER}\s+"
    rf"(?:(?:milli)?seconds?|minutes?|hours?|days?|weeks?|months?|years?)\b"
)
_ITEM = re.compile(r"^[-*+]\s+`(?P<name>[^`\s][^`]{1,58})`(?:\s*[:\u2013\u2014]|\s+-)\s+(?P<text>\S.{14,})$")
_DOES = re.compile(r"^`(?P<name>[^`\s][^`]{1,58})`\s+(?P<verb>[a-z]{2,}s)\s+\S.{10,}$")
_CODE = re.compile(r"`[^`]+`")
_LIST = re.compile(r"\s*(?:[-*+]|\d+[.)])\s")
_STEPS = re.compile(r"^\s*1[.)]\s", re.MULTILINE)
_FENCED = re.compile(r"^[ \t]*(`{3,}).*?^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_QUESTION = re.compile(r"^(?:what|which|who|when|where|why|how|can|does|do|is|should|must)\b", re.IGNORECASE)
_CONTENTS = re.compile(r"\bTopics\b\s+-|\bIn this section\b")

_TELLS_HOW = re.compile(
    r"\b(?:you can|use|run|call|choose|click|open|set|add|specify|edit|delete|must)\b", re.IGNORECASE
)

_EMPTY = frozenset(
    {"", "-", "\u2013", "\u2014", "n/a", "none", "yes", "no", "\u2714", "\u2718", "x", "*", "?", "true", "''", '""'}
)
_NAMED_BY = frozenset(
    "name key setting option parameter field variable flag argument property metric word term attribute status".split()  # noqa: SIM905
)
_CONSTANTS = frozenset({"true", "false", "null", "none", "yes", "no", "on", "off"})
_DESCRIPTIONS = frozenset(
    {"description", "meaning", "what it does", "purpose", "does", "what", "effect", "details", "what it is", "use"}
)
_FACTS = frozenset(
    """type unit units value values size port protocol status scale limit quota maximum minimum format extension
    extensions region version range date licence license engine action permission permissions path endpoint method
    returns result cost price rate frequency memory storage duration timeout length interval
    class""".split()  # noqa: SIM905
)
_SECTIONS = frozenset(
    "requirements prerequisites limits limitations restrictions quotas permissions considerations".split()  # noqa: SIM905
)
# What alone says nothing: "the maximum value" of what?
_GENERIC = frozenset(
    """maximum minimum default largest smallest recommended required longest shortest allowed supported possible value
    values size number length setting timeout limit limits time page range name type behavior option options of the a
    an""".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class _Section:
    """The passages under one heading of a page, in order. ``casing``: how the page writes its words."""

    title: str
    chunks: tuple[Chunk, ...]
    casing: Casing

    @property
    def heading(self) -> str:
        first = self.chunks[0]
        return without_marks(first.heading[-1] if first.heading else first.title)

    @property
    def text(self) -> str:
        return "\n\n".join(chunk.text for chunk in self.chunks)


def drafts_of(page: Page) -> list[Draft]:
    """Every question that the rules find on a page, the best first."""
    found = [draft for section in _sections(page) for draft in _of_section(section)]
    unique = {draft.question.casefold(): draft for draft in reversed(found)}
    return sorted(unique.values(), key=lambda draft: (draft.rank, draft.chunks[0].position, draft.question))


def _sections(page: Page) -> Iterator[_Section]:
    casing = casing_of("\n".join(_FENCED.sub("", chunk.text) for chunk in page.chunks))
    title = without_marks(page.title)
    group: list[Chunk] = []
    for chunk in page.chunks:
        if group and chunk.heading != group[-1].heading:
            yield _Section(title, tuple(group), casing)
            group = []
        group.append(chunk)
    if group:
        yield _Section(title, tuple(group), casing)


def _of_section(section: _Section) -> Iterator[Draft]:
    yield from _from_heading(section)
    for chunk in section.chunks:
        for block in re.split(r"\n{2,}", _FENCED.sub("\n\n", chunk.text)):
            lines = [line for line in block.split("\n") if line.strip()]
            if len(lines) > 2 and lines[0].lstrip().startswith("|"):
                yield from _from_table(chunk, lines)
                continue
            start = next((number for number, line in enumerate(lines) if _LIST.match(line)), len(lines))
            for sentence in split_sentences(" ".join(lines[:start])):
                yield from _from_sentence(section, chunk, sentence)
            # A nested item is a value of the one above it, and means little alone.
            for line in lines[start:]:
                if not line[:1].isspace():
                    yield from _from_item(chunk, line)


def _from_heading(section: _Section) -> Iterator[Draft]:
    heading, whole = section.heading, one_line(section.text)
    if _CONTENTS.search(whole) or whole.endswith(":"):
        return
    if heading.endswith("?"):
        yield from _asked(section, heading, whole)
        return
    if len(whole) > MAX_REFERENCE or len(whole.split()) < 8:
        return
    if heading.lower() in _SECTIONS and section.chunks[0].heading:
        yield from _listed(section, heading.lower(), whole)
    if found := verb_and_object(heading):
        target = in_sentence(found[1], section.casing)
        steps = bool(_STEPS.search(section.text) or _FENCED.search(section.text))
        if steps or (len(section.chunks) == 1 and _TELLS_HOW.search(whole[:200])):
            question = f"How do I {found[0]} {target}?"
            yield Draft("how-to", question, whole, section.chunks, 1 if steps else 4, target, found[0])


def _asked(section: _Section, heading: str, whole: str) -> Iterator[Draft]:
    """A heading that is a question already."""
    question = in_sentence(heading, section.casing)
    question = question[:1].upper() + question[1:]
    if not _QUESTION.match(question) or not 3 <= len(question.split()) <= 20 or has_pronoun(question):
        return
    short = len(whole) <= LONGEST_ANSWER
    reference = whole if short else shortened(one_line(section.chunks[0].text), LONGEST_ANSWER)
    cut_in_code = reference.count("```") % 2 == 1
    if len(reference.split()) >= 4 and not reference.endswith(":") and not cut_in_code:
        yield Draft("heading", question, reference, section.chunks if short else section.chunks[:1], 0, question)


def _listed(section: _Section, what: str, whole: str) -> Iterator[Draft]:
    """Requirements, limits and the like of what the page is about."""
    topic = in_sentence(section.title, section.casing)
    first = topic.split(" ")[0].lower()
    if re.search(r"[:;?]", topic) or first == "how" or (first in VERBS and not first.endswith("ing")):
        return
    yield Draft("section", f"What are the {what} for {topic}?", whole, section.chunks, 3, topic)


def _from_sentence(section: _Section, chunk: Chunk, raw: str) -> Iterator[Draft]:
    sentence = one_line(raw)
    text = without_marks(sentence)
    if not text.endswith((".", "!")) or not 6 <= len(text.split()) <= 60 or len(sentence) > MAX_REFERENCE:
        return
    if found := _STATED.match(text):
        yield from _stated(chunk, found, sentence)
    elif found := _COUNT.match(text):
        if subject := bare_subject(found["phrase"]):
            modal = "must" if found["bound"] in ("at least", "a minimum of") else "can"
            verb = "have" if found["verb"] == "has" else found["verb"].removesuffix("s")
            question = f"How many {found['noun']} {modal} {in_sentence(found['phrase'], section.casing)} {verb}?"
            yield Draft("number", question, sentence, (chunk,), 1, subject)
    elif found := _LASTS.match(text):
        if subject := bare_subject(found["phrase"]):
            phrase = in_sentence(found["phrase"], section.casing)
            yield Draft("number", _how_long(phrase, found["verb"], found["how"]), sentence, (chunk,), 1, subject)
    elif (found := _DOES.match(text)) and found["verb"] in DOES:
        yield from _option(chunk, found["name"], sentence, 2)
    elif found := _DEFINITION.match(text):
        yield from _definition(section, chunk, found, sentence)


def _stated(chunk: Chunk, found: re.Match[str], sentence: str) -> Iterator[Draft]:
    what = found["what"]
    words = {word.lower().strip("`") for word in what.split(" ")}
    if words <= _GENERIC or has_pronoun(what) or {"each", "every", "any"} & words:
        return
    if re.search(r"\d|`|\b(?:true|false|none|no|off|on)\b", found["value"]):
        kind = "default" if found["how"] == "default" else "number"
        yield Draft(kind, f"What {found['verb']} the {what}?", sentence, (chunk,), 1, what)  # type: ignore[arg-type]


def _how_long(phrase: str, verb: str, how: str) -> str:
    opening = "After how long" if how == "after" else "How long"
    if verb.startswith(("is ", "are ")):
        be, rest = verb.split(" ", 1)
        return f"{opening} {be} {phrase} {rest}?"
    if verb.endswith("s") or verb == "times out":
        return f"{opening} does {phrase} {'time out' if verb == 'times out' else verb.removesuffix('s')}?"
    return f"{opening} do {phrase} {verb}?"


def _definition(section: _Section, chunk: Chunk, found: re.Match[str], sentence: str) -> Iterator[Draft]:
    subject = bare_subject(found["phrase"])
    if not subject or re.search(
        r"\b(?:that|which|when|if|you|can|must|will|is|are|and|or|not|to|into|my|your)\b", subject
    ):
        return
    head = subject.split(" ")[-1].lower().strip("`").removesuffix("s")
    central = head in " ".join((section.title, *chunk.heading)).lower()
    known = bool(_CODE.fullmatch(subject) or re.search(r"\b[A-Z][\w-]*\s+[A-Z]|[A-Z]{2,}", subject))
    if central or known:
        phrase = in_sentence(found["phrase"], section.casing)
        yield Draft("definition", f"What {found['verb']} {phrase}?", sentence, (chunk,), 1 if central else 3, phrase)


def _from_item(chunk: Chunk, line: str) -> Iterator[Draft]:
    found = _ITEM.match(one_line(line))
    if found and not found["text"].rstrip().endswith(":") and len(found["text"]) <= MAX_REFERENCE:
        yield from _option(chunk, found["name"], found["text"], 2)


def _option(chunk: Chunk, name: str, reference: str, rank: int) -> Iterator[Draft]:
    name = name.strip()
    odd = not re.search(r"[A-Za-z]{2}", name) or re.search(r"[{}<>$\"'\\;]", name) or name.lower() in _CONSTANTS
    if odd or len(name.split()) > 4 or len(reference.split()) < 5:
        return
    question = f"What does `{name}` {'do' if name.startswith('-') else 'mean'}?"
    yield Draft("option", question, reference, (chunk,), rank, f"`{name}`")


def _from_table(chunk: Chunk, lines: Sequence[str]) -> Iterator[Draft]:
    header = [without_marks(cell) for cell in _cells(lines[0])]
    if not set(lines[1]) <= set("|-: ") or len(header) < 2:
        return
    for line in lines[2:]:
        cells = _cells(line)
        if len(cells) == len(header):
            for column in range(1, len(cells)):
                yield from _from_cell(chunk, header, cells, column)


def _from_cell(chunk: Chunk, header: Sequence[str], cells: Sequence[str], column: int) -> Iterator[Draft]:
    what, value, name = header[column].lower(), cells[column], without_marks(cells[0])
    code = bool(_CODE.fullmatch(name))
    if without_marks(value).lower() in _EMPTY or len(value) > MAX_REFERENCE or not (code or _is_name(name)):
        return
    if what in _DESCRIPTIONS:
        if code:
            yield from _option(chunk, name.strip("`"), value, 3)
        elif len(value.split()) >= 5 and header[0].lower().split(" ")[-1] in _NAMED_BY:
            yield Draft("table", f"What is meant by {name}?", value, (chunk,), 4, name)
    elif what.startswith("default") and code:
        yield Draft("default", f"What is the default of {name}?", value, (chunk,), 2, name)
    elif code and what.split(" ")[-1] in _FACTS and len(what.split()) <= 3 and len(value.split()) <= 25:
        question = f"What {'are' if is_plural(what) else 'is'} the {what} of {name}?"
        yield Draft("table", question, value, (chunk,), 5, name)


def _cells(line: str) -> list[str]:
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", one_line(line).strip("|"))]


def _is_name(cell: str) -> bool:
    return bare_subject(cell) == cell and len(cell.split()) <= 4 and bool(re.search(r"[A-Za-z]{2}", cell))
