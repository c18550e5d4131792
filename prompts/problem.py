"""What is wrong with a prompt's files: found all at once, each with its rule and its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from lockgate.errors import UserError

Level = Literal["error", "warning"]

_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

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
    """One finding. One about the whole file stands on its first line; ``fix`` says what to do."""

    rule: str
    message: str
    file: str
    line: int = 1
    column: int = 1
    fix: str = ""
    level: Level = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", max(1, self.line))
        object.__setattr__(self, "column", max(1, self.column))

    def __str__(self) -> str:
        return one_line(f"{self.file}:{self.line}: {self.message}")


def one_line(text: str) -> str:
    """``text`` with every character that could end a line, or that UTF-8 cannot hold, written out: file names are
    not trusted."""
    return _BREAKING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def at(line: Line, rule: str, message: str, *, word: str = "", fix: str = "", level: Level = "error") -> Problem:
    """The problem that ``rule`` has with ``line``, at ``word`` in it."""
    return Problem(rule, message, line.file, line.number, line.column(word), fix, level)


def refuse(problems: Sequence[Problem]) -> NoReturn:
    """Raise UserError that lists the first of ``problems`` and counts the others."""
    lines = [str(problem) for problem in problems[:MAX_LISTED]]
    if more := len(problems) - len(lines):
        lines.append(f"... and {more} more.")
    raise UserError("\n".join(lines), hint=problems[0].fix if len(problems) == 1 else "")
