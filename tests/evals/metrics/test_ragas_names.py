from __future__ import annotations

from typing import Any

import pytest

from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import Tools
from evals.metrics.ragas import told_by_ragas
from evals.metrics.score import Unscored
from tests.evals.outcomes import answered, failed


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("ragas:faithfulness", "ragas:faithfulness"),
        (
            {"metric": "ragas:factual_correctness", "mode": "precision", "beta": 2},
            "ragas:factual_correctness[beta=2,mode=precision]",
        ),
        (
            {"metric": "ragas:topic_adherence", "reference_topics": ["keys, old", "ports"]},
            'ragas:topic_adherence[reference_topics=["keys, old","ports"]]',
        ),
    ],
)
def test_a_metric_of_ragas_has_one_name_with_its_own_parameters(spec: Any, name: str) -> None:
    found = resolve_metric(spec)
    assert found.name == name
    assert resolve_metric(name) == found


def test_those_that_ask_no_model_are_offline() -> None:
    assert (resolve_metric("ragas:exact_match").tier, resolve_metric("ragas:exact_match").needs) == ("offline", ())
    relevancy = resolve_metric("ragas:answer_relevancy")
    assert (relevancy.tier, relevancy.needs, relevancy.scale) == ("judged", ("judge", "embedder"), (-1.0, 1.0))


@pytest.mark.parametrize("name", ["ragas:gone", "ragas:Faithfulness", "ragas:", "ragas:../x"])
def test_an_unknown_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"no metric|cannot read"):
        resolve_metric(name)


async def test_a_real_one_scores_without_a_model() -> None:
    pytest.importorskip("ragas")
    metric = resolve_metric("ragas:string_presence")
    assert await metric.measure(answered("See: The lock file, port 8000."), Tools()) == 1.0
    assert await metric.measure(failed(), Tools()) == Unscored("model gone")


async def test_a_parameter_that_ragas_does_not_have_leaves_the_case_unscored() -> None:
    pytest.importorskip("ragas")
    got = await resolve_metric("ragas:string_presence[colour=red]").measure(answered("x"), Tools())
    assert isinstance(got, Unscored)
    assert "has no parameter 'colour'" in got.reason


def test_a_judge_is_told_by_what_ragas_asks_with_these_parameters() -> None:
    one, two, own = (
        resolve_metric(name)
        for name in ("ragas:factual_correctness", "ragas:factual_correctness[mode=recall]", "token_f1")
    )
    told = told_by_ragas([one, two, own])
    assert set(told) == {one.name, two.name}
    assert told[one.name] != told[two.name]
