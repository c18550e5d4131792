"""Answers that a release gave before, for a run that asks the same again: a model at temperature 0 says the same.

What the model was asked depends on the release, on the question and on what the search finds. The release pins prompts,
model and policy by its id, the code that puts them together is pinned here by its hash, and what the search finds is
compared by whoever uses the answer: an index that changed behind a release's back is asked anew. Only answers that a
model wrote are kept; quoting is quicker than looking up.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from evals.case import Case
from evals.runs.call_cache import call_key
from lockgate.types import Answer, AnswerMode

_PACKAGES = ("lockgate", "ingestion", "prompts", "guardrails", "chains")
"""Whose code decides what a release answers."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """``milliseconds`` is what it took when it was made, ``chunks`` what it was made from."""

    answer: Answer
    milliseconds: float
    chunks: tuple[str, ...]


class Calls(Protocol):
    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str) -> None: ...


class AnswerCache:
    """The answers of one release."""

    def __init__(self, calls: Calls, release: str, *, code: str | None = None) -> None:
        self._calls, self._release = calls, release
        self._code = code_hash() if code is None else code

    def key(self, case: Case, mode: AnswerMode | None) -> str:
        history = [[turn.role, turn.content] for turn in case.history]
        return call_key(
            "answer",
            release=self._release,
            code=self._code,
            question=case.question,
            history=history,
            mode=mode,
            parameters={"temperature": 0, "seed": 0},
        )

    def get(self, case: Case, mode: AnswerMode | None) -> KeptAnswer | None:
        text = self._calls.get(self.key(case, mode))
        try:
            return None if text is None else _adapter().validate_json(text)
        except ValidationError:  # of another version, or damaged: asked again
            return None

    def put(self, case: Case, mode: AnswerMode | None, kept: KeptAnswer) -> None:
        if kept.answer.mode == "generative":
            self._calls.put(self.key(case, mode), _adapter().dump_json(kept).decode())


@cache
def _adapter() -> TypeAdapter[KeptAnswer]:
    return TypeAdapter(KeptAnswer)


@cache
def code_hash() -> str:
    """SHA-256 over every Python file of the packages that answer."""
    digest = hashlib.sha256()
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                data = path.read_bytes()
                digest.update(f"{name}/{path.relative_to(folder).as_posix()}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
