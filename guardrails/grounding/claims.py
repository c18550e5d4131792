"""An answer split into the sentences that claim something, and the parts that claim nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guardrails.grounding.words import words

LONGEST = 320
"""Characters of a claim. A longer sentence is cut at a clause, so that the encoder sees the whole of each part."""

FEWEST_WORDS = 2
"""A sentence of fewer words that say something claims nothing, unless one of them is a number or a name."""

_LINE = re.compile(r"[^\r\n\u2028\u2029\x0b\x0c]+")
_END = re.compile(r"[.!?]+[\"'”’)\]*_]*(?:[ \t]?\[\d{1,3}(?:[ ,;]{1,2}\d{1,3}){0,8}\]){0,8}(?=\s|\Z)|[。！？]")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|vs|cf|no|fig|dr|mr|mrs|ms|st|jr|sr|approx|inc|ltd|co|prof|gen|sen|rep|[a-z])|\b(?:[a-z]\.)+[a-z])\.\Z",
    re.IGNORECASE,
)
_OPENING = re.compile(r"[ \t]*(?:>[ \t]*)*(?:#{1,6}[ \t]+|(?:[-*+•‣◦–]|\(?\d{1,3}[.)]|\(?[a-zA-Z]\))[ \t]+)?")
_CLAUSE = re.compile(r"[,;:–—](?=\s)|\s(?=(?:and|but|or|which|while|because|where|although)\s)")
_MARKUP = re.compile(r"\[\d{1,3}(?:[ ,;]{1,2}\d{1,3}){0,8}\]|[*`]+|(?<!\w)_+|_+(?!\w)|\|")
_SPACES = re.compile(r"\s+")

_SOURCES = r"(?:passages?|contexts?|documents?|documentation|sources?|texts?|information|articles?|excerpts?)"
_PREFIX = re.compile(
    rf"(?:(?:based (?:up)?on|according to|as (?:mentioned|stated|noted|described|explained|discussed) in|in|from)\s+"
    rf"(?:only\s+)?(?:the\s+|this\s+|these\s+|your\s+)?(?:(?:given|provided|above|following|available|retrieved|first|"
    rf"second|third)\s+)?{_SOURCES}(?:\s*\d+)?(?:(?:\s*,\s*|\s+and\s+|\s*&\s*)\d+)*(?:\s+(?:provided|given|above))?"
    rf"\s*[,:]?\s*|{_SOURCES}\s*\d+\s*(?:also\s+)?(?:states?|mentions?|says?|notes?|explains?|suggests?|adds?|describes?"
    rf"|highlights?|indicates?)\s+(?:that\s+)?|it\s+(?:appears|seems)\s+that\s+)",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"\s*[(\[](?:(?:as )?(?:mentioned|stated|from|see|in|per)\s+){0,2}"
    rf"{_SOURCES}\s*\d+(?:(?:,| and| &| or)?\s*\d+){{0,8}}[)\]]",
    re.IGNORECASE,
)
_ABSENCE = re.compile(
    rf"\b{_SOURCES}\b(?:\s+\S+){{0,4}}?\s+(?:do|does|did|is|are)\s*(?:not|n['’]t)\b|\b(?:cannot|can\s?not|can['’]t|"
    rf"unable\s+to|not\s+able\s+to|not\s+possible\s+to|impossible\s+to)\s+(?:\w+\s+){{0,3}}?(?:answer|determine|provide|"
    rf"say|tell|find)\b|\bnot\s+in\s+the\s+{_SOURCES}\b|\bno\s+(?:\w+\s+){{0,2}}?information\b",
    re.IGNORECASE,
)
_OFFER = re.compile(
    r"\A(?:i hope|let me know|feel free|please (?:let|note that i)|hope (?:this|that) helps)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence at ``start``..``end`` of the answer; ``text`` is what it says, without markers and markup.

    ``core`` is ``text`` without the words that only name the sources ("According to passage 2, ...").
    """

    start: int
    end: int
    text: str
    core: str


@dataclass(frozen=True, slots=True)
class Split:
    """The sentences of an answer that claim something about the subject, and those that do not."""

    claims: tuple[Claim, ...]
    unclaimed: tuple[Claim, ...]


def split_claims(answer: str) -> Split:
    """Every sentence of ``answer`` in order, in linear time.

    Headings, lead-ins ("Here are the steps:"), offers of help and sentences that say what the sources do not hold
    claim nothing that a passage could support.
    """
    claims: list[Claim] = []
    unclaimed: list[Claim] = []
    for start, end in _sentences(answer):
        said = plain_text(answer[start:end])
        core = without_source_talk(said)
        if said:
            kept = claims if claims_something(said, core) else unclaimed
            kept.append(Claim(start, end, said, core))
    return Split(tuple(claims), tuple(unclaimed))


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, list item or line of ``text``; none is longer than LONGEST characters."""
    return list(_sentences(text))


def plain_text(text: str) -> str:
    """``text`` without citation markers, Markdown marks and repeated blanks."""
    return _SPACES.sub(" ", _MARKUP.sub(" ", text)).replace(" .", ".").replace(" ,", ",").strip()


def without_source_talk(text: str) -> str:
    """``text`` without phrases such as "Based on the passages," that say where the rest comes from."""
    if _ASIDE.fullmatch(text):
        return ""
    return _PREFIX.sub("", _ASIDE.sub("", text)).strip() or text


def claims_something(text: str, core: str) -> bool:
    """Whether a sentence says something that a passage could hold."""
    if text.endswith("?") or speaks_of_itself(text):
        return False
    telling = [word for word in words(core) if word.says_something]
    # Where a script puts no blanks between words, a whole clause looks like one.
    size = sum(1 + (0 if word.form.isascii() else len(word.form) // 6) for word in telling)
    return size >= FEWEST_WORDS or any(word.form.isdigit() or core[word.start].isupper() for word in telling)


def speaks_of_itself(text: str) -> bool:
    """A lead-in, an offer of help, or a sentence that says what the sources do not hold."""
    return text.endswith(":") or bool(_ABSENCE.search(text) or _OFFER.match(text))


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    for line in _LINE.finditer(text):
        opening = _OPENING.match(text, line.start(), line.end())
        start = opening.end() if opening else line.start()
        for end in _ends(text, start, line.end()):
            yield from _trimmed(text, start, end)
            start = end


def _ends(text: str, start: int, stop: int) -> Iterator[int]:
    for match in _END.finditer(text, start, stop):
        # Only the last few characters can be an abbreviation; a look back over the whole line would be quadratic.
        if _ABBREVIATION.search(text[max(start, match.start() - 12) : match.start() + 1]) is None:
            yield match.end()
    yield stop


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST:
        cut = _clause_end(text, start)
        yield start, cut
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end


def _clause_end(text: str, start: int) -> int:
    """Where the part of a long sentence that begins at ``start`` ends: after a clause, else a word, else anywhere."""
    limit = start + LONGEST
    clauses = [match.end() for match in _CLAUSE.finditer(text, start + LONGEST // 3, limit)]
    if clauses:
        return clauses[-1]
    blank = text.rfind(" ", start + LONGEST // 3, limit)
    return blank if blank > start else limit
