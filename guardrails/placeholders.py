"""Placeholders of several texts of one request, kept apart: each text counts from one on its own."""

from __future__ import annotations

import re
from dataclasses import replace

from guardrails.finding import StageResult

_NUMBERED = re.compile(r"\[([A-Z][A-Z_]*)_(\d+)\]")


class Placeholders:
    """What the reversible placeholders of one request stand for, ``originals``: for the answer to its user only."""

    def __init__(self) -> None:
        self.originals: dict[str, str] = {}

    def renamed(self, result: StageResult) -> StageResult:
        """``result`` with placeholders that no other text of the request uses for something else; the same value has
        the same one in all of them."""
        known = {original: placeholder for placeholder, original in self.originals.items()}
        names: dict[str, str] = {}
        for placeholder, original in result.originals.items():
            names[placeholder] = known.get(original) or self._free(placeholder)
            self.originals[names[placeholder]] = original
        if all(old == new for old, new in names.items()):
            return result

        def renamed(text: str) -> str:
            return _NUMBERED.sub(lambda found: names.get(found[0], found[0]), text)

        return replace(
            result,
            text=renamed(result.text),
            written=renamed(result.written),
            originals={names[each]: original for each, original in result.originals.items()},
        )

    def _free(self, placeholder: str) -> str:
        found = _NUMBERED.fullmatch(placeholder)
        if found is None or placeholder not in self.originals:
            return placeholder
        number = int(found[2])
        while f"[{found[1]}_{number}]" in self.originals:
            number += 1
        return f"[{found[1]}_{number}]"
