"""Numbers that belong to one person or account: cards, IBANs, national ids, coins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from guardrails.checks import pii_checksums as checks

Hit = tuple[int, int, str, float]
"""Start, end, type and score."""

_BETWEEN = re.compile(r"[ .+-]")
AROUND = 60
"""Characters before a number in which a word may say what it is."""


def says(text: str, start: int, words: re.Pattern[str]) -> bool:
    """Whether one of ``words`` stands shortly before ``start``."""
    return words.search(text, max(0, start - AROUND), start) is not None


# Payment cards: issuers' first digits and how long their numbers are (ISO/IEC 7812, the issuers' own pages)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})\Z"  # Visa
    r"|(?:5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12})\Z"  # Mastercard
    r"|3[47]\d{13}\Z"  # American Express
    r"|3(?:0[0-59]|[689]\d)\d{11,16}\Z"  # Diners Club
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}\Z"  # Discover
    r"|(?:35(?:2[89]|[3-8]\d)\d{12,15}|(?:1800|2131)\d{11})\Z"  # JCB
    r"|62\d{14,17}\Z"  # UnionPay
    r"|(?:50\d\d|5[6-9]\d\d|6[0-9]\d\d)\d{8,15}\Z"  # Maestro and others
    r"|1\d{14}\Z"  # UATP
    r"|220[0-4]\d{12}\Z"  # Mir
)
_DIGITS = re.compile(r"(?<!\d)\d(?:[ .-]?\d){11,40}(?!\d)")
_GROUP = re.compile(r"\d+")


def cards(text: str) -> Iterator[Hit]:
    """Card numbers: an issuer's beginning and length, and Luhn's digit. Digits after the number do not hide it."""
    for run in _DIGITS.finditer(text):
        groups = [(each.start(), each.end()) for each in _GROUP.finditer(text, run.start(), run.end())]
        at = 0
        while at < len(groups):
            last = _card_from(text, groups, at)
            if last is None:
                at += 1
                continue
            yield groups[at][0], groups[last][1], "card", 1.0
            at = last + 1


def _card_from(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    digits = ""
    for last in range(first, min(len(groups), first + 19)):
        digits += text[slice(*groups[last])]
        if len(digits) > 19:
            return None
        if len(digits) >= 12 and _ISSUERS.match(digits) and checks.luhn(digits) and len(set(digits)) > 1:
            return last
    return None


_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_LENGTHS = (
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FO GL NL"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HU LB PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU"),
    (31, "MT SC"),
    (32, "LC"),
)
_IBAN_LENGTHS = {
    country: size for size, countries in _LENGTHS for country in re.findall("..", countries.replace(" ", ""))
}


def ibans(text: str) -> Iterator[Hit]:
    """IBANs of the countries that have them, by length and checksum."""
    for match in _IBAN.finditer(text):
        size = _IBAN_LENGTHS.get(match.group()[:2].upper(), 0)
        letters, end = "", match.start()
        while len(letters) < size and end < match.end():
            letters += "" if text[end] in " -" else text[end].upper()
            end += 1
        if size and len(letters) == size and not text[end : end + 1].isalnum() and checks.iban(letters):
            yield match.start(), end, "iban", 1.0


_SSN = re.compile(r"\d(?<![\w-]\d)(?<!9)\d\d(?<!000|666)([ .-]?)(?!00)\d{2}\1(?!0000)\d{4}(?![\w-])")
_SSN_WORDS = re.compile(r"\bssn\b|social.{0,3}security", re.IGNORECASE)


def social_security(text: str) -> Iterator[Hit]:
    """US social security numbers: with hyphens, else where a word says so."""
    for match in _SSN.finditer(text):
        if match.group(1) == "-" or says(text, match.start(), _SSN_WORDS):
            yield match.start(), match.end(), "us_ssn", 0.9


@dataclass(frozen=True, slots=True)
class NationalId:
    """``alone``: its form and checksum are enough; else one of ``words`` has to stand before it."""

    pattern: re.Pattern[str]
    valid: Callable[[str], bool]
    words: re.Pattern[str] | None = None


def _id(pattern: str, valid: Callable[[str], bool], words: str = "") -> NationalId:
    return NationalId(
        re.compile(rf"(?<![\w-]){pattern}(?![\w-])"), valid, re.compile(words, re.IGNORECASE) if words else None
    )


_IDS: tuple[NationalId, ...] = (
    _id(r"(?:\d{8}|[XYZ]\d{7})-?[A-Z]", checks.spanish),
    _id(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", checks.italian),
    _id(r"[12][ .]?\d{2}[ .]?(?:0[1-9]|1[0-2])[ .]?(?:\d{2}|2[AB])[ .]?\d{3}[ .]?\d{3}[ .]?\d{2}", checks.french),
    _id(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", checks.belgian),
    _id(r"\d{3}\.\d{3}\.\d{3}-\d{2}", checks.brazilian),
    _id(r"\d{17}[\dX]", checks.chinese),
    _id(r"[STFGM]\d{7}[A-Z]", checks.singaporean),
    _id(r"\d{6}[-+A]\d{3}[0-9A-FHJ-NPR-Y]", checks.finnish),
    _id(r"(?:19|20)?\d{6}[-+]\d{4}", checks.swedish),
    _id(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]", lambda _: True),
    _id(r"\d{11}", checks.polish, "pesel"),
    _id(r"\d{11}", checks.brazilian, r"\bcpf\b"),
    _id(r"\d{11}", checks.turkish, "kimlik"),
    _id(r"\d{9}", checks.dutch, r"\bbsn\b|burgerservice"),
    _id(r"\d{3}[ -]?\d{3}[ -]?\d{4}", checks.british_health, r"\bnhs\b|health service"),
    _id(r"\d{4}[ -]?\d{4}[ -]?\d{4}", checks.indian, "aadhaar|aadhar"),
    _id(r"\d{3}[ -]?\d{3}[ -]?\d{3}", checks.luhn, r"\bsin\b|social insurance"),
)
_NAMED = re.compile(
    r"(?:driver'?s?.{0,3}licen[cs]e|driving licen[cs]e|passport|national id|identity card|tax (?:id|payer)|\bid card"
    r"|bank account|account(?= ?(?:number|no\b|num\b|#)))"
    r" ?(?:number|no\.?|num|#)?[^\w\n]{0,4}(?:(?:is|was|number|no)\b[^\w\n]{0,3}){0,2}"
    r"(?P<id>[A-Z0-9][A-Z0-9-]{4,18})(?!\w)",
    re.IGNORECASE,
)


_SAID = ("licen", "passport", "national id", "identity card", "tax ", "id card", "account")
_SIX = re.compile(r"\d(?:[ .+-]?\d){5,40}")
_FISCAL = re.compile(r"[A-Z]{6}\d\d")
_MARGIN = 14
"""What a national id has before its first six digits, or after its last."""


def national_ids(text: str) -> Iterator[Hit]:
    """National ids whose checksum fits, and what is called a passport or licence number."""
    near = [*_SIX.finditer(text), *_FISCAL.finditer(text)]
    for at, last in joined([(max(0, each.start() - _MARGIN), each.end() + _MARGIN) for each in near]):
        for kind in _IDS:
            for match in kind.pattern.finditer(text, at, last):
                if kind.words is not None and not says(text, match.start(), kind.words):
                    continue
                said = match.group()
                if kind.valid(said if kind.valid is checks.finnish else _BETWEEN.sub("", said)):
                    yield match.start(), match.end(), "national_id", 0.9
    lower = text.lower()
    if any(
        word in lower for word in ("licen", "passport", "national id", "identity card", "tax ", "id card", "account")
    ):
        for match in _NAMED.finditer(text):
            if sum(map(str.isdigit, match.group("id"))) >= 4:
                yield match.start("id"), match.end("id"), "national_id", 0.8


def joined(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """``parts`` in order, those that touch as one: nothing is read twice."""
    whole: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    return whole


_LONG = re.compile(r"[0-9A-Za-z]{14}")
_BASE58 = re.compile(r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b")
_BECH32 = re.compile(r"\bbc1[ac-hj-np-z02-9]{11,71}\b|\bBC1[AC-HJ-NP-Z02-9]{11,71}\b")
_ETHEREUM = re.compile(r"\b0x[0-9A-Fa-f]{40}\b")


def coins(text: str) -> Iterator[Hit]:
    """Bitcoin addresses by their checksum, Ethereum ones by their form."""
    if _LONG.search(text) is None:
        return
    for pattern, valid in ((_BASE58, checks.base58_address), (_BECH32, checks.bech32_address)):
        for match in pattern.finditer(text):
            if valid(match.group()):
                yield match.start(), match.end(), "crypto", 1.0
    for match in _ETHEREUM.finditer(text):
        yield match.start(), match.end(), "crypto", 0.8
