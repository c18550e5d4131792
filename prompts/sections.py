"""The body of a prompt file, split into messages by role headings before anything is rendered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from lockgate.types import Role
from prompts.problem import Line, Problem, at

MAX_SECTIONS = 50

_HEADING = re.compile(r"# (system|user|assistant) *\Z")
_FIX = "Begin each message with a line that is exactly '# system', '# user' or '# assistant'."


@dataclass(frozen=True, slots=True)
class Section:
    """The template of one message, without the empty lines around it."""

    role: Role
    heading: Line
    lines: tuple[Line, ...]


def split_sections(lines: Sequence[Line], *, end: Line) -> tuple[tuple[Section, ...], list[Problem]]:
    """The sections of ``lines`` and what is wrong with them; ``end`` is where the body would begin if it is empty.

    A heading is a line that is exactly ``# system``, ``# user`` or ``# assistant``. Wrong are text before the first
    heading, a section without text, and ``# system`` anywhere but first.
    """
    problems: list[Problem] = []
    starts = [number for number, line in enumerate(lines) if _HEADING.match(line.text)]
    before = next((line for line in lines[: starts[0] if starts else len(lines)] if line.text.strip()), None)
    if before is not None or not starts:
        message = "a line '# system' or '# user' was expected before any text."
        problems.append(at(before or (lines[0] if lines else end), "missing-section", message, fix=_FIX))
    if len(starts) > MAX_SECTIONS:
        message = f"{len(starts)} sections; a prompt has at most {MAX_SECTIONS}."
        problems.append(at(lines[starts[MAX_SECTIONS]], "too-long", message, fix="Put examples into examples.jsonl."))
        return (), problems
    sections: list[Section] = []
    for start, stop in pairwise([*starts, len(lines)]):
        heading = lines[start]
        role = cast("Role", heading.text.strip("# "))
        filled = [number for number in range(start + 1, stop) if lines[number].text.strip()]
        content = lines[filled[0] : filled[-1] + 1] if filled else ()
        if role == "system" and start != starts[0]:
            problems.append(at(heading, "system-not-first", "'# system' can only be the first section."))
        if content:
            sections.append(Section(role, heading, tuple(content)))
        else:
            fix = "Write its text, or take the heading away."
            problems.append(at(heading, "empty-section", f"the section '# {role}' has no text.", fix=fix))
    return tuple(sections), problems
