"""``{% include "shared/tone.md" %}`` on a line of its own: replaced by that file's lines before anything is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lockgate.errors import UserError
from prompts.files import MAIN, Files
from prompts.problem import Line, Problem, at

MAX_DEPTH = 5
MAX_INCLUDES = 100
"""Includes that one prompt may resolve: many small files could otherwise be included without end."""

_INCLUDE = re.compile(r"""[ \t]*\{%[-+]?[ \t]*include[ \t]+(?:"([^"]*)"|'([^']*)')[ \t]*[-+]?%\}[ \t]*\Z""")
_PART = re.compile(r"[\w][\w. -]*\Z")
_FIX = 'Write a path relative to the library folder, such as {% include "shared/tone.md" %}.'


@dataclass(slots=True)
class Expansion:
    """The lines with every include resolved, and the text of each included file by its path in the library."""

    lines: list[Line] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def expand(lines: Sequence[Line], files: Files, *, characters: int) -> Expansion:
    """Resolve the includes of ``lines``; at most ``characters`` come out of it."""
    expander = _Expander(files, characters)
    expander.add(lines, ())
    return expander.made


def included(text: str) -> str | None:
    """The path that a line of text includes, None for any other line."""
    found = _INCLUDE.match(text)
    return None if found is None else found[1] if found[1] is not None else found[2]


def text_lines(text: str, file: str, *, first: int = 1) -> list[Line]:
    """The lines of ``text``; the line end that closes a file begins no further line."""
    return [Line(line, file, number) for number, line in enumerate(text.removesuffix("\n").split("\n"), first)]


class _Expander:
    def __init__(self, files: Files, characters: int) -> None:
        self._files = files
        self._most = self._left = characters
        self._includes = MAX_INCLUDES
        self._full = False
        self.made = Expansion()

    def add(self, lines: Sequence[Line], above: tuple[str, ...]) -> None:
        for line in lines:
            if self._full:
                return
            path = included(line.text)
            if path is None:
                self._left -= len(line.text) + 1
                if self._left < -1:
                    self._stop(line, f"the prompt and what it includes have more than {self._most} characters.")
                    return
                self.made.lines.append(line)
            else:
                self._include(line, path, above)

    def _include(self, line: Line, path: str, above: tuple[str, ...]) -> None:
        self._includes -= 1
        if self._includes < 0:
            self._stop(line, f"more than {MAX_INCLUDES} includes.")
            return
        reason = _wrong(path, above)
        text = None
        if not reason:
            try:
                text = self._files.read(path)
            except UserError as error:
                reason = f"cannot include {path[:200]!r}: {error.message}"
            else:
                reason = "" if text is not None else f"cannot include {path[:200]!r}: there is no such file."
        if reason or text is None:
            self.made.problems.append(at(line, "broken-include", reason, word=path, fix=_FIX))
            return
        self.made.files[path] = text
        if text:
            self.add(text_lines(text, self._files.label(path)), (*above, path))

    def _stop(self, line: Line, message: str) -> None:
        self._full = True
        self.made.problems.append(at(line, "too-long", message))


def _wrong(path: str, above: tuple[str, ...]) -> str:
    parts = path.split("/")
    if len(path) > 200 or not all(_PART.match(part) and not part.endswith((".", " ")) for part in parts):
        return f"cannot include {path[:200]!r}: not a plain relative path with forward slashes."
    if not path.endswith(".md"):
        return f"cannot include {path!r}: only .md files can be included."
    if len(parts) == 1 or (len(parts) == 2 and parts[1] == MAIN):
        return f"cannot include {path!r}: that is a prompt; what is included lies in a folder, such as shared/."
    if path in above:
        return f"cannot include {path!r}: it includes itself ({' > '.join((*above, path))})."
    if len(above) >= MAX_DEPTH:
        return f"cannot include {path!r}: includes go at most {MAX_DEPTH} deep."
    return ""
