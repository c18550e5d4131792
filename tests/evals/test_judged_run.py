"""Judged runs against a judge on loopback: what is asked, what is asked again, and what a budget stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.runs.measuring import RunRequest, RunStopped, measure
from evals.runs.run import EvalRun
from lockgate.settings import Settings
from tests.evals.conftest import WriteSuite
from tests.evals.judge_server import JudgeStub, Reply, run_judge
from tests.evals.run_process import LoggedAsker, replace_release
from tests.evals.test_measuring import cases

SUITE = """\
name: tiny
version: 3
license: Apache-2.0
corpus: docs
metrics: [token_f1, answer_relevance, context_precision]
timeout_s: 5
"""


def script(request: dict[str, Any]) -> dict[str, Any] | Reply:
    purpose = request["response_format"]["json_schema"]["name"]
    return {"reason": "so", "level": 4} if purpose == "answer_relevance" else {"reason": "so", "relevant": True}


@pytest.fixture
def judge() -> Iterator[JudgeStub]:
    with run_judge(script) as stub:
        yield stub


@pytest.fixture
def project(write_suite: WriteSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("evals.runs.measuring.measured_release", None)
    monkeypatch.setattr("chains.local.open_asker", None)
    replace_release(LoggedAsker(tmp_path / "asked.log", 0.0))
    return write_suite(yaml=SUITE, cases=cases(20))


def run(project: Path, judge: JudgeStub, **keys: Any) -> tuple[EvalRun, int]:
    """(the run, how many judge calls it made)."""
    settings = Settings(project=project, judge_base_url=judge.url, judge_model="stub", _env_file=None)
    before = len(judge.asked)
    made = measure(settings, RunRequest("tiny", **keys), progress=lambda *_: None, say=lambda _: None)
    return made, len(judge.asked) - before


def test_a_second_run_asks_the_judge_nothing_and_five_percent_ask_five_percent(
    project: Path, judge: JudgeStub, write_suite: WriteSuite
) -> None:
    first, calls = run(project, judge)
    assert calls == 40
    assert first.aggregates["metrics"]["answer_relevance"]["value"] == 0.75
    assert first.metadata["judge"]["model"] == "stub"
    second, again = run(project, judge)
    assert again == 0
    assert second.aggregates["metrics"] == first.aggregates["metrics"]
    assert second.metadata["calls"] == {"made": 0, "served": 60}
    write_suite(yaml=SUITE, cases=cases(20, q3="Quite another question?"))
    assert run(project, judge)[1] == 2
    assert run(project, judge, fresh=True)[1] == 40


def test_the_offline_tier_needs_no_judge(project: Path, judge: JudgeStub) -> None:
    made, calls = run(project, judge, tier="offline")
    assert calls == 0
    assert set(made.aggregates["metrics"]) == {"token_f1"}
    assert "judge" not in made.metadata


def test_a_budget_counts_answers_and_judge_calls_and_loses_none(project: Path, judge: JudgeStub) -> None:
    with pytest.raises(RunStopped, match="budget of 25 model calls") as stopped:
        run(project, judge, budget=25)
    assert len(judge.asked) <= 25
    made, _ = run(project, judge, resume=stopped.value.run)
    assert made.aggregates["complete"] is True
    assert made.aggregates["metrics"]["answer_relevance"]["n"] == 20
    # A call that was made for a row which the budget cut off is not made again.
    assert len(judge.asked) == 40


def test_a_judge_that_speaks_prose_leaves_every_case_unscored(project: Path) -> None:
    with run_judge(lambda _request: "I would say that this is fine.") as judge:
        made, _ = run(project, judge)
    relevance = made.aggregates["metrics"]["answer_relevance"]
    assert (relevance["value"], relevance["n"], relevance["unscored"], relevance["pessimistic"]) == (None, 0, 20, 0.0)
    assert made.aggregates["metrics"]["token_f1"]["n"] == 20


def test_the_judge_s_key_is_in_no_record(project: Path, judge: JudgeStub) -> None:
    settings = Settings(
        project=project, judge_base_url=judge.url, judge_model="stub", judge_api_key="sesame", _env_file=None
    )
    made = measure(settings, RunRequest("tiny", limit=1), progress=lambda *_: None, say=lambda _: None)
    assert "sesame" not in json.dumps(made.as_json())
