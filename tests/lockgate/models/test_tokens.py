from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lockgate.errors import Corrupt
from lockgate.models.tokens import open_token_counter

IMPORT = """
import sys
import lockgate.models.{module}
sys.exit(int(bool({{"torch", "transformers"}} & set(sys.modules))))
"""


def test_counts_without_truncation_or_padding(tmp_path: Path, byte_tokenizer: Any) -> None:
    path = tmp_path / "tokenizer.json"
    byte_tokenizer.save(str(path))
    counter = open_token_counter(tmp_path)
    assert counter.count_tokens(["", "abc", "é", "x" * 5000]) == [0, 3, 2, 5000]
    assert counter.count("abc") == 3


def test_truncation_and_padding_in_the_file_do_not_change_counts(tmp_path: Path, byte_tokenizer: Any) -> None:
    copy = type(byte_tokenizer).from_str(byte_tokenizer.to_str())
    copy.enable_truncation(4)
    copy.enable_padding(length=8)
    copy.save(str(tmp_path / "tokenizer.json"))
    assert open_token_counter(tmp_path).count_tokens(["a", "x" * 50]) == [1, 50]


def test_broken_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(Corrupt, match=r"tokenizer\.json"):
        open_token_counter(tmp_path)


@pytest.mark.parametrize("module", ["tokens", "commands", "catalogue", "fetch", "embedder", "generator", "gguf", "hub"])
def test_importing_needs_neither_torch_nor_transformers(module: str) -> None:
    assert subprocess.run([sys.executable, "-c", IMPORT.format(module=module)], check=False).returncode == 0
