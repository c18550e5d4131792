"""Which parts of a sentence lack support: words and facts that no passage holds, and what the encoder marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guardrails.grounding.claims import Claim
from guardrails.grounding.exact import exact_parts
from guardrails.grounding.features import Measured
from guardrails.grounding.words import Word, words
from lockgate.grounding import Span
from lockgate.types import Mark

MARKED = 0.5
"""From this score on, a mark of the encoder underlines its words."""

_NAMED = {"number": "number not in the passages", "name": "name not in the passages"}
_NAMED |= {"date": "date not in the passages", "unit": "unit not in the passages"}


def unsupported_spans(claim: Claim, answer: str, measured: Measured, marks: Sequence[Mark]) -> tuple[Span, ...]:
    """Spans of the answer in order, none over another; the whole sentence where nothing in it stands out."""
    raw = answer[claim.start : claim.end]
    reasons: dict[tuple[int, int], str] = {}
    missing = {part.value for part in measured.missing_parts}
    for part in exact_parts(raw):
        if part.value in missing:
            reasons.setdefault((part.start, part.end), _NAMED[part.kind])
    found = words(raw)
    opposed = {word.form for word in measured.opposed}
    gone = {word.form for word in measured.missing_words}
    marked = _marked_forms(claim.core, marks)
    for word in found:
        place = (word.start, word.end)
        if word.form in opposed:
            reasons[place] = "the evidence says the opposite"
        elif word.form in gone:
            reasons.setdefault(place, "not in the passages")
    for word in _aligned(marked, found):
        reasons.setdefault((word.start, word.end), "not held by the evidence")
    spans = tuple(Span(claim.start + a, claim.start + b, reason) for (a, b), reason in _merged(reasons, raw))
    return spans or (Span(claim.start, claim.end, "no passage holds this"),)


def _marked_forms(core: str, marks: Sequence[Mark]) -> list[tuple[Word, bool]]:
    strong = [(mark.start, mark.end) for mark in marks if mark.score >= MARKED]
    return [(word, any(a < word.end and b > word.start for a, b in strong)) for word in words(core)]


def _aligned(marked: Sequence[tuple[Word, bool]], found: Sequence[Word]) -> Iterator[Word]:
    """The words of the answer that marked words of the claim are: the claim is the answer's with some left out."""
    place = 0
    for word, strong in marked:
        at = next((later for later in range(place, len(found)) if found[later].form == word.form), None)
        if at is None:
            continue
        place = at + 1
        if strong and word.says_something:
            yield found[at]


def _merged(reasons: dict[tuple[int, int], str], raw: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Overlapping parts become one, and parts of one reason that only blanks lie between."""
    kept: list[tuple[int, int, str]] = []
    for (start, end), reason in sorted(reasons.items()):
        if kept and (start < kept[-1][1] or (reason == kept[-1][2] and not raw[kept[-1][1] : start].strip())):
            last = kept.pop()
            kept.append((last[0], max(last[1], end), last[2]))
        else:
            kept.append((start, end, reason))
    for start, end, reason in kept:
        yield (start, end), reason
