"""What is wrong with a prompt's files: found all at once, each with its rule and its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from lockgate.errors import UserError

Level = Literal["error", "warning"]

MAX_LISTED = 20
"""Problems that one error message lists."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a prompt's text and the file that it stands in, which includes make differ from line to line."""

    text: str
    file: str
    number: int

    def column(self, word: str = "") -> int:
        """1-based column of ``word``, else of the line's first character that is not a space."""
        alone = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", self.text) if word else None
        start = alone.start() if alone else self.text.find(word) if word else -1
        return 1 + (start if start >= 0 else len(self.text) - len(self.text.lstrip()))


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. ``line`` is 0 when it is about the whole file; ``fix`` says what to do."""

    rule: str
    message: str
    file: str
    line: int = 0
    column: int = 1
    fix: str = ""
    level: Level = "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


def at(line: Line, rule: str, message: str, *, word: str = "", fix: str = "", level: Level = "error") -> Problem:
    """The problem that ``rule`` has with ``line``, at ``word`` in it."""
    return Problem(rule, message, line.file, line.number, line.column(word), fix, level)


def refuse(problems: Sequence[Problem]) -> NoReturn:
    """Raise UserError that lists the first of ``problems`` and counts the others."""
    lines = [str(problem) for problem in problems[:MAX_LISTED]]
    if more := len(problems) - len(lines):
        lines.append(f"... and {more} more.")
    raise UserError("\n".join(lines), hint=problems[0].fix if len(problems) == 1 else "")
