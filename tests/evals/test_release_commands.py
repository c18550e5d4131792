from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.release_commands import app
from lockgate.actor import Actor
from lockgate.errors import Corrupt, NotFound
from lockgate.release import Manifest
from lockgate.store.channels import Move, move_channel
from lockgate.store.eval_runs import EvalRunRecord, write_eval_run
from lockgate.store.releases import ReleaseRecord, open_releases
from tests.evals.projects import Project

SCOPE = """\
owner: ada
users: [readers of the pages]
targets:
  - {name: right answers, kind: quality, metric: token_f1, at_least: 0.9}
  - {name: quick, kind: latency, metric: answer_seconds_p95, at_most: 3, unit: s}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    made.serve_fakes(monkeypatch)
    monkeypatch.setenv("COLUMNS", "120")
    made.sync()
    return made


@pytest.fixture
def release(project: Project) -> Manifest:
    return project.build()


def show(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["show", *arguments], catch_exceptions=False)


def promote(project: Project, release: Manifest, channel: str, *, forced: bool = False) -> None:
    with project.database() as db:
        move_channel(db, Move(channel, "docs", "promote", release.id, 0, Actor("ada"), "because", forced))


def record_run(project: Project, release: Manifest, run_id: str, *, value: float = 0.5, complete: bool = True) -> None:
    metrics = {"token_f1": {"value": value, "pessimistic": value, "n": 4, "unscored": 0}}
    aggregates = {"metrics": metrics, "cases": 4, "failed": 1, "complete": complete, "answer_score": value}
    now = datetime.now(UTC)
    run = EvalRunRecord(
        id=run_id,
        suite="tiny",
        suite_version="1",
        suite_hash="h" * 64,
        chain="docs",
        mode="extractive",
        model="",
        release=release.id,
        snapshot=release.snapshot.id,
        started_at=now,
        finished_at=now,
        aggregates=aggregates,
        rows_hash="r",
    )
    with project.database() as db:
        write_eval_run(db, run)


def _kept(project: Project) -> list[ReleaseRecord]:
    with project.database() as db:
        return open_releases(project.settings, db).list()


def test_shows_everything_that_a_person_must_answer_for(project: Project, release: Manifest) -> None:
    out = show(release.id[:12]).stdout
    for told in (
        release.id,
        "ada (not verified: the name was only said)",
        "none: the project was in no git repository",
        "this installation's own",
        "holds",
        release.prompts["answer"].hash[:12],
        release.prompts["condense"].hash[:12],
        f"{release.snapshot.id[:12]}  hybrid, 2 documents",
        "words  aaaaaaaaaaaa",
        f"{release.model.name}  {release.model.digest[:12]}",
        "max tokens 160",
        f"strict  {release.policy.hash[:12]}",
        "extractive",
        "manifest schema 1",
        "none points at it",
        "No eval run yet. Run: lockgate evals run SUITE",
    ):
        assert told in out, told


def test_a_channel_can_be_shown_and_a_forced_one_says_so(project: Project, release: Manifest) -> None:
    promote(project, release, "staging")
    promote(project, release, "production", forced=True)
    out = show("production").stdout
    assert release.id in out
    assert "production of docs (forced)" in out
    assert "staging of docs" in out
    assert "staging of docs (forced)" not in out


def test_targets_stand_beside_what_was_measured(project: Project, release: Manifest) -> None:
    (project.folder / "scope.yaml").write_text(SCOPE)
    record_run(project, release, "run-1")
    out = show(release.id).stdout
    assert "Targets of scope.yaml" in out
    assert "at least 0.9" in out
    assert "MISSED" in out
    assert "not measured" in out
    body = json.loads(show(release.id, "--json").stdout)
    assert [(row["name"], row["measured"], row["met"]) for row in body["targets"]] == [
        ("right answers", 0.5, False),
        ("quick", None, None),
    ]


def test_a_broken_scope_hides_no_release(project: Project, release: Manifest) -> None:
    (project.folder / "scope.yaml").write_text("owner: [\n")
    result = show(release.id)
    assert result.exit_code == 0
    assert "Targets are not shown" in result.stdout
    assert "scope.yaml" in result.stdout


def test_lists_the_eval_runs_of_this_release_only(project: Project, release: Manifest) -> None:
    record_run(project, release, "run-1", value=0.25)
    record_run(project, release, "run-2", complete=False)
    project.write_chain(passages=3)
    record_run(project, project.build(), "run-3")
    out = show(release.id).stdout
    assert "run-1" in out
    assert "0.250" in out
    assert "4 (part)" in out
    assert "run-3" not in out
    runs = json.loads(show(release.id, "--json").stdout)["eval_runs"]
    assert {run["run"]: run["metrics"] for run in runs} == {"run-1": {"token_f1": 0.25}, "run-2": {"token_f1": 0.5}}


def test_the_printed_manifest_has_the_release_as_its_hash(release: Manifest) -> None:
    data = show(release.id[:8], "--manifest").stdout_bytes
    assert hashlib.sha256(data).hexdigest() == release.id


def test_json_holds_the_manifest_and_the_provenance_with_its_check(release: Manifest) -> None:
    body = json.loads(show(release.id, "--json").stdout)
    assert Manifest.model_validate(body["manifest"]).id == body["id"] == release.id
    assert body["provenance"]["body"]["builder"] == "ada"
    assert body["provenance_check"]["ok"] is True
    assert body["provenance_check"]["own"] is True


def test_manifest_and_json_together_are_a_usage_error(release: Manifest) -> None:
    assert show(release.id, "--json", "--manifest").exit_code == 2


def test_a_provenance_that_was_changed_is_shown_as_such(project: Project, release: Manifest) -> None:
    other = release.model_copy(update={"chain": {**release.chain, "passages": 2}})
    with project.database() as db:
        store = open_releases(project.settings, db)
        store.write(Manifest.model_validate(other.model_dump()), store.find(release.id).provenance)
    [shown] = [show(record.id).stdout for record in _kept(project) if record.id != release.id]
    assert "DOES NOT HOLD: the provenance is about another release" in shown


def test_texts_of_others_cannot_drive_the_terminal(project: Project) -> None:
    project.write_chain(description="\x1b[2Jcleared\u202e [bold]no markup[/bold]")
    out = show(project.build().id).stdout
    assert "\x1b[2J" not in out
    assert "\u202e" not in out
    assert "[bold]no markup[/bold]" in out


def test_a_manifest_that_was_touched_is_refused(project: Project, release: Manifest) -> None:
    (kept,) = (
        path for path in (project.settings.state_dir / "objects").rglob("*") if path.name.endswith(release.id[-40:])
    )
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes().replace(b"extractive", b"generative"))
    with pytest.raises(Corrupt):
        show(release.id)


@pytest.mark.parametrize("name", ["0123456789ab", "production"])
def test_what_is_not_here_is_not_found(project: Project, name: str) -> None:
    with pytest.raises(NotFound, match="lockgate release"):
        show(name)
