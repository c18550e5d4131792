"""The body of a prompt file, split into messages by role headings before anything is rendered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from lockgate.errors import UserError
from lockgate.types import Role

_HEADING = re.compile(r"# (system|user|assistant) *\Z")


@dataclass(frozen=True, slots=True)
class Section:
    """The template of one message; ``line`` is the line of the file that ``source`` begins on."""

    role: Role
    source: str
    line: int


def split_sections(body: str, *, where: str, first_line: int) -> tuple[Section, ...]:
    """The sections of ``body``, which begins on ``first_line`` of the file.

    A heading is a line that is exactly ``# system``, ``# user`` or ``# assistant``. Raises UserError naming file and
    line for text before the first heading, a section without text, and ``# system`` anywhere but first.
    """
    lines = body.split("\n")
    starts = [number for number, line in enumerate(lines) if _HEADING.match(line)]
    before = next((n for n, line in enumerate(lines[: starts[0]] if starts else lines) if line.strip()), None)
    if before is not None or not starts:
        line = first_line + (before or 0)
        raise UserError(f"{where}:{line}: a line '# system' or '# user' was expected before any text.")
    sections: list[Section] = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        role = cast("Role", lines[start].strip("# "))
        content = lines[start + 1 : end]
        leading = next((n for n, line in enumerate(content) if line.strip()), None)
        if leading is None:
            raise UserError(f"{where}:{first_line + start}: the section '# {role}' has no text.")
        if role == "system" and sections:
            raise UserError(f"{where}:{first_line + start}: '# system' can only be the first section.")
        source = "\n".join(content[leading:]).rstrip()
        sections.append(Section(role, source, first_line + start + 1 + leading))
    return tuple(sections)
