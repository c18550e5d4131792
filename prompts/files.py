"""Where the texts of a prompt come from: a library folder, or a mapping that a release carries."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lockgate.content import read_text
from lockgate.errors import UserError

MAIN = "prompt.md"
"""The main file of a prompt that is a folder."""

EXAMPLES = "examples.jsonl"


class Files(Protocol):
    """A library of prompts. Paths are relative to it, with forward slashes."""

    def read(self, path: str) -> str | None:
        """The text with LF line ends, None when there is no such file. Raises UserError when it cannot be read."""
        ...

    def label(self, path: str) -> str:
        """What messages call the file."""
        ...


class FolderFiles:
    """The library in a folder. A link that leads out of it is refused, and so is what is no regular file."""

    def __init__(self, library: Path) -> None:
        self._library = library

    def read(self, path: str) -> str | None:
        file = self._library / path
        if not os.path.lexists(file):
            return None
        try:
            real = file.resolve()
            outside = not real.is_relative_to(self._library.resolve())
            plain = real.is_file()
        except (OSError, RuntimeError) as error:
            raise UserError(f"{file}: cannot be read ({error}).") from None
        if outside:
            raise UserError(f"{file}: is a link that leads out of {self._library}.", hint="Copy the file there.")
        if not plain:
            raise UserError(f"{file}: is not a file.")
        return lf(read_text(file))

    def label(self, path: str) -> str:
        return str(self._library / path)


class TextFiles:
    """A library that is in memory; ``where`` says whose it is, for messages."""

    def __init__(self, texts: Mapping[str, str], where: str) -> None:
        self._texts = texts
        self._where = where

    def read(self, path: str) -> str | None:
        text = self._texts.get(path)
        if text is None:
            return None
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(f"{self.label(path)}: is not text that UTF-8 can hold.") from None
        return lf(text)

    def label(self, path: str) -> str:
        return f"{self._where}/{path}"


def lf(text: str) -> str:
    """``text`` with LF line ends and no byte order mark, as the hash and all line numbers count it."""
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def main_paths(name: str) -> tuple[str, str]:
    """Where the main file of the prompt ``name`` may lie: a file of its own, or in a folder of its own."""
    return f"{name}.md", f"{name}/{MAIN}"


def examples_path(main: str) -> str | None:
    """Where the examples of the prompt with this main file lie; None when it is not a folder."""
    folder, slash, _ = main.partition("/")
    return f"{folder}/{EXAMPLES}" if slash else None


def content_hash(files: Mapping[str, str]) -> str:
    """SHA-256 of the only text, or of the canonical JSON of relative path to text when there are several."""
    if len(files) == 1:
        return hashlib.sha256(next(iter(files.values())).encode()).hexdigest()
    canonical = json.dumps(dict(files), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
