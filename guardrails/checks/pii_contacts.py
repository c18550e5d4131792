"""How to reach a person: e-mail, phone, IP address, web address."""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Iterator

from guardrails.checks.pii_numbers import AROUND, Hit

_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_HOST = re.compile(r"(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
_OPENED = "'*`{|~=!#$%&/?^"
_SPELLED = re.compile(
    r"[\w.+-]{1,64} ?(?:\(at\)|\[at\]|\{at\}| at |<at>) ?[\w-]{1,63}"
    r"(?: ?(?:\(dot\)|\[dot\]|\{dot\}| dot |<dot>) ?[\w-]{2,63}){1,4}",
    re.IGNORECASE,
)


def emails(text: str) -> Iterator[Hit]:
    """E-mail addresses, also written "name (at) host (dot) org"."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text[max(0, at - 64) : at])
        host = _HOST.match(text, at + 1)
        if local is not None and host is not None:
            name = local.group().lstrip(_OPENED).lstrip(".")
            if name:
                yield at - len(name), host.end(), "email", 1.0
        at = text.find("@", at + 1)
    if " dot " in text or "dot)" in text or "dot]" in text or "dot}" in text or "dot>" in text:
        for match in _SPELLED.finditer(text):
            yield match.start(), match.end(), "email", 0.8


_PHONE = re.compile(
    r"(?<![\w.:/#=-])(?:\(?\+ ?)?\(?\d[\d()./ -]{5,24}\d"
    r"(?: {0,2}(?:x|ext\.?|extension|#) {0,2}\d{1,6})?(?![\w%°$€£/]|[.:,-]\d)",
    re.IGNORECASE,
)
_NO_PHONE = re.compile(r"[ ./-]{4}|\([^)]*\(|\d{16}")
_PHONE_WORDS = re.compile(
    r"phone|\btel\b|\bcall|mobile|\bcell|\bfax|whats ?app|\bsms\b|\bdial|\bring\b|\btext (?:me|us|him|her)|contact"
    r"|reach|hotline|helpline|\bnumber\b|telefon|teléfono|handy|pager|voice ?mail",
    re.IGNORECASE,
)
_NORTH_AMERICAN = re.compile(r"(?:\+?1[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}\b")
_DATE_LIKE = re.compile(
    r"\b(?:\d{1,2}[/.-]){2}(?:(?:19|20)\d\d|\d\d)(?![\d /.-])"
    r"|\b(?:19|20)\d\d[/.-]\d{1,2}(?:[/.-]\d{1,2})?(?![\d /.-])"
    r"|(?:19|20)\d\d ?- ?(?:19|20)\d\d\b"
)
_NOT_PHONE = re.compile(
    r"\bversion|\bv\.?\s?\Z|\bid\b|order|invoice|account|\bsku\b|\bissue\b|ticket|\bport\b|\brfc\b|isbn|\bpage"
    r"|card|amount",
    re.IGNORECASE,
)
_EXTENSION = re.compile(r" {0,2}(?:x|ext|#).*", re.IGNORECASE)


def phones(text: str) -> Iterator[Hit]:
    """Phone numbers: international, North American, in groups that say so, or where a word says what it is."""
    words: list[int] | None = None
    for match in _PHONE.finditer(text):
        said = match.group()
        main = _EXTENSION.sub("", said)
        digits = sum(map(str.isdigit, main))
        if not 7 <= digits <= 15 or _NO_PHONE.search(main) or _DATE_LIKE.search(said):
            continue
        if words is None:
            words = [each.end() for each in _PHONE_WORDS.finditer(text)]
        last = bisect_right(words, match.start())
        called = last > 0 and words[last - 1] >= match.start() - AROUND
        yield from _phone(text, match.start(), match.end(), main, digits, called)


def _phone(text: str, start: int, end: int, said: str, digits: int, called: bool) -> Iterator[Hit]:
    """``called``: a word before it says that it is a phone's."""
    before = text[max(0, start - 40) : start]
    groups = re.findall(r"\d+", said)
    if said.startswith(("+", "(+", "00")) and digits >= 8:
        yield start, end, "phone", 0.9
    elif _NORTH_AMERICAN.match(said):
        yield start, end, "phone", 0.9 if "(" in said or "-" in said else 0.7
    elif called and not _NOT_PHONE.search(before):
        yield start, end, "phone", 0.8
    elif groups[0].startswith("0") and ((2 <= len(groups) <= 6 and digits >= 8) or 10 <= digits <= 11):
        if not _NOT_PHONE.search(before):
            yield start, end, "phone", 0.7  # a trunk prefix, as nearly everywhere outside of North America
    elif "(" in said and len(groups) >= 2 and digits >= 9:
        yield start, end, "phone", 0.7
    elif 3 <= len(groups) <= 5 and digits >= 8 and all(2 <= len(each) <= 4 for each in groups[1:]):
        if before[-2:-1].isupper() or before[-2:-1].isdigit():
            return  # a part of a longer number
        yield start, end, "phone", 0.5


_IPV4 = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])")
_IPV6_SIGN = re.compile(r":[0-9A-Fa-f]{0,4}:")
_VERSION = re.compile(r"(?:version:?|release|\bv|[=<>~!]=|[<>]) ?\Z", re.IGNORECASE)
_BEFORE = re.compile(r"[\w.-]\Z")
_AFTER = re.compile(r"[\w-]|\.\d")


def ip_addresses(text: str) -> Iterator[Hit]:
    """IPv4 and IPv6 addresses of some machine: not 127.0.0.1, 0.0.0.0 or a mask, nor "version 1.2.3.4"."""
    for match in _IPV4.finditer(text):
        start, end = match.span()
        if _AFTER.match(text, end) or _BEFORE.search(text, max(0, start - 1), start):
            continue
        parts = [int(each) for each in match.group().split(".")]
        if max(parts) <= 255 and parts[0] not in (0, 127, 255) and not _VERSION.search(text, max(0, start - 10), start):
            yield start, end, "ip", 0.8
    if _IPV6_SIGN.search(text) is None:
        return
    for match in _IPV6.finditer(text):
        said = match.group()
        if sum(map(str.isalnum, said)) < 3 or (said.count(":") < 3 and "::" not in said):
            continue
        try:
            ipaddress.IPv6Address(said)
        except ValueError:
            continue
        yield match.start(), match.end(), "ip", 0.9 if any(map(str.isdigit, said)) else 0.4


_TOP = (
    "com|org|net|edu|gov|mil|int|info|biz|name|pro|aero|coop|museum|mobi|jobs|travel|io|co|me|tv|app|dev|xyz|online|site|"
    "ac|ae|ai|al|am|ar|at|au|ba|be|bg|bo|br|by|ca|ch|ci|cl|cn|cr|cu|cy|cz|de|dk|do|dz|ec|ee|eg|es|eu|fi|fr|gr|gt|hk|hn|"
    "hr|hu|id|ie|il|in|ir|is|it|jo|jp|ke|kr|kz|lb|li|lk|lt|lu|lv|ma|md|mk|mt|mx|my|ng|ni|nl|no|nz|pa|pe|ph|pk|pl|pt|py|"
    "qa|ro|rs|ru|sa|se|sg|si|sk|sv|th|tn|to|tr|tw|ua|uk|us|uy|uz|ve|vn|za"
)
_WEB = re.compile(
    rf"https?://[^\s<>\"'`]{{3,500}}|(?<![\w@.-])(?:[a-z0-9-]{{1,63}}\.){{1,5}}(?:{_TOP})(?![\w@-])", re.IGNORECASE
)


def web_addresses(text: str) -> Iterator[Hit]:
    """URLs, and host names under well-known top-level domains."""
    for match in _WEB.finditer(text):
        said = match.group().rstrip(".,;:!?)]}")
        if not said.lower().startswith(("e.g", "i.e")):
            yield match.start(), match.start() + len(said), "url", 0.9 if "://" in said or "www." in said else 0.7
