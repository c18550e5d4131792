"""A question as it is made, before it is checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lockgate.types import Chunk

Kind = Literal[
    "heading", "definition", "how-to", "option", "table", "number", "default", "section", "model",
    "other-object", "no-such-fact", "only-mentioned", "model-near",
]  # fmt: skip
"""How a question was made; the last four have no answer."""

MAX_QUESTION = 200
MAX_REFERENCE = 600


@dataclass(frozen=True, slots=True)
class Draft:
    """``reference`` are words of ``chunks`` as they stand there, "" for a question without an answer; the first chunk
    is where the question comes from. ``rank`` orders the drafts of a page, smaller first. ``subject`` is what the
    question is about, in the words of a question; ``verb`` is what it asks to do, in a how-to."""

    kind: Kind
    question: str
    reference: str
    chunks: tuple[Chunk, ...]
    rank: int
    subject: str = ""
    verb: str = ""

    @property
    def answerable(self) -> bool:
        return bool(self.reference)

    @property
    def path(self) -> str:
        return self.chunks[0].path

    @property
    def passage(self) -> str:
        return "\n\n".join(chunk.text for chunk in self.chunks)
