"""Personal data: numbers by their checksums, addresses of all kinds by rules, names by an optional library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal

from guardrails.check import MAX_SPANS, NOTHING, STAGES, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.checks.pii_addresses import addresses
from guardrails.checks.pii_contacts import emails, ip_addresses, phones, web_addresses
from guardrails.checks.pii_numbers import Hit, cards, coins, ibans, national_ids, social_security
from guardrails.checks.pii_people import births, dates, names, organizations
from guardrails.checks.pii_places import countries
from guardrails.normalise import Normalised, has_markup_in_words

Kind = Literal[
    "email", "phone", "card", "iban", "us_ssn", "national_id", "ip", "crypto", "url", "birth_date", "date", "address",
    "name", "location", "organization",
]  # fmt: skip
"""What a policy can name. Most names, towns and organisations need ``names: presidio``."""

DEFAULT_KINDS: tuple[Kind, ...] = (
    "email", "phone", "card", "iban", "us_ssn", "national_id", "ip", "crypto", "birth_date", "address", "name",
)  # fmt: skip

_RULES: dict[Kind, Callable[[str], Iterator[Hit]]] = {
    "card": cards,
    "iban": ibans,
    "us_ssn": social_security,
    "national_id": national_ids,
    "crypto": coins,
    "email": emails,
    "ip": ip_addresses,
    "birth_date": births,
    "phone": phones,
    "url": web_addresses,
    "address": addresses,
    "date": dates,
    "location": countries,
    "organization": organizations,
}
_OF_MANY_WORDS = (addresses, dates, births, countries, organizations)
"""Markup within a word hides none of these for long: they have other words."""
_RANK: dict[str, int] = {kind: rank for rank, kind in enumerate((*_RULES, "name"))}


class PiiSettings(CheckSettings):
    """Finds personal data.

    ``types``: what is looked for. ``names``: ``rules`` finds names after a title or words such as "my name is";
    ``presidio`` finds them, places and organisations in English text by Presidio with a spaCy model, the extra ``pii``;
    ``none`` finds no names. ``reversible``: at the stage input each value gets a placeholder of its own ([EMAIL_1]),
    and the answer to the same user has the value in its place again. ``allowed``: values that are nobody's secret, such
    as the address of the help desk. ::

        - check: pii
          action: redact
          types: [email, phone, card, iban, us_ssn, national_id]
          reversible: true
    """

    check: Literal["pii"]
    action: Literal["block", "redact", "flag", "log"]
    types: tuple[Kind, ...] = DEFAULT_KINDS
    names: Literal["none", "rules", "presidio"] = "rules"
    reversible: bool = False
    allowed: tuple[str, ...] = ()


class Pii:
    """Personal data: an e-mail address, a phone number, a card, an IBAN, a national id, an IP address, a date of birth,
    a postal address, a name."""

    name: ClassVar[str] = "pii"
    stages: ClassVar[frozenset[Stage]] = frozenset(STAGES)
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "redact", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = PiiSettings

    def __init__(self, settings: PiiSettings, _tools: GuardTools, /) -> None:
        self._settings = settings
        self._finders = [find for kind, find in _RULES.items() if kind in settings.types]
        self._words = tuple(find for find in self._finders if find not in _OF_MANY_WORDS)
        if settings.names != "none" and "name" in settings.types:
            self._finders.append(names)
        if settings.names == "presidio" and set(settings.types) & {"name", "location", "organization"}:
            from guardrails.checks.pii_presidio import Names

            self._finders.append(Names().find)

    def look(self, seen: Seen) -> Found:
        threshold, allowed = self._settings.threshold, {each.casefold() for each in self._settings.allowed}
        hits = [
            hit
            for hit in self.hits(seen)
            if hit[3] >= threshold and seen.text[hit[0] : hit[1]].casefold() not in allowed
        ]
        if not hits:
            return NOTHING
        kinds = sorted({kind for _, _, kind, _ in hits})
        numbered = self._settings.reversible and seen.stage == "input"
        spans = tuple(_spans(seen.text, hits, numbered=numbered)[: MAX_SPANS + 1])
        return Found(max(hit[3] for hit in hits), spans, f"found: {', '.join(kinds)}")

    def hits(self, seen: Seen) -> list[Hit]:
        """What is found in the text whatever its score, in order, nothing twice."""
        read = seen.reading.letters
        found = list(self._in(read, self._finders))
        if has_markup_in_words(read.text):
            found += self._in(seen.reading.plain, self._words)
        return _apart(found, len(seen.text))

    def _in(self, read: Normalised, finders: Sequence[Callable[[str], Iterator[Hit]]]) -> Iterator[Hit]:
        for find in finders:
            for start, end, kind, score in find(read.text):
                if kind in self._settings.types:
                    yield (*read.spans_back(start, end), kind, score)


def _apart(hits: list[Hit], size: int) -> list[Hit]:
    """``hits`` without overlaps. The more certain kind takes its place, and the others keep what is left of theirs."""
    taken = bytearray(size)
    apart: list[Hit] = []
    for start, end, kind, score in sorted(set(hits), key=lambda each: (_RANK[each[2]], -each[3], each[0] - each[1])):
        at = taken.find(0, start, end)
        while at >= 0:
            stop = taken.find(1, at, end)
            stop = end if stop < 0 else stop
            apart.append((at, stop, kind, score))
            at = taken.find(0, stop, end)
        taken[start:end] = b"\1" * (end - start)
    return sorted(apart)


def _spans(text: str, hits: list[Hit], *, numbered: bool) -> list[Span]:
    """A placeholder for each value; the same value has the same one."""
    places: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    spans = []
    for start, end, kind, _ in hits:
        key = (kind, text[start:end].casefold())
        if numbered and key not in places:
            counts[kind] = counts.get(kind, 0) + 1
            places[key] = f"[{kind.upper()}_{counts[kind]}]"
        spans.append(Span(start, end, kind, places.get(key, f"[{kind.upper()}]"), private=True, reversible=numbered))
    return spans
