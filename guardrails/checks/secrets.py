"""Keys, tokens and passwords, also where they are dressed up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal

from guardrails.check import MAX_SPANS, NOTHING, STAGES, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.checks.secret_formats import Hit, assigned, by_entropy, by_format, key_blocks
from guardrails.decoding import BY_WORDS, Decoded, decoded
from guardrails.normalise import Normalised, has_markup_in_words, normalised, without_markup

_MAX_SQUEEZED = 20_000
_PIECE = re.compile(r"\S+")
_WORDLIKE = re.compile(r"(?:[A-Za-z][a-z]{1,20})?[.,;:!?]?\Z")


class SecretsSettings(CheckSettings):
    """Finds keys, tokens and passwords.

    ``entropy``: also strings that are random and of no known format, with a score of 0.6 (known formats: 1, what is
    assigned to a password or token: 0.8). ``reversible``: the answer to the same user may have them back. ::

        - check: secrets
          action: redact
          threshold: 0.5
    """

    check: Literal["secrets"]
    action: Literal["block", "redact", "flag", "log"]
    entropy: bool = True
    reversible: bool = False
    allowed: tuple[str, ...] = ()


class Secrets:
    """A key, a token, a password or a private key, by its format or its randomness, in plain text, Markdown, look-alike
    letters, zero-width characters, base64, hex and the like."""

    name: ClassVar[str] = "secrets"
    stages: ClassVar[frozenset[Stage]] = frozenset(STAGES)
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "redact", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = SecretsSettings

    def __init__(self, settings: SecretsSettings, _tools: GuardTools, /) -> None:
        self._settings = settings

    def look(self, seen: Seen) -> Found:
        hits = [hit for hit in set(self._hits(seen)) if seen.text[hit[0] : hit[1]] not in self._settings.allowed]
        if not hits:
            return NOTHING
        hits.sort(key=lambda hit: (hit[0], -hit[3], -hit[1]))
        spans = tuple(self._span(number, hit) for number, hit in enumerate(_apart(hits), 1))
        kinds = sorted({label for _, _, label, _ in hits})
        return Found(max(hit[3] for hit in hits), spans[: MAX_SPANS + 1], f"found: {', '.join(kinds)}")

    def _span(self, number: int, hit: Hit) -> Span:
        start, end, label, _ = hit
        reversible = self._settings.reversible
        replacement = f"[SECRET_{number}]" if reversible else "[secret removed]"
        return Span(start, end, label, replacement, private=True, reversible=reversible)

    def _hits(self, seen: Seen) -> Iterator[Hit]:
        """Of every reading of the text, with places in the text as it is."""
        read = seen.reading.folded
        plain = seen.reading.plain if read is seen.reading.letters else without_markup(read)
        yield from _back(read, self._in(read.text))
        yield from _of(each for each in seen.reading.hidden if not _by_words(each))
        if plain is not read and has_markup_in_words(read.text):
            yield from _back(plain, self._in(plain.text))
            yield from _back(plain, by_encoding(plain.text))
        yield from _back(plain, _squeezed(plain.text))

    def _in(self, text: str) -> Iterator[Hit]:
        yield from by_format(text)
        yield from key_blocks(text)
        yield from assigned(text)
        if self._settings.entropy:
            yield from by_entropy(text)


def by_encoding(text: str) -> Iterator[Hit]:
    """Secrets in what the text holds in other encodings; all of the encoded part is the secret."""
    return _of(decoded(text, by_words=False))


def _by_words(found: Decoded) -> bool:
    """Whether it was recognised by English words; a key has none."""
    return not BY_WORDS.isdisjoint(found.how.split())


def _of(found: Iterator[Decoded]) -> Iterator[Hit]:
    for each in found:
        inner = normalised(each.text, accents=False).text
        for find in (by_format, key_blocks, assigned):
            for _, _, label, score in find(inner):
                yield each.start, each.end, label, score


def _squeezed(text: str) -> Iterator[Hit]:
    """Secrets of known formats that are written with spaces or line ends in them."""
    text = text[:_MAX_SQUEEZED]
    hits = list(by_format("".join(text.split()), always_random=True))
    if hits:
        places = [at for at, character in enumerate(text) if not character.isspace()]
        for first, last, label, score in hits:
            start = places[first]
            pieces = list(_PIECE.finditer(text, start, places[last - 1] + 1))
            # The words after it have the letters that a key may have; pieces of one length are no words.
            while pieces and _WORDLIKE.match(pieces[-1].group()) and len({len(each[0]) for each in pieces[-4:]}) > 1:
                pieces.pop()
            if len(pieces) > 1:
                yield start, pieces[-1].end(), label, score


def _back(read: Normalised, hits: Iterator[Hit]) -> Iterator[Hit]:
    for start, end, label, score in hits:
        yield (*read.spans_back(start, end), label, score)


def _apart(hits: list[Hit]) -> list[Hit]:
    """``hits``, sorted, with those that overlap as one: the text between is taken out once."""
    apart: list[Hit] = []
    for hit in hits:
        if apart and hit[0] < apart[-1][1]:
            start, end, label, score = apart[-1]
            apart[-1] = (start, max(end, hit[1]), label, max(score, hit[3]))
        else:
            apart.append(hit)
    return apart
