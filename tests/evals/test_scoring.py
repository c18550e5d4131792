from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.commands import app
from evals.metrics.metric import Tools
from evals.runs.run import EvalRun, run_suite
from evals.runs.scoring import outcomes_of_rows, read_answers, score_stored
from evals.suite import Suite, load_suite
from lockgate.errors import NotFound, UserError
from tests.evals.conftest import CASES, GOOD_ANSWERS, GOOD_RANKINGS, SUITE_YAML, FakeAsker, FakeRetriever, WriteSuite

GOOD = {
    "case": "port",
    "answer": "Port 8000.",
    "passages": ["Port 8000 is the default."],
    "ranking": ["api.md"],
    "citations": [{"path": "api.md"}],
    "seconds": 1.5,
}


def write(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


async def score(suite: Suite, path: Path) -> EvalRun:
    return await score_stored(suite, read_answers(path, suite), tools=Tools(), source="x")


def value(run: EvalRun, metric: str) -> Any:
    return run.aggregates["metrics"][metric]


async def test_scores_a_file_by_the_metrics_of_the_suite(write_suite: WriteSuite, tmp_path: Path) -> None:
    yaml = SUITE_YAML.replace("[recall@1", "[lexical_support, latency_seconds, recall@1")
    suite = load_suite(write_suite(yaml=yaml), "tiny")
    moon = {"case": "moon", "answer": "Not there.", "abstained": True}
    run = await score(suite, write(tmp_path, GOOD, moon))
    port = run.rows[0]
    assert port.scores == {
        "lexical_support": 1.0,
        "latency_seconds": 1.5,
        "recall@1": 1.0,
        "mrr": 1.0,
        "ndcg@10": 1.0,
        "token_f1": 1.0,
        "citation_precision": 1.0,
        "citation_recall": 1.0,
        "abstention_accuracy": 1.0,
        "abstention_balanced": 1.0,
        "answered_rate": 1.0,
    }
    assert run.aggregates["complete"] is False
    assert run.aggregates["answer_score"] is None


async def test_a_case_without_an_answer_is_unscored_and_never_left_out(suite: Suite, tmp_path: Path) -> None:
    run = await score(suite, write(tmp_path, GOOD))
    assert [row.case for row in run.rows] == ["port", "follow", "moon", "price"]
    assert (value(run, "token_f1")["n"], value(run, "token_f1")["unscored"]) == (1, 1)
    assert value(run, "token_f1")["pessimistic"] == 0.5
    assert run.rows[1].unscored["token_f1"] == "no answer is stored for this case"


async def test_what_the_file_does_not_say_is_unscored(suite: Suite, tmp_path: Path) -> None:
    run = await score(suite, write(tmp_path, {"case": "port", "answer": "Port 8000."}))
    assert run.rows[0].unscored["recall@1"] == "the file holds no ranking"
    failed = await score(suite, write(tmp_path, {"case": "port", "answer": None, "error": "boom"}))
    assert failed.rows[0].unscored["token_f1"] == "boom"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([GOOD, GOOD], r"answers\.jsonl:2: the case 'port' is there twice, first on line 1"),
        ([{**GOOD, "case": "gone"}], r"answers\.jsonl:1: the suite 'tiny' has no case 'gone'"),
        ([{"case": "port"}], r"answers\.jsonl:1: key 'answer' is missing"),
        ([{**GOOD, "score": 1.0}], r"answers\.jsonl:1: unknown key 'score'"),
        ([{**GOOD, "seconds": -1}], r"key 'seconds'"),
        ([{**GOOD, "refused": True}], r"a refusal by the policy has no answer"),
        (['{"case": "port", "answer": "x", "seconds": NaN}'], r"key 'seconds'"),
        (["nonsense"], r"answers\.jsonl:1: not valid JSON"),
        (["[]"], r"a JSON object was expected"),
    ],
)
def test_a_wrong_line_is_named(suite: Suite, tmp_path: Path, lines: list[Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read_answers(write(tmp_path, *lines), suite)


async def test_scoring_a_run_again_gives_what_the_run_gave(suite: Suite) -> None:
    run = await run_suite(suite, FakeAsker(GOOD_ANSWERS), FakeRetriever(GOOD_RANKINGS), mode="extractive")
    stored, gone = outcomes_of_rows(run.rows, suite)
    again = await score_stored(suite, stored, tools=Tools(), source=run.id)
    assert gone == []
    assert again.aggregates["metrics"] == run.aggregates["metrics"]
    assert [(row.scores, row.unscored) for row in again.rows] == [(row.scores, row.unscored) for row in run.rows]


async def test_a_question_that_changed_has_no_stored_answer(suite: Suite, write_suite: WriteSuite) -> None:
    run = await run_suite(suite, FakeAsker(GOOD_ANSWERS), FakeRetriever(GOOD_RANKINGS))
    changed = load_suite(write_suite(cases=[{**CASES[0], "question": "Which door?"}, *CASES[1:3]]), "tiny")
    stored, gone = outcomes_of_rows(run.rows, changed)
    again = await score_stored(changed, stored, tools=Tools(), source=run.id)
    assert gone == ["price"]
    assert again.rows[0].unscored["token_f1"] == "the question has changed since it was asked"
    assert again.rows[1].scores["token_f1"] > 0


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["score", *arguments], catch_exceptions=False)


def test_the_command_scores_a_file_and_keeps_nothing(
    write_suite: WriteSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_suite()
    monkeypatch.setenv("LOCKGATE_PROJECT", str(project))
    path = write(tmp_path, GOOD)
    result = invoke(str(path), "--suite", "tiny", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["aggregates"]["metrics"]["token_f1"]["n"] == 1
    assert "token_f1" in invoke(str(path), "--suite", "tiny").stdout
    assert not (project / ".lockgate").exists()
    out = tmp_path / "out"
    assert "Reports:" in invoke(str(path), "--suite", "tiny", "--out", str(out)).stderr
    assert (out / "report.html").is_file()


def test_the_command_fails_when_nothing_could_be_scored_or_found(
    write_suite: WriteSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(write_suite()))
    assert invoke(str(write(tmp_path, "")), "--suite", "tiny").exit_code == 1
    with pytest.raises(NotFound, match="Name a run, or a JSONL file"):
        invoke("20260101T000000-abcdef", "--suite", "tiny")
    with pytest.raises(NotFound, match="no such file"):
        invoke("gone.jsonl", "--suite", "tiny")
