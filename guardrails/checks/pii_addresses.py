"""Postal addresses: numbers beside names, with a street's word, a postal code or lines of their own.

A text is read as tokens, and a run of them that could be an address is one when something in it says so. No country's
form is assumed; a number and a name alone, as in "Windows 10 Pro", are not enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guardrails.checks.pii_numbers import Hit, joined


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOKEN = re.compile(r"[^\W\d_](?:[\w'’-]|\.(?=\w)){0,40}\.?|\d+(?:[-/]\d+)?[A-Za-z]{0,2}(?!\w)|\n|[,#;]|[^\s]")
_STREET = _words(
    "street st avenue ave av road rd lane ln drive dr court ct place pl boulevard blvd way terrace circle cir "
    "square sq highway hwy parkway pkwy close crescent cres gardens grove mews row trail alley loop plaza quay "
    "walk hill park rise broadway green rue chemin impasse allée cours quai calle avenida paseo carrer via "
    "viale piazza corso vicolo rua praça travessa ul. ulica aleja strada bulevardul straat straße strasse weg "
    "platz allee ulice náměstí utca út jalan"
)
_STREET_END = re.compile(
    r"(?:str(?:aße|asse|aat|\.)?|weg|gasse|platz|allee|ring|damm|ufer|laan|plein|gracht|kade|gat[ae]n?|vej(?:en)?|vägen"
    r"|veien|gade|katu|tie|utca|ulica)\.?\Z"
)
_UNIT = _words("suite ste apt apartment unit flat floor room bldg building box piso po p.o.")
_SMALL = _words(
    "de la le les du des del della di da do dos das van der den het the of upon on an am im zum zur el las los y"
)
_MONTHS = re.compile(r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?\Z", re.IGNORECASE)
_NOT = _words(
    "section table figure chapter version step page build release windows python java line port error http rfc "
    "item note model linux ubuntu node level part article day week month year usd eur gbp am pm utc gmt"
)
_HALF = re.compile(r"[A-Z]{1,2}\d[A-Z\d]?\Z|\d[A-Z]{2}\Z|[A-Z]\d[A-Z]\Z|\d[A-Z]\d\Z")  # SW1A 1AA, K1A 0B1
_PREFIXED = re.compile(r"[A-Z]{1,3}-\d{3,6}\Z")
_BESIDE = re.compile(
    r"\d[\w/-]{0,9}[, \n]{1,3}(?=[^\W\d_a-z]|rue|avenue|boulevard|chemin|impasse|quai|allée|place|cours)"
    r"|[^\W\d_]{2},? ?\n? ?[nN#]?[º°.]? ?\d"
)
"""A number beside a word: where an address may be."""
_MAX_TOKENS = 30


class _Token(NamedTuple):
    """``kind``: N a number, W a word in upper case, S a street's word, U a unit's, P half a postal code, c a small
    word, "," a mark, "n" a line end, "" anything else."""

    start: int
    end: int
    text: str
    kind: str


def addresses(text: str) -> Iterator[Hit]:
    """Places where something can be sent to."""
    for start, end in joined([(max(0, each.start() - 60), each.end() + 200) for each in _BESIDE.finditer(text)]):
        run: list[_Token] = []
        for token in _tokens(text, start, end):
            run.append(token)
            ends = token.kind == "" or (token.text.endswith(".") and len(token.text) > 5)
            if ends or len(run) >= _MAX_TOKENS:
                yield from _in(run if token.kind else run[:-1])
                run = []
        yield from _in(run)


def _tokens(text: str, start: int, end: int) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text, start, end):
        yield _Token(match.start(), match.end(), match.group(), _kind(match.group()))


def _kind(text: str) -> str:
    first, lower = text[0], text.lower()
    if first.isdigit():
        return "P" if _HALF.match(text) else "N"
    if text == "\n":
        return "n"
    if text in (",", "#", ";"):
        return ","
    if not first.isalpha():
        return ""
    plain = lower.rstrip(".")
    if plain in _NOT:
        return ""
    if plain in _UNIT or lower in _UNIT:
        return "U"
    if plain in _STREET or lower in _STREET or (len(plain) > 5 and _STREET_END.search(lower)):
        return "S"
    if lower in _SMALL:
        return "c"
    if not first.islower():
        return "P" if _HALF.match(text) else "N" if _PREFIXED.match(text) else "W"
    return ""


def _in(run: Sequence[_Token]) -> Iterator[Hit]:
    """The address in a run, from its first part to its last."""
    first = 0
    while first < len(run) and not _begins(run, first):
        first += 1
    last = len(run)
    while last > first and run[last - 1].kind in (",", "n", "c"):
        last -= 1
    part = run[first:last]
    score = _score(part)
    if score:
        yield part[0].start, part[-1].end - part[-1].text.endswith("."), "address", score


def _begins(run: Sequence[_Token], at: int) -> bool:
    """Whether an address may begin here: a house number before a name, or a street's name before its number."""
    here, after = run[at], run[at + 1 : at + 5]
    if here.kind == "N":
        words = [each for each in after if each.kind not in (",", "c")]
        named = bool(words) and words[0].kind in "WSU" and not _MONTHS.match(words[0].text)
        return named and len(re.sub(r"\D", "", here.text)) <= 6
    if here.kind == "U":
        return any(each.kind == "N" for each in after[:2])
    if here.kind == "S":
        return any(each.kind == "N" for each in after) and (
            here.text[0].isupper() or here.text.lower() in _SMALL | _STREET
        )
    return here.kind == "W" and any(each.kind == "S" for each in after[:2]) and any(each.kind == "N" for each in after)


def _score(part: Sequence[_Token]) -> float:
    """How sure it is: by a street's word beside the number, by what could be a postal code after a name, by lines."""
    kinds = "".join([each.kind for each in part])
    if "N" not in kinds or not set("WS") & set(kinds):
        return 0.0
    streets = [at for at, each in enumerate(part) if each.kind == "S"]
    near = any("N" in kinds[max(0, at - 5) : at + 4] for at in streets)
    numbers = [len(re.sub(r"\D", "", each.text)) for each in part[2:] if each.kind == "N"]
    postal = "PP" in kinds or any(4 <= digits <= 9 for digits in numbers)
    apart = "," in kinds or "n" in kinds
    if near and (postal or len(part) >= 3):
        return 0.9 if postal and apart else 0.7
    if postal and apart and kinds.count("W") >= 1:
        return 0.7
    if kinds.startswith("U") and "N" in kinds[:3] and apart and len(part) >= 4:
        return 0.6
    return 0.6 if re.search(r"U,?[NPW]", kinds) and apart and postal else 0.0
