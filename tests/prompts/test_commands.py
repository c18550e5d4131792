from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prompts.collection import find_prompt
from prompts.commands import app


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))


def test_list_shows_each_prompt_with_its_version(tmp_path: Path) -> None:
    output = CliRunner().invoke(app, ["list"]).output
    assert [line.split()[:2] for line in output.splitlines()] == [
        [name, find_prompt(tmp_path, name).hash[:12]] for name in ("answer", "condense")
    ]


def test_list_prints_json_when_asked() -> None:
    rows = json.loads(CliRunner().invoke(app, ["list", "--json"]).output)
    assert [row["name"] for row in rows] == ["answer", "condense"]
    assert rows[0]["variables"] == {"question": "str", "passages": "list"}


def test_show_prints_the_whole_text(tmp_path: Path) -> None:
    prompt = find_prompt(tmp_path, "answer")
    assert CliRunner().invoke(app, ["show", "answer"]).output.endswith(prompt.text)
    assert json.loads(CliRunner().invoke(app, ["show", "answer", "--json"]).output)["hash"] == prompt.hash
