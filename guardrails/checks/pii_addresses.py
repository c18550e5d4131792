"""Postal addresses: numbers beside names, with a street's word, a postal code or lines of their own.

A text is read as tokens, and a run of them that could be an address is one when something in it says so. No country's
form is assumed; a number and a name alone, as in "Windows 10 Pro", are not enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from guardrails.checks.pii_numbers import Hit, joined


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOKEN = re.compile(r"[^\W\d_](?:[\w'’-]|\.(?=\w)){0,40}\.?|\d[\w/-]{0,15}|\n|[,#;]|\.\n|[^\s]")
_STREET = _words(
    "street st avenue ave av road rd lane ln drive dr court ct place pl boulevard blvd way terrace circle cir "
    "square sq highway hwy parkway pkwy close crescent cres gardens grove mews row trail alley loop plaza quay "
    "walk hill park rise broadway green rue chemin impasse allée cours quai calle avenida paseo carrer via "
    "viale piazza corso vicolo rua praça travessa ul. ulica aleja strada bulevardul straat straße strasse weg "
    "platz allee ulice náměstí utca út jalan"
    " tér köz körút trg cesta pot put prilaz odvojak breg aleja al. pl. os."
)
_STREET_END = re.compile(
    r"(?:str(?:aße|asse|aat|\.)?|weg|gasse|platz|allee|ring|damm|ufer|laan|plein|gracht|kade|gat[ae]n?|vej(?:en)?|vägen"
    r"|veien|gade|katu|tie|utca|ulica)\.?\Z"
)
_UNIT = _words("studio suite ste apt apartment unit flat floor room bldg building box piso po p.o.")
_SMALL = _words(
    "de la le les du des del della di da do dos das van der den het the of upon on an am im zum zur el las los y"
)
_MONTHS = re.compile(r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?\Z", re.IGNORECASE)
_NOT = _words(
    "section table figure chapter version step page build release windows python java line error http rfc "
    "item note model linux ubuntu node level part article day week month year usd eur gbp am pm utc gmt"
)
_HALF = re.compile(r"[A-Z]{1,2}\d[A-Z\d]?\Z|\d[A-Z]{2}\Z|[A-Z]\d[A-Z]\Z|\d[A-Z]\d\Z")  # SW1A 1AA, K1A 0B1
_PREFIXED = re.compile(r"[A-Z]{1,3}-\d{3,6}\Z|[A-Z]\d[A-Z]\d[A-Z]\d\Z|.{2,40}-\d{6}\Z")
_BESIDE = re.compile(
    r"\d[\w/-]{0,9}[, \n]{1,3}(?=[^\W\d_a-z]|rue|avenue|boulevard|chemin|impasse|quai|allée|place|cours)"
    r"|[^\W\d_]{2},? ?\n? ?[nN#]?[º°.]? ?\d"
)
"""A number beside a word: where an address may be."""
_YEAR = re.compile(r"(?:19|20)\d\d\Z")
_YEARS = re.compile(r"(?:19|20)\d\d[-/]")
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
    for match in _MILITARY.finditer(text):
        yield match.start(), match.end(), "address", 0.9
    for start, end in joined([(max(0, each.start() - 60), each.end() + 200) for each in _BESIDE.finditer(text)]):
        if not _may_be_one(text[start:end]):
            continue
        run: list[_Token] = []
        for token in _tokens(text, start, end):
            if not token.kind and not run:
                continue
            run.append(token)
            ends = token.kind == "" or (token.text.endswith(".") and len(token.text) > 5)
            if ends or len(run) >= _MAX_TOKENS:
                yield from _in(text, run if token.kind else run[:-1])
                run = []
        yield from _in(text, run)


_POSTAL_SIGN = re.compile(r"\d{4}|\d{3} \d\d\b|\d[A-Z]{2}\b|\d[A-Z]\d")
_CUE_SIGN = re.compile(
    r"addr|\bliv|locat|resid|deliv|ship|send|mail|post|mov|office|hous|home|store|shop|rant|branch|hotel|apart|quart"
)


def _may_be_one(text: str) -> bool:
    """Whether ``text`` has anything that an address needs; quicker to see than whether it is one."""
    if _POSTAL_SIGN.search(text) or _CUE_SIGN.search(text):
        return True
    words = [each.strip(",.;#") for each in text.lower().split()]
    return not _STREET.isdisjoint(words) or any(_STREET_END.search(each) for each in words)


_MILITARY = re.compile(
    r"(?:(?:PSC|CMR|Unit|USS|USNS|USNV|USCGC) [\w ]{1,30}(?:, ?Box \d{1,6})?[,\n ]{1,2})?"
    r"[AFD]PO,? A[AEP] \d{5}(?:-\d{4})?"
)


def _tokens(text: str, start: int, end: int) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text, start, end):
        yield _Token(match.start(), match.end(), match.group(), _kind(match.group()))


def _kind(text: str) -> str:
    first, lower = text[0], text.lower()
    if first.isdigit():
        return "P" if _HALF.match(text) else "" if _YEARS.match(text) else "N"
    if text == "\n":
        return "n"
    if text in (",", "#", ";", ".\n"):
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


# Words after which a number and a name are an address, whatever its form
_CUE = re.compile(
    r"(?:address(?:es)?(?: is| to| of|:)?|\bliv(?:e|es|ed|ing) (?:at|on|in)|located (?:at|on|in)|resid\w+ (?:at|in)"
    r"|(?:deliver|ship|send|mail|post|move|moved|moving)\b[^.\n]{0,20} (?:to|from|at)|(?:office|house|home|store|shop"
    r"|restaurant|branch|hotel|apartment) (?:at|on|is at)|headquarters (?:at|in))\s*$",
    re.IGNORECASE,
)


def _in(text: str, run: Sequence[_Token]) -> Iterator[Hit]:
    """The address in a run, from its first part to its last."""
    kinds = "".join([each.kind for each in run])
    if "N" not in kinds or not (set("WSU") & set(kinds)):
        return
    cued = _CUE.search(text[max(0, run[0].start - 50) : run[0].start]) is not None
    first = 0
    while first < len(run) and not _begins(run, first) and not (cued and run[first].kind in "NW"):
        first += 1
    last = len(run)
    while last > first and run[last - 1].kind in (",", "n", "c"):
        last -= 1
    part = run[first:last]
    score = _score(part)
    if not score and cued and _NAMED.match("".join([each.kind for each in part])):
        score = 0.0 if any(_MONTHS.match(each.text) for each in part) else 0.6
    if score:
        yield part[0].start, part[-1].end - part[-1].text.endswith("."), "address", score


_NAMED = re.compile(r"N,?[WS]|[WS]{1,3},?N")


def _begins(run: Sequence[_Token], at: int) -> bool:
    """Whether an address may begin here: a house number before a name, or a street's name before its number."""
    here, after = run[at], run[at + 1 : at + 5]
    if here.kind == "N":
        words = [each for each in after if each.kind not in (",", "c")]
        named = bool(words) and words[0].kind in "WSU" and not _MONTHS.match(words[0].text)
        return named and _digits(here) <= 6
    if here.kind == "U":
        return any(each.kind == "N" for each in after[:2])
    if here.kind == "S":
        return any(each.kind == "N" for each in after) and (
            here.text[0].isupper() or here.text.lower() in _SMALL | _STREET
        )
    if here.kind != "W":
        return False
    if any(each.kind == "S" for each in after[:2]) and any(each.kind == "N" for each in after):
        return True
    kinds = "".join([each.kind for each in run[at : at + 12]])
    return _CONTINENTAL.match(kinds) is not None and any(map(_could_be_postal, run[at + 2 : at + 12]))


# A name, a number, and after a mark or on the next line a number and a town, or the other way round
_CONTINENTAL = re.compile(r"W[WcS]{0,3},?[NP]{1,2}[,n]{1,2}(?:[NP]{1,2}[,n]{0,2}W|W[Wc]{0,3}[,n]{0,2}[NP])")


def _digits(token: _Token) -> int:
    return sum(map(str.isdigit, token.text))


def _could_be_postal(token: _Token) -> bool:
    return token.kind == "N" and 3 <= _digits(token) <= 9 and not _YEAR.match(token.text)


def _score(part: Sequence[_Token]) -> float:
    """How sure it is: by a street's word beside the number, by what could be a postal code after a name, by lines."""
    kinds = "".join([each.kind for each in part])
    if "N" not in kinds or not set("WS") & set(kinds):
        return 0.0
    streets = [at for at, each in enumerate(part) if each.kind == "S"]
    near = any("N" in kinds[max(0, at - 5) : at + 4] for at in streets)
    sizes = [_digits(each) if each.kind == "N" else 0 for each in part]
    postal = "PP" in kinds or any(4 <= size <= 9 for size in sizes[2:]) or (3, 2) in pairwise(sizes[2:])
    postal = postal or any(_PREFIXED.match(each.text) for each in part)
    apart = "," in kinds or "n" in kinds
    if near and (postal or len(part) >= 3):
        return 0.9 if postal and apart else 0.7
    if postal and apart and kinds.count("W") >= 1:
        return 0.7
    if kinds.startswith("U") and "N" in kinds[:3] and apart and len(part) >= 4:
        return 0.6
    return 0.6 if re.search(r"U,?[NPW]", kinds) and apart and postal else 0.0
