"""Judged text is data: it stands between marks that it cannot contain, and cannot look like a message of its own.

The mark is made of a hash over all the texts, so whoever writes one of them cannot know it: a text that holds its own
mark would be one that holds its own hash. The same texts get the same mark, which keeps replies cacheable.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from lockgate.terminal import plain

MARK_DIGITS = 24

Value = str | Sequence[str]

# Signs with which chat templates and our own prompts open or close something, written so that "<" becomes "&lt;".
_OPENING = re.compile(
    r"<(?=\s*+/?+\s*+(?:data|passage|answer|question|reference|claim|system|user|assistant|instructions?|think|s>)"
    r"|\|)|<(?=<\s*+/?+(?:SYS|data))",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\[(?=\s*+/?+(?:INST|SYS|END|AVAILABLE_TOOLS|TOOL_RESULTS)\b)", re.IGNORECASE)
_HEADING = re.compile(r"^(#{1,6})(?=\s*+(?:system|user|assistant|instructions?|response|human)\b)", re.I | re.M)
_TAGS = re.compile("[\U000e0000-\U000e007f\ufe00-\ufe0f\u00ad]")


def mark_of(values: Mapping[str, Value]) -> str:
    """Hexadecimal digits that none of ``values`` holds, the same for the same values."""
    texts = json.dumps({name: value if isinstance(value, str) else list(value) for name, value in values.items()})
    for number in range(100):
        mark = hashlib.sha256(f"{number}\n{texts}".encode()).hexdigest()[:MARK_DIGITS]
        if mark not in texts:
            return mark
    raise AssertionError("a text holds the hashes of itself")  # pragma: no cover


def fenced(text: str) -> str:
    """``text`` without characters that cannot be seen, and with nothing in it that could open or close a marking."""
    text = _TAGS.sub("", plain(text))
    text = _OPENING.sub("&lt;", text)
    text = _BRACKETED.sub("&#91;", text)
    return _HEADING.sub(lambda found: "&#35;" * len(found[1]), text)


def fenced_values(values: Mapping[str, Value]) -> dict[str, object]:
    """``values`` fenced, with ``mark`` beside them: the variables of a judge's prompt."""
    clean: dict[str, object] = {
        name: fenced(value) if isinstance(value, str) else [fenced(item) for item in value]
        for name, value in values.items()
    }
    return {**clean, "mark": mark_of({name: clean[name] for name in clean})}  # type: ignore[misc]
