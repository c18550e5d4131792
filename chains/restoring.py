"""What was taken out of a question has its place in the answer again, for its user alone: traces keep placeholders."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate

from lockgate.types import Answer, AnswerEvent, Finished, Token


def restored(event: AnswerEvent, originals: Mapping[str, str]) -> AnswerEvent:
    """The event as its user reads it."""
    if not originals:
        return event
    if isinstance(event, Token):
        return Token(_restore(event.text, originals)[0])
    return Finished(_restored_answer(event.answer, originals))


def _restored_answer(answer: Answer, originals: Mapping[str, str]) -> Answer:
    text, edits = _restore(answer.text, originals)
    if not edits:
        return answer
    ends = [end for end, _ in edits]
    shifts = [0, *accumulate(longer for _, longer in edits)]

    def moved(place: int) -> int:
        return place + shifts[bisect_right(ends, place)]

    return replace(answer, text=text, grounding=answer.grounding and answer.grounding.moved(moved))


def _restore(text: str, originals: Mapping[str, str]) -> tuple[str, list[tuple[int, int]]]:
    """The text, and for each placeholder in it where it ended and how much longer its value is."""
    edits: list[tuple[int, int]] = []

    def value(found: re.Match[str]) -> str:
        original = originals[found[0]]
        edits.append((found.end(), len(original) - len(found[0])))
        return original

    # All at once: what a value says is never taken for a placeholder.
    pattern = "|".join(re.escape(each) for each in sorted(originals, key=len, reverse=True))
    return re.sub(pattern, value, text), edits
