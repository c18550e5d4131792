from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lockgate.store.commands import app
from lockgate.store.database import HEAD


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))
    for name in ("LOCKGATE_STATE", "LOCKGATE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_upgrade_prints_from_which_to_which_revision(tmp_path: Path) -> None:
    first = CliRunner().invoke(app, ["upgrade"])
    assert first.output == f"{tmp_path}/.lockgate/lockgate.db: empty -> {HEAD}\n"
    assert "nothing to do" in CliRunner().invoke(app, ["upgrade"]).output


def test_upgrade_prints_json_when_asked(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["upgrade", "--json"])
    assert json.loads(result.output) == {
        "database": f"{tmp_path}/.lockgate/lockgate.db",
        "from": None,
        "to": HEAD,
    }
