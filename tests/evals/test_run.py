from __future__ import annotations

import json
from typing import Any

import pytest

from evals.reports.report import Report, to_json
from evals.reports.reported_run import reported_run
from evals.runs.asking import page_ranking
from evals.runs.run import EvalRun, mode_score, run_suite
from evals.suite import Suite
from lockgate.errors import Unavailable, UserError
from lockgate.types import Answer
from tests.evals.conftest import GOOD_ANSWERS, GOOD_RANKINGS, FakeAsker, FakeRetriever, make_answer


def metric(run: EvalRun, name: str) -> dict[str, Any]:
    return dict(run.aggregates["metrics"][name])


def row(run: EvalRun, case: str) -> dict[str, Any]:
    return next(each.as_json() for each in run.rows if each.case == case)


async def test_scores_every_case_and_keeps_file_order(suite: Suite) -> None:
    run = await run_suite(suite, FakeAsker(GOOD_ANSWERS), FakeRetriever(GOOD_RANKINGS), mode="extractive")
    assert [each.case for each in run.rows] == ["port", "follow", "moon", "price"]
    assert metric(run, "recall@1")["value"] == 0.5
    assert metric(run, "mrr")["value"] == pytest.approx((0.5 + 1) / 2)
    assert metric(run, "citation_precision")["value"] == 1.0
    assert metric(run, "abstention_accuracy")["value"] == 0.75
    assert metric(run, "abstention_balanced")["value"] == pytest.approx((1 + 0.5) / 2)
    assert run.aggregates["abstention"] == {
        "answerable_answered": 2,
        "answerable_abstained": 0,
        "unanswerable_answered": 1,
        "unanswerable_abstained": 1,
        "unscored": 0,
    }
    assert run.aggregates["by_split"]["dev"]["abstained_rate"]["value"] == 1.0
    assert run.aggregates["by_split"]["test"]["abstained_rate"]["value"] == 0.0


async def test_asks_as_an_eval_and_searches_a_follow_up_as_it_was_condensed(suite: Suite) -> None:
    asker, retriever = FakeAsker(GOOD_ANSWERS), FakeRetriever(GOOD_RANKINGS)
    run = await run_suite(suite, asker, retriever, mode="generative")
    assert {request.origin for request in asker.requests} == {"eval"}
    assert {request.mode for request in asker.requests} == {"generative"}
    follow = next(request for request in asker.requests if request.history)
    assert [message.role for message in follow.history] == ["user", "assistant"]
    assert ("Which host does it listen on?", 50) in retriever.asked
    assert row(run, "follow")["retrieved_with"] == "Which host does it listen on?"


def test_pages_rank_by_their_first_passage() -> None:
    retrieval = FakeRetriever({"q": ["b.md", "a.md", "b.md", "c.md", "a.md"]}).retrieve("q", limit=50)
    assert page_ranking(retrieval) == ("b.md", "a.md", "c.md")


async def test_a_failing_case_is_unscored_and_recorded_while_the_others_go_on(suite: Suite) -> None:
    answers = {**GOOD_ANSWERS, "Which port?": RuntimeError("boom"), "What does it cost?": Unavailable("No model.")}
    run = await run_suite(suite, FakeAsker(answers), FakeRetriever(GOOD_RANKINGS))
    assert len(run.rows) == 4
    assert row(run, "port")["errors"] == ["RuntimeError: boom"]
    assert row(run, "price")["errors"] == ["unavailable: No model."]
    assert (metric(run, "token_f1")["n"], metric(run, "token_f1")["unscored"]) == (1, 1)
    assert metric(run, "mrr")["n"] == 2
    assert metric(run, "abstention_accuracy")["unscored"] == 2
    assert run.aggregates["failed"] == 2


async def test_a_hanging_case_ends_at_its_time_out(suite: Suite) -> None:
    asker = FakeAsker({**GOOD_ANSWERS, "And the host?": 60.0})
    run = await run_suite(suite, asker, FakeRetriever(GOOD_RANKINGS))
    follow = row(run, "follow")
    assert follow["errors"][0] == "asking took longer than 0.4 s"
    assert "not condensed" in follow["unscored"]["mrr"]
    assert asker.running == 0
    assert asker.closed == 4


async def test_a_failing_retriever_costs_the_retrieval_metrics_only(suite: Suite) -> None:
    retriever = FakeRetriever({**GOOD_RANKINGS, "Which port?": ValueError("index gone")})
    run = await run_suite(suite, FakeAsker(GOOD_ANSWERS), retriever)
    assert row(run, "port")["unscored"]["recall@1"] == "ValueError: index gone"
    assert row(run, "port")["scores"]["token_f1"] > 0


async def test_a_stream_without_an_answer_is_a_failure(suite: Suite) -> None:
    run = await run_suite(suite, FakeAsker({**GOOD_ANSWERS, "Which port?": 0.0}), FakeRetriever(GOOD_RANKINGS))
    assert row(run, "port")["errors"] == ["unavailable: The stream ended without a finished answer."]


async def test_a_busy_server_is_asked_again(suite: Suite) -> None:
    class BusyOnce(FakeAsker):
        async def ask(self, request: Any) -> Any:
            if request.question == "Which port?" and not self.requests:
                self.requests.append(request)
                raise Unavailable("Full.", retry_after=0)
            async for event in super().ask(request):
                yield event

    run = await run_suite(suite, BusyOnce(GOOD_ANSWERS), FakeRetriever(GOOD_RANKINGS), concurrency=1)
    assert run.aggregates["failed"] == 0


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_asks_no_more_cases_at_once_than_allowed(suite: Suite, concurrency: int) -> None:
    asker = FakeAsker(GOOD_ANSWERS)
    await run_suite(suite, asker, FakeRetriever(GOOD_RANKINGS), concurrency=concurrency)
    assert asker.peak == concurrency


async def test_reports_progress_up_to_the_number_of_cases(suite: Suite) -> None:
    seen: list[tuple[str, int, int]] = []
    await run_suite(
        suite,
        FakeAsker(GOOD_ANSWERS),
        FakeRetriever(GOOD_RANKINGS),
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert seen == [("cases", done, 4) for done in range(5)]


async def test_the_answer_score_counts_abstentions_and_errors_as_nothing(suite: Suite) -> None:
    perfect = {**GOOD_ANSWERS, "Which port?": make_answer("Port 8000."), "And the host?": make_answer("127.0.0.1")}
    abstains: dict[str, Answer | Exception | float] = {**perfect, "Which port?": make_answer("", abstained=True)}
    fails: dict[str, Answer | Exception | float] = {**perfect, "Which port?": RuntimeError("boom")}
    scores = [
        mode_score((await run_suite(suite, FakeAsker(table), FakeRetriever(GOOD_RANKINGS))).aggregates)
        for table in (perfect, abstains, fails)
    ]
    assert scores == [1.0, 0.5, 0.5]


async def test_a_part_of_the_suite_has_no_answer_score(suite: Suite) -> None:
    for split, limit in (("dev", None), ("all", 2)):
        run = await run_suite(
            suite,
            FakeAsker(GOOD_ANSWERS),
            FakeRetriever(GOOD_RANKINGS),
            split=split,  # type: ignore[arg-type]
            limit=limit,
        )
        assert len(run.rows) == 2
        assert mode_score(run.aggregates) is None
    assert mode_score({}) is None


async def test_when_everything_fails_nothing_is_scored(suite: Suite) -> None:
    broken = RuntimeError("no index")
    asker = FakeAsker(dict.fromkeys(GOOD_ANSWERS, broken))
    run = await run_suite(suite, asker, FakeRetriever(dict.fromkeys(("Which port?",), broken)))
    assert not run.scored_anything
    assert metric(run, "token_f1")["value"] is None
    assert mode_score(run.aggregates) is None
    json.loads(to_json(Report(reported_run(run))))


async def test_an_empty_choice_is_refused(suite: Suite) -> None:
    with pytest.raises(UserError, match="no case in split 'all'"):
        await run_suite(suite, FakeAsker({}), FakeRetriever({}), limit=0)


async def test_the_mode_is_the_one_seen_when_none_was_asked_for(suite: Suite) -> None:
    run = await run_suite(suite, FakeAsker(GOOD_ANSWERS), FakeRetriever(GOOD_RANKINGS))
    assert run.mode == "extractive"
