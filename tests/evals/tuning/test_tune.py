from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chains.assembly import SharedModels, assemble_chain
from chains.definition import load_chain
from evals.commands import app
from evals.runs.asking import Asking
from evals.runs.run import run_suite
from evals.suite import load_suite
from evals.tuning import chain_file
from evals.tuning import tune as tuning
from evals.tuning.candidates import CandidateLists
from evals.tuning.objective import read_objective, reported_metrics
from evals.tuning.setting import Setting, setting_of
from evals.tuning.trials import Trials
from evals.tuning.tune import TuneRequest, Tuning, tune
from ingestion.options import RetrievalOptions
from ingestion.retriever import SnapshotRetriever
from lockgate.errors import Conflict, LockgateError, NotFound, UserError
from lockgate.owner import acquire
from tests.evals.tuning.projects import CHAIN, TuningProject, both_halves, make
from tests.ingestion.fakes import open_service, quiet


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TuningProject:
    return make(tmp_path, monkeypatch)


def run(project: TuningProject, **options: Any) -> Tuning:
    request = TuneRequest("docs", **{"budget": 70, **options})
    return tune(project.settings, request, progress=quiet, say=lambda _line: None)


def test_a_poor_chain_gets_better_on_cases_that_the_search_never_saw(project: TuningProject) -> None:
    found = run(project)
    assert (found.decision, found.gained) == ("written", True)
    assert found.dev.tuned > found.dev.default
    assert found.test.difference.low is not None and found.test.difference.low > 0
    assert {case.split for case in load_suite(project.folder, "services").cases} == {"dev", "test"}
    assert (found.dev.cases, found.test.cases) == (16, 16)
    assert setting_of(load_chain(project.folder, "docs")) == found.found.best


def test_only_numbers_change_and_a_block_says_where_they_are_from(project: TuningProject) -> None:
    found = run(project, seed=3)
    new = project.chain_file.read_text()
    before, after = CHAIN.splitlines(), new.splitlines()
    head = after[: after.index("# tuned: the lines from here to the end mark are written by `lockgate evals tune`")]
    assert [line.split("#")[1:] for line in head if "#" in line] == [x.split("#")[1:] for x in before if "#" in x]
    assert "abstention: |\n  Not here.\n" in new
    assert [line.split(":")[0] for line in head if line in before] == [x.split(":")[0] for x in before if x in head]
    block = "\n".join(after[len(head) :])
    suite = load_suite(project.folder, "services")
    for text in (
        f"suite: services version 4, hash {suite.hash}",
        "seed: 3",
        "lockgate evals tune --chain docs --suite services --budget 70 --seed 3",
        f"dev, chosen on it: {found.dev.default:.3f} -> {found.dev.tuned:.3f} over 16 cases",
        f"test, never seen by the search: {found.test.default:.3f} -> {found.test.tuned:.3f} over 16 cases",
        "retrieval.dense_weight 0.9 ->",
    ):
        assert text in block, text


def test_tuning_again_keeps_the_file_as_it_is(project: TuningProject) -> None:
    run(project, budget=250)
    written = project.chain_file.read_bytes()
    again = run(project, budget=250)
    assert again.decision == "kept"
    assert again.test.difference.value == 0
    assert again.test.default == again.test.tuned > 0
    assert project.chain_file.read_bytes() == written


def test_the_same_seed_gives_the_same_bytes(project: TuningProject) -> None:
    run(project, seed=5)
    first = project.chain_file.read_bytes()
    project.chain_file.write_text(CHAIN)
    run(project, seed=5)
    assert project.chain_file.read_bytes() == first


def test_other_test_cases_change_no_choice(project: TuningProject) -> None:
    """Test cases that want the contrary of what is right: everything answered wrongly, nothing answerable."""
    first = run(project, dry_run=True)
    rows = [
        {**row, "reference": "An entirely different thing.", "pages": ["gate.md"]}
        if row["split"] == "test" and row["answerable"]
        else row
        for row in both_halves()
    ]
    project.write_cases(rows)
    second = run(project, dry_run=True)
    assert second.found == first.found
    assert second.dev.tuned == first.dev.tuned
    assert second.test.tuned != first.test.tuned


def test_the_search_is_over_before_a_test_case_is_asked(
    project: TuningProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = Trials._ask

    async def spy(self: Trials, case: Any, setting: Setting) -> Any:
        asked.append(case.split)
        return await original(self, case, setting)

    monkeypatch.setattr(Trials, "_ask", spy)
    run(project, dry_run=True)
    assert asked.index("test") == len(asked) - asked.count("test")
    assert "dev" in asked


def test_a_setting_that_is_worse_on_the_test_half_is_not_written(project: TuningProject) -> None:
    """In the dev half what looks relevant is, in the test half it is not: what dev chooses must fail there."""
    rows = both_halves()
    lures = [
        {"id": row["id"], "question": row["question"], "answerable": False, "split": "test"}
        for row in rows
        if row["split"] == "test" and row["answerable"]
    ][1:]
    project.write_cases([row for row in rows if row["id"] not in {each["id"] for each in lures}] + lures)
    found = run(project, metrics=("abstention_accuracy",))
    assert found.test.difference.high is not None and found.test.difference.high < 0
    assert found.decision == "kept"
    assert "worse on the test half" in found.reason
    assert "abstention_accuracy -" in tuning.worse(found.test)
    assert project.chain_file.read_text() == CHAIN


def test_a_budget_of_one_tries_the_chain_as_it_is(project: TuningProject) -> None:
    found = run(project, budget=1)
    assert (found.found.tried, found.decision) == (1, "kept")
    assert project.chain_file.read_text() == CHAIN


@pytest.mark.parametrize("budget", [2, 17])
def test_no_more_settings_than_the_budget_are_tried(project: TuningProject, budget: int) -> None:
    assert run(project, budget=budget, dry_run=True).found.tried == budget


def test_a_dry_run_writes_nothing(project: TuningProject) -> None:
    found = run(project, dry_run=True)
    assert found.decision == "would be written"
    assert project.chain_file.read_text() == CHAIN


def test_interrupting_the_search_leaves_the_file_whole(project: TuningProject) -> None:
    def interrupt(stage: str, done: int, _total: int) -> None:
        if stage == "settings" and done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(project.settings, TuneRequest("docs"), progress=interrupt, say=lambda _line: None)
    assert project.chain_file.read_text() == CHAIN
    with acquire(project.settings.state_dir, "another command"):
        pass  # the index is free again


@pytest.mark.parametrize("place", ["os.fsync", "pathlib.Path.replace"])
def test_interrupting_the_write_leaves_the_old_file(
    project: TuningProject, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    original = chain_file.write_definition

    def write(*arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(place, interrupt)
            original(*arguments)

    monkeypatch.setattr("evals.tuning.tune.write_definition", write)
    with pytest.raises(KeyboardInterrupt):
        run(project)
    assert project.chain_file.read_text() == CHAIN
    assert [path.name for path in project.chain_file.parent.iterdir()] == ["docs.yaml"]


def test_an_edit_made_while_tuning_is_not_lost(project: TuningProject, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = CHAIN + "max_tokens: 50\n"

    def meanwhile(stage: str, done: int, _total: int) -> None:
        if stage == "settings" and done == 5:
            project.chain_file.write_text(edit)

    with pytest.raises(Conflict, match="was changed while"):
        tune(project.settings, TuneRequest("docs", budget=100), progress=meanwhile, say=lambda _line: None)
    assert project.chain_file.read_text() == edit


def test_memory_finds_what_the_retriever_finds(project: TuningProject) -> None:
    questions = [row["question"] for row in both_halves()][::7]
    with project.database() as db, open_service(project.folder, db, project.embedder) as service:
        lists = CandidateLists(service, service.current())
        for weight in (0.0, 0.25, 0.6, 1.0):
            for candidates, evidence, limit in ((5, 1, 3), (30, 8, 8), (60, 3, 50)):
                options = RetrievalOptions(dense_weight=weight, candidates=candidates, evidence=evidence)
                real = SnapshotRetriever(service, options, service.current)
                for question in questions:
                    mine, other = lists.retrieve(question, options, limit), real.retrieve(question, limit=limit)
                    shown = weight, candidates, limit, question
                    scores = [[each.score for each in found.passages] for found in (mine, other)]
                    assert scores[0] == pytest.approx(scores[1], abs=1e-5), shown
                    last = min(scores[0]) + 1e-5  # of equal ones at the end the engine may take another
                    ids = [[p.chunk.id for p in found.passages if p.score > last] for found in (mine, other)]
                    assert ids[0] == ids[1], shown
                    if evidence < len(ids[0]):
                        assert mine.rare_share == pytest.approx(other.rare_share), shown
        assert lists.asked <= 2 * len(questions)


def test_rows_are_those_of_a_run_of_the_release(project: TuningProject) -> None:
    suite = load_suite(project.folder, "services")
    definition = load_chain(project.folder, "docs")
    for setting in (
        setting_of(definition),
        Setting(0.2, 3, 4, 0.5, 0.4, 0.4),
        Setting(1.0, 8, 12, 0.8, 0.2, 0.4),
    ):
        chosen = setting.applied(definition)
        project.write_chain(**chosen.model_dump(mode="json"))
        manifest = project.build()
        with project.database() as db, open_service(project.folder, db, project.embedder) as service:
            models = SharedModels(project.settings)
            chain = assemble_chain(manifest, db, service, models)
            how = Asking(60, shown=setting.passages)
            asked = asyncio.run(run_suite(suite, chain, chain.retriever, tier="offline", asking=how))
            metrics = reported_metrics(suite.metrics("offline"), read_objective([], suite.cases))
            with tuning._parts(project.settings, definition, service, service.current()) as parts:
                trials = Trials(parts, CandidateLists(service, service.current()), suite, suite.cases, metrics)
                rows = trials.rows(setting)
                assert trials.asked == len(suite.cases)
                trials.rows(replace(setting, bm25_threshold=0.9))
                assert trials.asked == len(suite.cases)  # nothing that counts has changed
        for mine, other in zip(rows, asked.rows, strict=True):
            for key in ("case", "answer", "abstained", "ranking", "chunk_ranking", "passages", "scores"):
                wanted = getattr(other, key)
                if key == "scores":
                    wanted = {name: wanted[name] for name in mine.scores}
                assert getattr(mine, key) == wanted, (mine.case, key)


@pytest.mark.parametrize(
    ("split", "error"),
    [("dev", "0 cases in split 'test'"), ("test", "0 cases in split 'dev'")],
)
def test_an_empty_half_is_an_error(project: TuningProject, split: str, error: str) -> None:
    project.write_cases([{**row, "split": split} for row in both_halves()])
    with pytest.raises(UserError, match=error):
        run(project)


def test_too_few_cases_are_an_error(project: TuningProject) -> None:
    rows = both_halves()
    project.write_cases([row for row in rows if row["split"] == "test"] + [r for r in rows if r["split"] == "dev"][:9])
    with pytest.raises(UserError, match="9 cases in split 'dev'; tuning needs 10"):
        run(project)


def test_without_unanswerable_cases_the_relevance_keys_stay(project: TuningProject) -> None:
    project.write_cases([row for row in both_halves() if row["answerable"]])
    said: list[str] = []
    found = tune(project.settings, TuneRequest("docs", budget=60), progress=quiet, say=said.append)
    best, start = found.found.best, found.default
    assert (best.threshold, best.cosine_weight, best.evidence) == (
        start.threshold,
        start.cosine_weight,
        start.evidence,
    )
    assert any("nothing says when to abstain" in line for line in said)


def test_what_is_not_committed_is_told(project: TuningProject) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(project.folder), *arguments], check=True, capture_output=True)

    said: list[str] = []
    git("init", "-q")
    git("add", "chains")
    git("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "c")
    tune(project.settings, TuneRequest("docs", budget=1), progress=quiet, say=said.append)
    assert not any("committed" in line for line in said)
    project.chain_file.write_text(CHAIN + "max_tokens: 60\n")
    tune(project.settings, TuneRequest("docs", budget=1), progress=quiet, say=said.append)
    assert any("is not as it is committed" in line for line in said)


def test_a_chain_whose_model_answers_is_tuned_without_asking_it(project: TuningProject) -> None:
    project.chain_file.write_text(CHAIN + "mode: generative\n")
    said: list[str] = []
    found = tune(project.settings, TuneRequest("docs", budget=60), progress=quiet, say=said.append)
    assert found.objective.names == ["ndcg@10", "abstention_balanced"]
    assert found.found.best.passages == found.default.passages
    assert any("no model is asked" in line for line in said)
    with pytest.raises(UserError, match="none are made here"):
        run(project, metrics=("token_f1",))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"suite": "nothing"}, "Suites there: safety, services, tiny"),
        ({"metrics": ("latency_seconds",)}, "cannot be tuned for"),
        ({"metrics": ("citation_precision",)}, "cannot be tuned for"),
        ({"metrics": ("no_such",)}, "unknown metric"),
        ({"suite": "tiny"}, "tuning needs 10"),
    ],
)
def test_what_is_wrong_is_said_first(project: TuningProject, options: dict[str, Any], error: str) -> None:
    with pytest.raises(LockgateError, match=error):
        run(project, **options)
    assert project.chain_file.read_text() == CHAIN


def test_a_suite_of_another_chain_or_with_a_fault_is_refused(project: TuningProject) -> None:
    project.write_cases(both_halves(), "targets: [support]\n")
    with pytest.raises(UserError, match="measures the chain support"):
        run(project)
    project.write_cases([{**both_halves()[0], "pages": ["gone.md"]}, *both_halves()[1:]])
    with pytest.raises(UserError, match=r"cases.jsonl:1: the gold page 'gone.md'"):
        run(project)


def test_a_running_owner_of_the_index_is_named(project: TuningProject) -> None:
    with acquire(project.settings.state_dir, "lockgate serve"), pytest.raises(Conflict, match="lockgate serve"):
        run(project)


def test_a_chain_that_ships_becomes_the_projects_own(project: TuningProject) -> None:
    project.chain_file.unlink()
    (project.folder / "guardrails" / "policies" / "strict.yaml").unlink()
    found = run(project, suite="services", budget=40)
    assert found.file == project.chain_file
    if found.decision == "written":
        assert "# The documentation bot." in project.chain_file.read_text()


def test_the_command_prints_tables_or_json(project: TuningProject) -> None:
    runner = CliRunner()
    result = runner.invoke(app, ["tune", "--chain", "docs", "--budget", "70", "--dry-run"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "dense_weight" in result.stdout and "abstention_balanced" in result.stdout
    assert "Nothing was written" in result.stdout
    result = runner.invoke(app, ["tune", "--budget", "70", "--json"], catch_exceptions=False)
    body = json.loads(result.stdout)
    assert body["decision"] == "written"
    assert body["test"]["difference"]["low"] > 0
    assert body["suite"]["hash"] == load_suite(project.folder, "services").hash
    assert body["tried"] == 70


def test_an_unknown_chain_lists_the_known_ones(project: TuningProject) -> None:
    with pytest.raises(NotFound, match="Chains of this project: docs"):
        tune(project.settings, TuneRequest("nothing"), progress=quiet, say=lambda _line: None)
