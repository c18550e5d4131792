from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chains.definition import load_chain
from chains.target import Target
from evals.commands import app
from evals.runs.measured_release import MeasuredRelease, measured_release
from lockgate.errors import NotFound, UserError
from lockgate.settings import Settings
from lockgate.store.database import open_database
from lockgate.store.eval_runs import list_eval_runs, recent_eval_runs
from lockgate.store.objects import ObjectStore
from tests.evals.conftest import GOOD_ANSWERS, GOOD_RANKINGS, FakeAsker, FakeRetriever, WriteSuite

RELEASE = "e" * 64


class Opened(FakeAsker):
    """What open_asker yields: it asks and retrieves."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__(answers)
        self.retriever = FakeRetriever(GOOD_RANKINGS)

    def retrieve(self, question: str, *, limit: int) -> Any:
        return self.retriever.retrieve(question, limit=limit)


@pytest.fixture
def project(write_suite: WriteSuite, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_suite()
    chains = folder / "chains" / "definitions"
    chains.mkdir(parents=True)
    (chains / "docs.yaml").write_text("name: docs\nmodel: tiny-model\n")
    monkeypatch.setenv("LOCKGATE_PROJECT", str(folder))
    return folder


def serve(monkeypatch: pytest.MonkeyPatch, asker: Opened) -> None:
    @contextmanager
    def open_asker(settings: Settings, target: Target, *, command: str) -> Iterator[Opened]:
        assert command == "lockgate evals run"
        assert target == Target(release=RELEASE)
        yield asker

    def measured(settings: Settings, release: str | None, channel: str | None, chain: str | None) -> MeasuredRelease:
        load_chain(settings.project_dir, chain or settings.chain)
        facts = {"chain": "docs", "model": "tiny-model", "release": RELEASE, "lockgate": "0"}
        return MeasuredRelease(facts, "extractive", {"api.md": ["c1"], "faq.md": ["c2"]}, 3, 1000, 100)

    monkeypatch.setattr("chains.local.open_asker", open_asker)
    monkeypatch.setattr("evals.runs.measuring.measured_release", measured)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["run", "tiny", *arguments], catch_exceptions=False)


def test_prints_a_table_writes_reports_and_keeps_the_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Opened(GOOD_ANSWERS))
    result = run("--mode", "extractive")
    assert result.exit_code == 0
    assert "token_f1" in result.stdout
    assert "Answer score" in result.stdout
    assert "Reports:" in result.stderr
    state = project / ".lockgate"
    (folder,) = (state / "evals").iterdir()
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.html"}
    with open_database(f"sqlite:///{state / 'lockgate.db'}") as db:
        [kept] = recent_eval_runs(db, "tiny", "docs", "extractive", "")
    assert kept is not None
    assert kept.id == folder.name
    assert kept.snapshot == "snap-1"
    assert kept.release == RELEASE
    assert kept.aggregates["answer_score"] > 0
    rows = json.loads(ObjectStore(state / "objects").get(kept.rows_hash))
    assert [row["case"] for row in rows] == ["port", "follow", "moon", "price"]


def test_a_generative_run_is_kept_for_its_model_and_an_extractive_one_for_all(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, Opened(GOOD_ANSWERS))
    run("--mode", "generative")
    with open_database(f"sqlite:///{project / '.lockgate' / 'lockgate.db'}") as db:
        assert len(recent_eval_runs(db, "tiny", "docs", "generative", "tiny-model")) == 1
        assert recent_eval_runs(db, "tiny", "docs", "generative", "") == []


def test_the_chain_that_was_asked_must_exist(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Opened(GOOD_ANSWERS))
    with pytest.raises(NotFound, match="There is no chain 'other'"):
        run("--chain", "other")


def test_json_is_the_whole_run_on_stdout(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, Opened(GOOD_ANSWERS))
    result = run("--json", "--split", "dev", "--out", str(tmp_path / "out"))
    data = json.loads(result.stdout)
    assert [case["case"] for case in data["cases"]] == ["port", "moon"]
    assert (tmp_path / "out" / "report.html").is_file()


def test_exits_with_one_when_nothing_could_be_scored(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asker = Opened(dict.fromkeys(GOOD_ANSWERS, RuntimeError("no index")))
    asker.retriever = FakeRetriever(dict.fromkeys(("Which port?",), RuntimeError("no index")))
    serve(monkeypatch, asker)
    result = run()
    assert result.exit_code == 1
    assert "all 4 cases failed" in result.stderr
    with open_database(f"sqlite:///{project / '.lockgate' / 'lockgate.db'}") as db:
        assert len(list_eval_runs(db)) == 1


def test_a_partly_failed_run_says_how_many_are_unscored(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Opened({**GOOD_ANSWERS, "Which port?": RuntimeError("boom")}))
    result = run()
    assert result.exit_code == 0
    assert "1 of 4 cases failed and are unscored" in result.stdout


def test_a_broken_suite_asks_nothing(write_suite: WriteSuite, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_suite(cases="nonsense")
    asker = Opened(GOOD_ANSWERS)
    serve(monkeypatch, asker)
    with pytest.raises(UserError, match=r"cases\.jsonl:1"):
        run()
    assert asker.requests == []


def test_an_unknown_suite_is_not_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Opened(GOOD_ANSWERS))
    with pytest.raises(NotFound, match="Suites there: safety, tiny"):
        CliRunner().invoke(app, ["run", "gone"], catch_exceptions=False)


@pytest.mark.parametrize("arguments", [("--mode", "auto"), ("--split", "train"), ("--limit", "0")])
def test_a_wrong_option_is_a_usage_error(project: Path, arguments: tuple[str, str]) -> None:
    assert run(*arguments).exit_code == 2


def test_lists_suites_as_text_and_json(project: Path) -> None:
    text = CliRunner().invoke(app, ["list"], catch_exceptions=False)
    assert "tiny  v3  2 answerable, 2 unanswerable (2 dev, 2 test)" in text.stdout
    data = json.loads(CliRunner().invoke(app, ["list", "--json"], catch_exceptions=False).stdout)
    assert [each["name"] for each in data] == ["safety", "tiny"]


def test_a_run_measures_a_release_that_is_named_or_built_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.chains.projects import open_project
    from tests.ingestion.fakes import WordEmbedder, handle

    monkeypatch.setattr("ingestion.embedding.open_embedder", lambda _settings: handle(WordEmbedder()))
    with open_project(tmp_path) as project:
        release = project.build()
        measured = measured_release(project.settings, None, None, None)
        assert (measured.id, measured.chain, measured.mode) == (release, "docs", "extractive")
        assert set(measured.pages) == {"keys.md", "ports.md"}
        assert all(measured.pages.values())
        assert measured_release(project.settings, release[:8], None, None) == measured
        with pytest.raises(NotFound, match="points at no release"):
            measured_release(project.settings, None, "production", None)
        with pytest.raises(UserError, match="--release knows its own chain"):
            measured_release(project.settings, release, None, "docs")
