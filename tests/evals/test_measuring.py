from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evals.metrics.score import Unscored
from evals.runs.measuring import RunRequest, RunStopped, measure
from evals.runs.run import EvalRun
from evals.runs.run_store import RowKeeper, record_rows, stored_rows
from lockgate.errors import NotFound, UserError
from lockgate.settings import Settings
from lockgate.store.database import Database, open_database
from lockgate.store.eval_rows import list_eval_plans, read_eval_rows
from lockgate.store.eval_runs import get_eval_run, list_eval_runs
from lockgate.types import AnswerEvent, AskRequest
from tests.evals import run_process
from tests.evals.conftest import WriteSuite
from tests.evals.run_process import FACTS, LoggedAsker, replace_release

SUITE = """\
name: tiny
version: 3
license: Apache-2.0
corpus: docs
metrics: [recall@1, token_f1, citation_precision, abstention_accuracy, pair_differs, latency_seconds]
timeout_s: 5
"""


def cases(count: int, **changed: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{number}",
            "question": changed.get(f"q{number}", f"Question {number}?"),
            "reference": f"Answer {number}",
            "pages": ["api.md"],
            "answerable": True,
            "split": "dev" if number % 2 else "test",
        }
        for number in range(count)
    ]


@dataclass
class Bench:
    """A project with a suite, and what was asked and said."""

    project: Path
    log: Path
    said: list[str] = field(default_factory=list)
    steps: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return Settings(project=self.project, _env_file=None)

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def database(self) -> Database:
        return open_database(self.settings.database)

    def run(self, **keys: Any) -> EvalRun:
        request = RunRequest("tiny", **keys)
        return measure(self.settings, request, progress=lambda *step: self.steps.append(step), say=self.said.append)


@pytest.fixture
def bench(write_suite: WriteSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("evals.runs.measuring.measured_release", None)  # given back after the test
    monkeypatch.setattr("chains.local.open_asker", None)
    made = Bench(write_suite(yaml=SUITE, cases=cases(20)), tmp_path / "asked.log")
    replace_release(LoggedAsker(made.log, 0.001))
    return made


def test_a_finished_run_is_kept_with_its_rows_and_leaves_no_plan(bench: Bench) -> None:
    run = bench.run()
    with bench.database() as db:
        record = get_eval_run(db, run.id)
        assert record_rows(bench.settings, record) == run.rows
        assert stored_rows(bench.settings, db, run.id) == run.rows
        assert (list_eval_plans(db), read_eval_rows(db, run.id)) == ([], [])
    assert record.aggregates["complete"] is True
    assert record.metadata["calls"] == {"made": 20, "served": 0}
    assert record.metadata["repeats"] == 1
    assert len(bench.asked) == 20


def test_says_beforehand_what_it_will_take(bench: Bench) -> None:
    bench.run()
    assert any("20 rows: at most 20 answers by the model, no judge call." in line for line in bench.said)
    assert "Cost of the answers: unknown, the suite gives no prices." in bench.said


FOLLOW_UP = {"question": "And its port?", "history": [{"role": "user", "content": "Which port does Heron use?"}]}
STANDS_ALONE = {"question": "Which port does the Osprey service use?", "history": FOLLOW_UP["history"]}


@pytest.mark.parametrize(
    ("mode", "condenses", "calls", "told"),
    [
        (
            "generative",
            True,
            5,
            "at most 4 answers by the model, at most 1 follow-ups completed by the model, no judge",
        ),
        ("generative", False, 4, "at most 4 answers by the model, no judge"),
        ("extractive", True, 1, "no answer by a model, at most 1 follow-ups completed by the model, no judge"),
        ("extractive", False, 0, "no answer by a model, no judge"),
    ],
)
def test_a_follow_up_that_the_model_completes_is_a_call_more(
    bench: Bench, write_suite: WriteSuite, mode: str, condenses: bool, calls: int, told: str
) -> None:
    first, second, *rest = cases(4)
    write_suite(yaml=SUITE, cases=[first | FOLLOW_UP, second | STANDS_ALONE, *rest])
    replace_release(LoggedAsker(bench.log, 0.001), mode=mode, condenses=condenses)
    if calls:
        with pytest.raises(RunStopped):
            bench.run(budget=calls - 1, fresh=True)
        assert any("may end the run before that" in line for line in bench.said)
    assert bench.run(budget=max(1, calls), fresh=True).metadata["calls"]["made"] == calls
    assert any(told in line for line in bench.said)


def test_a_second_run_of_the_same_release_asks_no_model(bench: Bench) -> None:
    first, second = bench.run(), bench.run()
    assert len(bench.asked) == 20
    assert [row.answer for row in second.rows] == [row.answer for row in first.rows]
    assert all(row.cached for row in second.rows)
    assert second.aggregates["metrics"] == first.aggregates["metrics"]
    assert second.metadata["calls"] == {"made": 0, "served": 20}
    assert any("20 answers from the cache" in line for line in bench.said)


def test_after_a_change_of_five_percent_of_the_cases_five_percent_is_asked(
    bench: Bench, write_suite: WriteSuite
) -> None:
    bench.run()
    write_suite(yaml=SUITE, cases=cases(20, q7="Another question 7?"))
    bench.run()
    assert bench.asked[20:] == ["Another question 7?#0"]


def test_without_the_cache_everything_is_asked_again(bench: Bench) -> None:
    bench.run()
    run = bench.run(fresh=True)
    assert len(bench.asked) == 40
    assert not any(row.cached for row in run.rows)


def test_repeats_are_asked_each_time_with_another_seed(bench: Bench) -> None:
    bench.run()
    run = bench.run(repeats=3, limit=2)
    assert sorted(bench.asked[20:]) == sorted(f"Question {n}?#{seed}" for n in range(2) for seed in range(3))
    assert [(row.case, row.repeat) for row in run.rows] == [(f"q{n}", seed) for n in range(2) for seed in range(3)]
    assert run.aggregates["metrics"]["token_f1"]["n"] == 2
    assert run.aggregates["complete"] is False


def test_repeats_are_never_served_from_the_cache_and_leave_nothing_in_it(bench: Bench) -> None:
    for runs in (1, 2):
        run = bench.run(repeats=2, limit=2)
        assert len(bench.asked) == 4 * runs
        assert not any(row.cached for row in run.rows)
        assert run.metadata["calls"] == {"made": 4, "served": 0}
    assert bench.run(limit=2).metadata["calls"] == {"made": 2, "served": 0}


def test_pass_k_is_in_a_run_over_repeats_and_unscored_without_them(bench: Bench, write_suite: WriteSuite) -> None:
    yaml = SUITE.replace("token_f1,", '"pass^2:answered_rate",') + "repeats: 2\n"
    write_suite(yaml=yaml, cases=cases(20))
    found = bench.run(limit=3).aggregates["metrics"]
    assert (found["pass^2:answered_rate"]["n"], found["pass^2:answered_rate"]["value"]) == (3, 1.0)
    alone = bench.run(limit=3, repeats=1).aggregates["metrics"]["pass^2:answered_rate"]
    assert (alone["value"], alone["unscored"], alone["pessimistic"]) == (None, 3, 0.0)


def test_quoting_makes_no_model_call_and_needs_no_cache(bench: Bench) -> None:
    replace_release(LoggedAsker(bench.log, 0.001), mode="extractive")
    run = bench.run(budget=1)
    assert run.metadata["calls"] == {"made": 0, "served": 0}
    assert any("no answer by a model" in line for line in bench.said)


def test_a_spent_budget_stops_cleanly_and_the_run_goes_on_later(bench: Bench) -> None:
    with pytest.raises(RunStopped, match=r"budget of 7 model calls is spent\. 7 of 20 rows are kept") as stopped:
        bench.run(budget=7)
    run_id = stopped.value.run
    assert not stopped.value.interrupted
    assert f"lockgate evals run tiny --resume {run_id}" in str(stopped.value)
    with bench.database() as db:
        assert list_eval_runs(db) == []
        assert len(stored_rows(bench.settings, db, run_id)) == 7
    with pytest.raises(RunStopped, match="12 of 20 rows"):
        bench.run(budget=5, resume=run_id)
    run = bench.run(resume=run_id)
    assert (run.id, len(run.rows), run.aggregates["complete"]) == (run_id, 20, True)
    assert Counter(bench.asked).most_common(1)[0][1] == 1
    assert bench.steps[-1] == ("cases", 20, 20)
    assert any("20 rows, 12 of them done already" in line for line in bench.said)


def test_an_interrupted_run_keeps_what_it_has(bench: Bench) -> None:
    class Interrupted(LoggedAsker):
        async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
            if request.question == "Question 9?":
                signal.raise_signal(signal.SIGINT)
            async for event in super().ask(request):
                yield event

    replace_release(Interrupted(bench.log, 0.001))
    with pytest.raises(RunStopped, match=r"Interrupted\.") as stopped:
        bench.run(concurrency=1)
    assert stopped.value.interrupted
    with bench.database() as db:
        kept = {f"{row.question}#0" for row in RowKeeper(db, stopped.value.run).rows()}
    assert "Question 0?#0" in kept
    before = Counter(bench.asked)
    replace_release(LoggedAsker(bench.log, 0.001))
    assert len(bench.run(resume=stopped.value.run).rows) == 20
    assert not kept & (Counter(bench.asked) - before).keys()


def start(bench: Bench, *arguments: str, seconds: float = 0.05) -> subprocess.Popen[str]:
    command = [sys.executable, run_process.__file__, str(bench.project), str(bench.log), str(seconds), *arguments]
    root = Path(__file__).parent.parent.parent
    return subprocess.Popen(
        command, cwd=root, env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("rows", [0, 5, 15])
def test_a_run_killed_with_kill_9_repeats_no_row_that_it_kept(bench: Bench, rows: int) -> None:
    process = start(bench)
    deadline = time.monotonic() + 60
    plan: list[Any] = []
    with bench.database() as db:
        while not plan or len(read_eval_rows(db, plan[0].id)) < rows:
            assert time.monotonic() < deadline
            assert process.poll() is None
            plan = list_eval_plans(db)
            time.sleep(0.002)
        process.kill()
        process.communicate()
        kept = {row.question for row in RowKeeper(db, plan[0].id).rows()}
        assert list_eval_runs(db) == []
    before = Counter(bench.asked)
    resumed = start(bench, plan[0].id, seconds=0)
    out, _ = resumed.communicate(timeout=60)
    assert (resumed.returncode, out.strip()) == (0, plan[0].id)
    again = Counter(bench.asked) - before
    assert not {f"{question}#0" for question in kept} & again.keys()
    with bench.database() as db:
        record = get_eval_run(db, plan[0].id)
        assert sorted(row.case for row in record_rows(bench.settings, record)) == sorted(f"q{n}" for n in range(20))
        assert record.aggregates["complete"] is True


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"release": "x"}, "leave out --release"),
        ({"split": "dev", "fresh": True}, "leave out --split, --no-cache"),
        ({"repeats": 2}, "leave out --repeats"),
    ],
)
def test_a_resumed_run_cannot_become_another_one(bench: Bench, keys: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        bench.run(resume="r1", **keys)


def test_what_cannot_be_resumed_says_why(bench: Bench, write_suite: WriteSuite) -> None:
    with pytest.raises(NotFound, match=r"'gone'.*Unfinished runs: none"):
        bench.run(resume="gone")
    finished = bench.run()
    with pytest.raises(UserError, match="has finished: there is nothing to resume"):
        bench.run(resume=finished.id)
    with pytest.raises(RunStopped) as stopped:
        bench.run(budget=1, fresh=True)
    write_suite(yaml=SUITE, cases=cases(19))
    with pytest.raises(UserError, match="has changed since the run"):
        bench.run(resume=stopped.value.run)


def test_gold_that_the_snapshot_does_not_have_stops_the_run_before_it_begins(
    bench: Bench, write_suite: WriteSuite
) -> None:
    write_suite(yaml=SUITE, cases=[*cases(2), {**cases(1)[0], "id": "faq", "pages": ["faq.md"]}])
    with pytest.raises(UserError, match=r"cases\.jsonl:3: the gold page 'faq\.md' is not in the snapshot"):
        bench.run()
    bench.run(limit=2)
    assert len(bench.asked) == 2


def test_a_suite_for_another_chain_is_refused(bench: Bench, write_suite: WriteSuite) -> None:
    write_suite(yaml=SUITE + "targets: [support]\n", cases=cases(2))
    with pytest.raises(UserError, match="measures the chain support, not 'docs'"):
        bench.run()
    write_suite(yaml=SUITE + "targets: [support, docs]\n", cases=cases(2))
    bench.run()


def test_a_store_that_cannot_take_a_row_ends_the_run_with_one_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lockgate.errors import Unavailable

    def full(*_: object) -> bool:
        raise Unavailable("disk full")

    monkeypatch.setattr("evals.runs.run_store.write_eval_row", full)
    with pytest.raises(Unavailable, match="disk full"):
        bench.run()


def test_slices_and_prices_reach_the_record_and_the_estimate(bench: Bench, write_suite: WriteSuite) -> None:
    yaml = SUITE.replace(
        "metrics: [", "metrics: [{metric: cost, prompt_price: 1, completion_price: 2, currency: EUR}, "
    )
    write_suite(yaml=yaml + "slices: {half: {key: split}}\n", cases=cases(4))
    run = bench.run()
    assert {value: part["recall@1"]["n"] for value, part in run.aggregates["by_slice"]["half"].items()} == {
        "dev": 2,
        "test": 2,
    }
    assert run.rows[0].slices == {"half": "test"}
    # 1000 tokens of passages and 400 around them at 1, 100 tokens of answer at 2, for each of four.
    assert "Cost of the answers: at most 0.0064 EUR." in bench.said


def test_pairs_are_compared_when_all_rows_are_there(bench: Bench, write_suite: WriteSuite) -> None:
    paired = [{**each, "pair": "p", "split": "dev"} for each in cases(2)]
    write_suite(yaml=SUITE, cases=[*paired, *cases(4)[2:]])
    with pytest.raises(RunStopped) as stopped:
        bench.run(budget=1)
    with bench.database() as db:
        [row] = stored_rows(bench.settings, db, stopped.value.run)
    assert "pair_differs" not in {**row.scores, **row.unscored, **row.not_applicable}
    run = bench.run(resume=stopped.value.run)
    assert [row.scores.get("pair_differs") for row in run.rows] == [0.0, 0.0, None, None]
    assert run.aggregates["metrics"]["pair_differs"]["not_applicable"] == 2


def test_a_judged_suite_without_a_judge_says_so_before_it_asks(
    bench: Bench, write_suite: WriteSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_suite(yaml=SUITE.replace("[recall@1", "[faithfulness, recall@1"), cases=cases(2))
    with pytest.raises(UserError, match=r"No judge is set.*--tier offline"):
        bench.run()
    assert bench.asked == []
    with bench.database() as db:
        assert list_eval_plans(db) == []


def test_an_empty_choice_is_refused(bench: Bench, write_suite: WriteSuite) -> None:
    write_suite(yaml=SUITE, cases=cases(1))
    with pytest.raises(UserError, match="no case in split 'dev'"):
        bench.run(split="dev")


def test_rows_that_were_tampered_with_are_unscored(bench: Bench) -> None:
    from evals.metrics.catalogue import resolve_metric
    from evals.runs.row import row_from_json

    row = bench.run().rows[0]
    body = json.loads(json.dumps(row.as_json()).replace('"recall@1": 1.0', '"recall@1": NaN'))
    assert isinstance(row_from_json(body, where="x").score(resolve_metric("recall@1")), Unscored)


def test_the_facts_of_the_release_are_those_of_the_run(bench: Bench) -> None:
    run = bench.run(limit=1)
    assert {key: run.metadata[key] for key in FACTS} == FACTS
    assert {row.release for row in run.rows} == {FACTS["release"]}


def test_a_finished_run_is_signed_evidence(bench: Bench) -> None:
    from lockgate.store.evidence import list_evidence

    run = bench.run()
    with bench.database() as db:
        [evidence] = list_evidence(db)
    assert (evidence.run, evidence.release, evidence.suite_hash) == (run.id, FACTS["release"], run.suite.hash)
    assert f"Evidence {evidence.id[:12]} is signed." in bench.said
    bench.run(limit=3)
    assert bench.said[-1].endswith("It covers a part of the suite, so it never counts.")


def test_a_run_that_is_killed_after_its_record_gets_its_evidence_when_it_is_resumed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lockgate.store.evidence import list_evidence

    with monkeypatch.context() as broken:
        broken.setattr("evals.runs.measuring.record_evidence", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.run()
    with bench.database() as db:
        [plan] = list_eval_plans(db)
        run = bench.run(resume=plan.id)
        [evidence] = list_evidence(db)
        assert (evidence.run, run.id, list_eval_plans(db)) == (plan.id, plan.id, [])
    assert len(bench.asked) == 20
