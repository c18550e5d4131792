"""Who a person is, as far as rules get: dates of birth, names after a title or a cue.

Names without a cue are for a language model: see ``pii_presidio``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrails.checks.pii_numbers import Hit, says

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_DATE = re.compile(
    rf"(?<![\w/.-])(?:\d{{1,2}}[/.-]\d{{1,2}}[/.-](?:\d{{4}}|\d\d)|(?:19|20)\d\d[/.-]\d{{1,2}}[/.-]\d{{1,2}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH},? \d{{4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}|{_MONTH} (?:\d{{4}}|\d{{1,2}}(?:st|nd|rd|th)?))(?![\w/-])",
    re.IGNORECASE,
)
_BIRTH = re.compile(r"\bborn\b|birth|\bdob\b|\bd\.o\.b|geboren|née? le|nacid[oa]", re.IGNORECASE)

_BIRTH_SIGNS = ("born", "birth", "dob", "d.o.b", "geboren", "né", "nacid")


def births(text: str) -> Iterator[Hit]:
    """Dates after a word that says that somebody was born then."""
    lower = text.lower()
    if any(word in lower for word in _BIRTH_SIGNS):
        for match in _DATE.finditer(text):
            if says(text, match.start(), _BIRTH):
                yield match.start(), match.end(), "birth_date", 0.9


def dates(text: str) -> Iterator[Hit]:
    """Every date with a day or a year."""
    for match in _DATE.finditer(text):
        yield match.start(), match.end(), "date", 0.6


_UPPER = r"[A-ZÀ-ÖØ-ÞĀ-Ž\u0391-\u03ab\u0410-\u042f]"
_NAME = rf"{_UPPER}[\w'’.-]{{0,30}}"
_TITLED = re.compile(
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Madam|Lady|Lord|Herr|Frau|Madame|Monsieur|Señora?|Sra?|Rev)\b"
    rf"\.? (?P<name>{_NAME}(?: {_NAME}){{0,3}})"
)
_CUED = re.compile(
    r"(?:My name is|my name is|Name: ?|name: ?|Name's|name's|Called|called|Signed:?|signed:?|Regards,?|regards,?"
    r"|Sincerely,?|sincerely,?|Dear|dear|Cheers,?|cheers,?|I'm|i'm|I am|This is|this is)"
    rf"\s{{1,3}}(?P<name>{_NAME}(?: {_NAME}){{1,3}})"
)
_COMPANY = re.compile(
    rf"(?<!\w)(?:{_NAME}(?:,? (?:and|&|of|de) | |, |-|-and-)){{1,5}}"
    r"(?:Inc|Ltd|LLC|L\.L\.C|LLP|PLC|plc|Corp|Corporation|Company|Co|Group|GmbH|AG|SE|S\.A|SA|SpA|Srl|BV|NV|Oy|AB|AS|Pty|Limited"
    r"|Holdings|Partners|Associates|Sons|Brothers|University|College|Institute|Hospital|Foundation|Bank|Insurance)\b"
)


def organizations(text: str) -> Iterator[Hit]:
    """Names of firms and institutions that say what they are."""
    for match in _COMPANY.finditer(text):
        yield match.start(), match.end(), "organization", 0.6


_ALONE = re.compile(r"(?:Mr|Mrs|Ms|Mx)\b\.?")


def names(text: str) -> Iterator[Hit]:
    """Names after a title, or after words with which people give theirs."""
    for pattern, score in ((_TITLED, 0.8), (_CUED, 0.6)):
        for match in pattern.finditer(text):
            said = match.group("name").rstrip(".'’-")
            if text[match.start() - 1 : match.start()].isalnum():
                continue
            start = match.start() if pattern is _TITLED else match.start("name")
            yield start, match.start("name") + len(said), "name", score
    for match in _ALONE.finditer(text):
        if not text[match.start() - 1 : match.start()].isalnum():
            yield match.start(), match.end(), "name", 0.5
