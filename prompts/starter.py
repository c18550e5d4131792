"""A new prompt to begin with: a starter, or a copy of the shipped prompt that has the name."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lockgate.actor import current_actor
from lockgate.atomic import write_atomic
from lockgate.errors import UserError
from prompts.collection import SHIPPED, own_library
from prompts.files import EXAMPLES, MAIN, FolderFiles, main_paths
from prompts.header import NAME
from prompts.prompt import read_prompt

_TEXT = """---
name: {name}
description: Say here in one sentence what the prompt is for.
owner: {owner}
variables:
  question: str
{examples}defaults:
  temperature: 0
  max_tokens: 200
---

# system

You answer questions in one sentence. If you do not know the answer, say so.

# user

{{{{ question }}}}
"""

_CHOICE = """examples:
  choose: fixed
  count: 3
"""

_ROWS = (
    {"input": {"question": "What is two and two?"}, "output": "Four."},
    {"input": {"question": "What will the weather be next year?"}, "output": "I do not know."},
)


def create_prompt(project_dir: Path, name: str, *, folder: bool = False) -> list[Path]:
    """Write the files of a new prompt into the project's library; nothing that is there is touched.

    Raises UserError for a name that cannot be one, or that a prompt of the project has.
    """
    if not NAME.match(name):
        raise UserError(
            f"{name[:80]!r} cannot be the name of a prompt.",
            hint="Use lower-case letters, digits and dashes, a letter first.",
        )
    library = own_library(project_dir)
    for main in main_paths(name):
        if os.path.lexists(library / main):
            raise UserError(f"{library / main} is there already.", hint="Edit it, or choose another name.")
    files = _files(name, folder)
    if taken := [path for path in files if os.path.lexists(library / path)]:
        raise UserError(f"{library / taken[0]} is there already, and nothing is written over.")
    for path, text in files.items():
        write_atomic(library / path, text.encode())
    return [library / path for path in files]


def _files(name: str, folder: bool) -> dict[str, str]:
    main = main_paths(name)[folder]
    for shipped in main_paths(name):
        if (SHIPPED / shipped).is_file():
            copied = dict(read_prompt(FolderFiles(SHIPPED), shipped).files)
            return {main: copied.pop(shipped), **copied}
    owner = json.dumps(current_actor().name, ensure_ascii=False)
    text = _TEXT.format(name=name, owner=owner, examples=_CHOICE if folder else "")
    if not folder:
        return {main: text}
    rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _ROWS)
    return {f"{name}/{MAIN}": text, f"{name}/{EXAMPLES}": rows}
