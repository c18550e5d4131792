"""Prompts as text, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def prompt_text(name: str = "greet", keys: str = "", body: str = "# user\nHi\n") -> str:
    return f"---\nname: {name}\ndescription: d\nowner: o\n{keys}---\n{body}"


def example_rows(*rows: tuple[str, object]) -> str:
    """One line for each (question, output)."""
    return "".join(json.dumps({"input": {"question": question}, "output": out}) + "\n" for question, out in rows)


def write_library(project: Path, files: Mapping[str, str]) -> Path:
    """Write ``files`` into the project's library, which is returned."""
    library = project / "prompts" / "library"
    for path, text in files.items():
        file = library / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    return library
