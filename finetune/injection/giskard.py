"""Giskard's published attacks, which are measured by group and not trained on."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from lockgate.content import read_text


def read_giskard(folder: Path) -> Iterator[tuple[str, str]]:
    """(group, text) of each. Raises NotFound when the file is not there."""
    for row in csv.DictReader(read_text(folder / "prompt_injections.csv").splitlines(keepends=True)):
        yield row["group"], row["prompt"]
