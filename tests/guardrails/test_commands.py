from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardrails.commands import app
from lockgate.errors import NotFound, PolicyRefused


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))


def test_check_prints_an_answer_as_it_would_be_shown() -> None:
    result = CliRunner().invoke(app, ["check", "Yes [1] [3]. ![x](u)", "--stage", "output", "--citations", "2"])
    assert result.stdout == "Yes [1]. \n"
    assert "image removed: 1" in result.stderr


def test_check_prints_json_when_asked() -> None:
    result = CliRunner().invoke(app, ["check", "a [1]", "--stage", "output", "--json"])
    row = json.loads(result.stdout)
    assert (row["text"], row["stage"], row["blocked"], row["policy"]) == ("a", "output", False, "default")
    assert row["actions"] == ["citation of a passage that was not given removed: 1"]


def test_check_says_when_a_question_is_blocked() -> None:
    result = CliRunner().invoke(app, ["check", "x" * 9000, "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["blocked"] is True
    assert isinstance(CliRunner().invoke(app, ["check", "x" * 9000]).exception, PolicyRefused)
    assert CliRunner().invoke(app, ["check", "a\x1bb"]).stdout == "ab\n"


def test_check_of_an_unknown_policy_is_not_found() -> None:
    assert isinstance(CliRunner().invoke(app, ["check", "x", "--policy", "gone"]).exception, NotFound)
