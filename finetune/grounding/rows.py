"""A training row: one claim, the passages that it is held against, and whether they hold it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Label = Literal["supported", "contradicted", "not_found", "unsupported"]
"""``unsupported`` is said by sets that do not tell a contradiction from what is not there."""

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True, slots=True)
class Row:
    """``spans`` are the unsupported parts of ``claim``; None where nobody marked them.

    ``group`` names the source passage: all rows of one are in one split. ``answer`` names the answer that the claim is
    a sentence of, ``bad_answer`` what its whole was labelled, where the set labels whole answers.
    """

    source: str
    group: str
    split: Split
    question: str
    claim: str
    passages: tuple[str, ...]
    label: Label
    spans: tuple[tuple[int, int], ...] | None = None
    answer: str = ""
    bad_answer: bool | None = None

    @property
    def bad(self) -> bool:
        return self.label != "supported"


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of a source is kept out, by source passage."""

    dev: float = 0.15
    test: float = 0.0


def group_of(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]


def split_of(group: str, shares: Shares) -> Split:
    """The same for every run and machine: it depends on the text of the source passage only."""
    place = int(group[:8], 16) / 0x1_0000_0000
    if place < shares.test:
        return "test"
    return "dev" if place < shares.test + shares.dev else "train"


def changed_spans(before: str, after: str) -> tuple[tuple[int, int], ...]:
    """The parts of ``after`` that ``before`` does not have, word by word; a deletion marks the word after it."""
    import difflib
    import re

    def pieces(text: str) -> list[tuple[int, int, str]]:
        return [(m.start(), m.end(), m.group().lower()) for m in re.finditer(r"[^\W_]+|[^\w\s]", text)]

    old, new = pieces(before), pieces(after)
    matcher = difflib.SequenceMatcher(None, [p[2] for p in old], [p[2] for p in new], autojunk=False)
    spans = []
    for tag, _, _, start, end in matcher.get_opcodes():
        if tag == "equal" or not new:
            continue
        last = max(start + 1, end)
        if start < len(new):
            spans.append((new[start][0], new[min(last, len(new)) - 1][1]))
    return tuple(spans)


def counted(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Rows by "source/split" and label."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        labels = counts.setdefault(f"{row.source}/{row.split}", {})
        labels[row.label] = labels.get(row.label, 0) + 1
    return {key: dict(sorted(counts[key].items())) for key in sorted(counts)}


def overlaps(span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> bool:
    return any(start < span[1] and end > span[0] for start, end in spans)
