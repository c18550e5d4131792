"""The judge's prompt files: those of ``prompts/library`` whose names begin with ``judge-``, the project's own first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from evals.judge.fencing import Value, fenced_values
from lockgate.types import Message
from prompts.collection import find_prompt, prompt_files
from prompts.prompt import Prompt

PREFIX = "judge-"


class PromptBook:
    """Loads each prompt once. ``extra`` are hashes of what else the judge is told by, such as a rubric."""

    def __init__(self, project_dir: Path, extra: Mapping[str, str] | None = None) -> None:
        self.project_dir = project_dir
        self._extra = dict(extra or {})
        self._loaded: dict[str, Prompt] = {}

    def messages(self, name: str, values: Mapping[str, Value], **plain: object) -> list[Message]:
        """The messages of prompt ``name``: ``values`` are judged text and fenced, ``plain`` are the caller's own.

        The mark is the variable ``mark``. Raises NotFound and UserError as loading and rendering do.
        """
        return self._prompt(name).messages({**fenced_values(values), **plain})

    def register(self, name: str, content_hash: str) -> None:
        """Count ``content_hash`` among what the judge is told by, under ``name``."""
        self._extra[name] = content_hash

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of every prompt of the judge, and of what was registered, by name."""
        return {**self._files, **self._extra}

    @cached_property
    def _files(self) -> dict[str, str]:
        names = sorted(name for name in prompt_files(self.project_dir) if name.startswith(PREFIX))
        return {name: self._prompt(name).hash for name in names}

    def _prompt(self, name: str) -> Prompt:
        if name not in self._loaded:
            self._loaded[name] = find_prompt(self.project_dir, name)
        return self._loaded[name]
