"""Supported sentences made wrong by rule, each at a known place: numbers, dates, names, negation, opposites."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from guardrails.grounding.exact import DAYS, MONTHS, OPPOSITES, exact_parts
from guardrails.grounding.words import words

Corrupted = tuple[str, tuple[tuple[int, int], ...]]
"""The new text and where it was changed."""

_MONTH_NAMES = (*(name.capitalize() for name in MONTHS if len(name) > 4), "May", "June", "July")
_AUXILIARY = re.compile(
    r"\b(?:is|are|was|were|can|could|will|would|should|has|have|had|does|do|did|may|must)\b(?! not\b)"
)
_NEGATED = re.compile(r"\b(?:is|are|was|were|can|could|will|would|should|has|have|had|does|do|did|may|must)( not)\b")


def corrupt(text: str, others: Sequence[str], chance: random.Random) -> Corrupted | None:
    """``text`` with one or two changes; ``others`` are sentences near it, which lend their names and numbers.

    None where no rule applies.
    """
    rules: list[Callable[[str, Sequence[str], random.Random], Corrupted | None]] = [
        _number, _number, _name, _name, _date, _negation, _opposite, _opposite, _swap
    ]  # fmt: skip
    chance.shuffle(rules)
    for rule in rules:
        changed = rule(text, others, chance)
        if changed and changed[0] != text:
            return changed
    return None


def _replaced(text: str, start: int, end: int, new: str) -> Corrupted:
    return text[:start] + new + text[end:], ((start, start + len(new)),)


def _number(text: str, others: Sequence[str], chance: random.Random) -> Corrupted | None:
    parts = [part for part in exact_parts(text) if part.kind == "number"]
    if not parts:
        return None
    part = chance.choice(parts)
    old = text[part.start : part.end]
    near = [p.value for other in others for p in exact_parts(other) if p.kind == "number" and p.value != part.value]
    same_size = [value for value in near if len(value) == len(part.value)]
    if (same_size or near) and chance.random() < 0.5:
        return _replaced(text, part.start, part.end, chance.choice(same_size or near))
    digits = [place for place, char in enumerate(old) if char.isdigit()]
    if not digits:
        return _replaced(text, part.start, part.end, chance.choice(["two", "three", "four", "five", "seven", "ten"]))
    place = chance.choice(digits)
    digit = chance.choice([d for d in "123456789" if d != old[place]])
    return _replaced(text, part.start, part.end, old[:place] + digit + old[place + 1 :])


def _names(text: str) -> list[tuple[int, int, str]]:
    """Names as runs of capitalised words."""
    parts = [part for part in exact_parts(text) if part.kind == "name"]
    runs: list[tuple[int, int, str]] = []
    for part in parts:
        if runs and text[runs[-1][1] : part.start] in (" ", "-", ". "):
            runs[-1] = (runs[-1][0], part.end, text[runs[-1][0] : part.end])
        else:
            runs.append((part.start, part.end, text[part.start : part.end]))
    return runs


def _name(text: str, others: Sequence[str], chance: random.Random) -> Corrupted | None:
    own = _names(text)
    if not own:
        return None
    lower = text.lower()
    near = [name for other in others for _, _, name in _names(other) if name.lower() not in lower]
    if not near:
        return None
    start, end, old = chance.choice(own)
    alike = [name for name in near if len(name.split()) == len(old.split())]
    return _replaced(text, start, end, chance.choice(alike or near))


def _date(text: str, _others: Sequence[str], chance: random.Random) -> Corrupted | None:
    parts = [part for part in exact_parts(text) if part.kind == "date"]
    if not parts:
        return None
    part = chance.choice(parts)
    old = text[part.start : part.end]
    pool = [day.capitalize() for day in sorted(DAYS)] if old.lower() in DAYS else list(_MONTH_NAMES)
    return _replaced(text, part.start, part.end, chance.choice([name for name in pool if name != old]))


def _negation(text: str, _others: Sequence[str], chance: random.Random) -> Corrupted | None:
    negated = _NEGATED.search(text)
    if negated:
        return text[: negated.start(1)] + text[negated.end(1) :], ((negated.start(), negated.start(1)),)
    places = list(_AUXILIARY.finditer(text))
    if not places:
        return None
    match = chance.choice(places)
    word = "cannot" if match.group() == "can" else f"{match.group()} {chance.choice(['not', 'never', 'not'])}"
    return _replaced(text, match.start(), match.end(), word)


def _opposite(text: str, _others: Sequence[str], chance: random.Random) -> Corrupted | None:
    found = [word for word in words(text) if word.form in OPPOSITES]
    if not found:
        return None
    word = chance.choice(found)
    new = chance.choice(sorted(OPPOSITES[word.form]))
    return _replaced(text, word.start, word.end, new.capitalize() if text[word.start].isupper() else new)


def _swap(text: str, _others: Sequence[str], chance: random.Random) -> Corrupted | None:
    """Two names, or two numbers, of the sentence change places."""
    names = _names(text)
    numbers = [(p.start, p.end, text[p.start : p.end]) for p in exact_parts(text) if p.kind == "number"]
    for found in chance.sample([names, numbers], 2):
        for (start, end, one), (start2, end2, other) in pairwise(found):
            if one != other and end <= start2:
                new = text[:start] + other + text[end:start2] + one + text[end2:]
                shift = len(other) - len(one)
                return new, ((start, start + len(other)), (start2 + shift, start2 + shift + len(one)))
    return None
