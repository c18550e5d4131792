"""Rubrics: a Markdown file that says what each of five levels means; a judge gives an answer one of them.

Front matter (name, description, what the judge is shown beside question and answer), then a heading ``## 1`` to
``## 5`` with the level's text under each.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from lockgate.content import ContentModel, parse_yaml, read_text, split_front_matter
from lockgate.errors import NotFound, UserError

LEVELS = (1, 2, 3, 4, 5)
MAX_RUBRIC = 8000

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_HEADING = re.compile(r"##\s+([1-5])\s*(?::.*)?\Z")


class RubricHeader(ContentModel):
    """``shows``: what the judge is given beside question and answer."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    description: str = Field(min_length=1)
    shows: tuple[Literal["passages", "reference"], ...] = ()


@dataclass(frozen=True, slots=True)
class Rubric:
    """``hash`` is the SHA-256 of the file's text; a judge that is calibrated on one text has no vote with another."""

    name: str
    description: str
    shows: tuple[str, ...]
    text: str
    hash: str

    @property
    def key(self) -> str:
        """What the judge's identity calls it."""
        return f"rubric:{self.name}"


def find_rubric(project_dir: Path, name: str) -> Rubric:
    """The rubric ``evals/rubrics/<name>.md`` of a project. Raises NotFound, which lists them, and UserError."""
    folder = project_dir / "evals" / "rubrics"
    known = sorted(file.stem for file in folder.glob("*.md") if file.stem != "README")
    if not _NAME.match(name) or name not in known:
        raise NotFound(f"{folder}: no rubric {name[:80]!r}.", hint=f"Rubrics: {', '.join(known) or 'none'}.")
    return load_rubric(folder / f"{name}.md")


def load_rubric(path: Path) -> Rubric:
    """Raises NotFound, or UserError that names file and line."""
    text = read_text(path).replace("\r\n", "\n")
    if len(text) > MAX_RUBRIC:
        raise UserError(f"{path}: has {len(text)} characters; a rubric has at most {MAX_RUBRIC}.")
    yaml, body, first_line = split_front_matter(text, where=str(path))
    header = parse_yaml(yaml, RubricHeader, where=str(path), first_line=2)
    if header.name != path.stem:
        raise UserError(f"{path}:2: key 'name': {header.name!r} is not the name of the file.")
    _check_levels(body, path, first_line)
    return Rubric(
        header.name, header.description, header.shows, body.strip(), hashlib.sha256(text.encode()).hexdigest()
    )


def _check_levels(body: str, path: Path, first_line: int) -> None:
    levels: dict[int, int] = {}
    current = 0
    for number, line in enumerate(body.split("\n"), start=first_line):
        if found := _HEADING.match(line.rstrip()):
            current = int(found[1])
            if current in levels:
                raise UserError(f"{path}:{number}: level {current} is given twice.")
            levels[current] = 0
        elif line.startswith("## "):
            raise UserError(f"{path}:{number}: a heading '## 1' to '## 5' was expected, not {line.strip()[:40]!r}.")
        elif current and line.strip():
            levels[current] += 1
    missing = [level for level in LEVELS if not levels.get(level)]
    if missing:
        raise UserError(
            f"{path}: level {', '.join(map(str, missing))} has no text.",
            hint="Write a heading '## 1' to '## 5' and under each what an answer of that level is like.",
        )
