from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from evals.scope_commands import app
from lockgate.actor import Actor
from lockgate.errors import NotFound, UserError
from lockgate.settings import load_settings
from lockgate.store.channels import Move, move_channel
from lockgate.store.database import open_database
from lockgate.store.releases import open_releases
from lockgate.store.tables import Snapshot
from lockgate.store.traces import TraceRecord, write_trace
from tests.lockgate.samples import PROVENANCE, sample_manifest

SCOPE = """\
owner: "Docs \\e[31mteam"
users: [readers]
in_scope: ["How do I start?"]
targets:
  - {name: in time, kind: latency, metric: answer_seconds_p95, at_most: 3, unit: s}
  - {name: good, kind: quality, metric: token_f1, at_least: 0.5}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))
    (tmp_path / "scope.yaml").write_text(SCOPE)
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def promote(channel: str, *, answer: str = "Answer.\n", seconds: float | None = 2.0) -> str:
    settings = load_settings()
    with open_database(settings.database) as db:
        manifest = sample_manifest(answer=answer)
        open_releases(settings, db).write(manifest, PROVENANCE)
        pinned = manifest.snapshot
        with db.session() as session:
            if session.scalar(select(Snapshot.seq).where(Snapshot.id == pinned.id)) is None:
                session.add(
                    Snapshot(
                        id=pinned.id,
                        kind=pinned.kind,
                        parent=None,
                        manifest=pinned.manifest,
                        lexicon=pinned.lexicon,
                        embedder=pinned.embedder,
                        chunking={},
                        documents=pinned.documents,
                        chunks=pinned.chunks,
                        created_at=datetime.now(UTC),
                    )
                )
        move_channel(db, Move(channel, "docs", "promote", manifest.id, 0, Actor("ada")))
        if seconds is not None:
            values: dict[str, Any] = {"origin": "api", "chain": "docs", "question": "?", "status": "ok"}
            record = TraceRecord(
                id=channel,
                created_at=datetime.now(UTC),
                release=manifest.id,
                timings={"total": seconds * 1000},
                **values,
            )
            write_trace(db, record)
    return manifest.id


def test_shows_the_scope_and_that_nothing_is_measured_yet(project: Path) -> None:
    result = run("show")
    assert result.exit_code == 0
    assert "Owner: Docs [31mteam" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.count("not measured") == 2
    assert "no channel points at a release" in result.stdout


def test_shows_targets_beside_what_each_channels_release_measures(project: Path) -> None:
    staging = promote("staging", seconds=2)
    production = promote("production", answer="Answer!\n", seconds=9)
    text = run("show").stdout
    assert f"Targets, staging, release {staging[:12]}:" in text
    assert f"Targets, production, release {production[:12]}:" in text
    body = json.loads(run("show", "--json").stdout)
    assert [(each["channel"], each["release"]) for each in body["measured"]] == [
        ("staging", staging),
        ("production", production),
    ]
    latency = [each["targets"][0] for each in body["measured"]]
    assert [(row["measured"], row["met"]) for row in latency] == [(2.0, True), (9.0, False)]
    assert body["targets"][0]["name"] == "in time"
    assert body["users"] == ["readers"]


def test_shows_one_release_by_its_first_characters(project: Path) -> None:
    staging = promote("staging")
    promote("production", answer="Answer!\n")
    body = json.loads(run("show", "--release", staging[:8], "--json").stdout)
    assert [(each["channel"], each["release"]) for each in body["measured"]] == [("", staging)]
    with pytest.raises(NotFound):
        run("show", "--release", "0123456789")
    with pytest.raises(UserError):
        run("show", "--release", "../x")


def test_a_release_whose_manifest_is_gone_hides_nothing_else(project: Path) -> None:
    gone = promote("staging")
    promote("production", answer="Answer!\n")
    (file,) = (project / ".lockgate" / "objects").rglob(f"*{gone[2:]}*")
    file.unlink()
    body = json.loads(run("show", "--json").stdout)
    assert [each["targets"][0]["measured"] for each in body["measured"]] == [None, 2.0]
    assert "gone" in body["measured"][0]["targets"][0]["source"]


def test_another_chain_has_channels_of_its_own(project: Path) -> None:
    promote("staging")
    assert json.loads(run("show", "--chain", "other", "--json").stdout)["measured"] == []


def test_lint_is_silent_about_nothing_and_names_line_and_key(project: Path) -> None:
    assert run("lint").stdout == "scope.yaml: no problems.\n"
    assert json.loads(run("lint", "--json").stdout) == {"ok": True, "problems": []}
    (project / "scope.yaml").write_text(SCOPE.replace("metric: token_f1, ", ""))
    result = run("lint")
    assert result.exit_code == 1
    assert result.stdout == f"{project / 'scope.yaml'}:6: key 'targets.1.metric' is missing.\n"
    (project / "scope.yaml").write_text(SCOPE.replace("token_f1", "vibes"))
    result = run("lint", "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["file"], problem["line"]) == (str(project / "scope.yaml"), 6)
    assert "unknown metric 'vibes'" in problem["message"]


@pytest.mark.parametrize("command", ["show", "lint"])
def test_a_project_without_a_scope_says_how_to_get_one(project: Path, command: str) -> None:
    (project / "scope.yaml").unlink()
    with pytest.raises(NotFound, match="no such file") as caught:
        run(command)
    assert "lockgate init" in caught.value.hint
