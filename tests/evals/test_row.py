from __future__ import annotations

import json
import math
from typing import Any

import pytest

from evals.case import Outcome, ToolCall
from evals.metrics.catalogue import resolve_metric
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.runs.asking import Asked
from evals.runs.row import Row, make_row, row_from_json, rows_from_json
from lockgate.errors import Corrupt
from lockgate.types import Usage
from tests.evals.outcomes import failed, make_answer, make_case

F1 = resolve_metric("token_f1")


def make(outcome: Outcome | None = None, scores: dict[str, Score] | None = None) -> Row:
    case = make_case(tags=("near",), history=({"role": "user", "content": "Which port?"},))
    full = Outcome(
        case,
        ("a.md",),
        make_answer("The lock file [1]", ("a.md",), mode="generative", usage=Usage(9, 4), question="asked as"),
        chunks=("c1",),
        passages=("The lock file.",),
        milliseconds=12.34,
        tool_calls=(ToolCall("search", {"q": 1}),),
    )
    given: dict[str, Score] = {"token_f1": 1 / 3, "mrr": Unscored("no index"), "steps": NotApplicable("none")}
    return make_row(Asked(outcome or full, None, "q"), {"near": "yes"}, given if scores is None else scores, repeat=1)


def test_a_row_survives_its_json() -> None:
    row = make()
    assert row_from_json(json.loads(json.dumps(row.as_json())), where="x") == row
    broken = make(failed())
    assert row_from_json(json.loads(json.dumps(broken.as_json())), where="x") == broken
    assert broken.as_json()["errors"] == ["model gone", "no index"]


def test_a_row_can_be_scored_again_like_the_outcome_that_it_was_made_of() -> None:
    case = make_case(tool_calls=({"name": "search"},), chunks=("c1",))
    row = row_from_json(json.loads(json.dumps(make().as_json())), where="x")
    outcome = row.outcome(case)
    for name in (
        "token_f1",
        "rouge_l",
        "citation_recall",
        "recall@1",
        "recall@1[gold=chunks]",
        "lexical_support",
        "latency_seconds",
        "prompt_tokens",
        "steps",
        "tool_call_accuracy",
    ):
        assert isinstance(resolve_metric(name).score(outcome), float), name
    assert make(failed(answer_code="policy_refused")).outcome(make_case()).refused


def test_the_cluster_is_the_first_gold_page() -> None:
    assert make().cluster == "a.md"


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1, True, "1", None, [1]])
def test_a_stored_score_that_cannot_be_is_unscored(value: Any) -> None:
    body = {**make().as_json(), "scores": {"token_f1": value}}
    assert isinstance(row_from_json(body, where="x").score(F1), Unscored)


def test_a_missing_score_is_unscored_and_a_reason_wins_over_a_number() -> None:
    assert make(scores={}).score(F1) == Unscored("the row holds no score")
    both = {**make().as_json(), "unscored": {"token_f1": "timed out"}}
    assert row_from_json(both, where="x").score(F1) == Unscored("timed out")


def test_scores_are_replaced_wherever_they_were() -> None:
    row = make().with_scores({"mrr": 0.5, "token_f1": Unscored("x"), "steps": 2.0})
    assert (row.scores, row.unscored, row.not_applicable) == ({"mrr": 0.5, "steps": 2.0}, {"token_f1": "x"}, {})


def test_the_last_digits_of_a_score_are_not_stored() -> None:
    assert make(scores={"token_f1": 0.1 + 0.2}).scores == {"token_f1": 0.3}


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"case": None},
        {"case": 5},
        {"scores": []},
        {"ranking": "a.md"},
        {"answer": 5},
        {"abstained": "no"},
        {"extra": 1},
    ],
)
def test_what_is_no_row_is_corrupt(change: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match="run r1"):
        row_from_json({**make().as_json(), **change}, where="run r1")


@pytest.mark.parametrize("bodies", [None, {}, "[]", [None], [{}], [[]]])
def test_what_is_no_list_of_rows_is_corrupt(bodies: Any) -> None:
    with pytest.raises(Corrupt):
        rows_from_json(bodies, where="run r1")


def test_a_row_that_lacks_a_key_is_named() -> None:
    body = make().as_json()
    del body["passages"]
    with pytest.raises(Corrupt, match=r"run r1, row 2: .*passages"):
        rows_from_json([make().as_json(), body], where="run r1")
