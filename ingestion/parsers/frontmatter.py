"""Front matter of a page: only its title and description are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

MAX_CHARS = 65_536

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)??(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FrontMatter:
    title: str = ""
    description: str = ""
    malformed: str = ""  # the text between the dashes, when it is not a YAML mapping


def split(text: str) -> tuple[FrontMatter, str]:
    """(front matter, body). Pages come from many tools, so what does not parse is handed back as text, not refused."""
    found = _FRONT_MATTER.match(text, 0, MAX_CHARS) if text.startswith("---") else None
    if found is None:
        return FrontMatter(), text
    source = found.group(1) or ""
    body = text[found.end() :]
    try:
        # The pure Python loader on purpose: libyaml's recursion on deep nesting ends the process.
        values = yaml.safe_load(source)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return FrontMatter(malformed=source), body
    if values is None:
        return FrontMatter(), body
    if not isinstance(values, dict):
        # Two thematic breaks around ordinary text look the same as front matter.
        return FrontMatter(), text
    return FrontMatter(_text(values.get("title")), _text(values.get("description"))), body


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
