from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evals.case import Outcome
from evals.metrics.catalogue import families, resolve_metric, standard_metrics
from evals.metrics.metric import NO_TOOLS, Metric, MetricParameters, Tools, metric
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.runs.budget import BudgetSpent
from guardrails.checks.grounding import shipped_grounder
from tests.evals.outcomes import answered, failed, make_answer, make_case, score

NAMES = tuple(standard_metrics())


def declared(function: Any, **settings: Any) -> Metric:
    return metric("odd", "answer", **settings)(function).with_parameters({})


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("recall@5", "recall@5"),
        ("recall@05", "recall@5"),
        ({"metric": "recall", "k": 5}, "recall@5"),
        ({"metric": "recall@5", "gold": "pages"}, "recall@5"),
        ({"metric": "recall", "k": 5, "gold": "chunks"}, "recall@5[gold=chunks]"),
        ("recall@5[gold=chunks]", "recall@5[gold=chunks]"),
        ("mrr", "mrr"),
        ("mrr@10", "mrr@10"),
        ({"metric": "rouge_l", "beta": 2}, "rouge_l[beta=2.0]"),
        ("rouge_l[beta=1]", "rouge_l"),
        (
            {"metric": "cost", "currency": "EUR", "completion_price": 1.5, "prompt_price": 0},
            "cost[prompt_price=0.0,completion_price=1.5,currency=EUR]",
        ),
        ({"metric": "token_f1"}, "token_f1"),
    ],
)
def test_one_metric_has_one_name_however_it_is_written(spec: Any, name: str) -> None:
    found = resolve_metric(spec)
    assert found.name == name
    assert resolve_metric(name) == found


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("accuracy", r"unknown metric; known metrics: recall@1, .*goal_reached"),
        ("recall", "recall needs k, such as recall@5"),
        ("recall@0", "greater than or equal to 1"),
        ("recall@51", "less than or equal to 50"),
        ("recall@9999999", "cannot read"),
        ("recall@-1", "cannot read"),
        ("recall@5]", "cannot read"),
        ("recall@5[", "cannot read"),
        ("recall@5[k=3]", "cannot read"),
        ("recall@5[gold=]", "cannot read the value"),
        ("recall@5[gold=chunks,]", "cannot read"),
        ("recall@5[gold=chunks,gold=pages]", "each name once"),
        ("recall@5[gold=lines]", "'pages' or 'chunks'"),
        ("recall@5[x=1]", "recall has no parameter 'x'; it has k, gold"),
        ("recall@5 ", "cannot read"),
        ("Recall@5", "the name of a metric was expected"),
        ("", "the name of a metric was expected"),
        ("token_f1@3", "token_f1 takes no parameters, got k"),
        ("rouge_l[beta=nan]", "finite"),
        ("rouge_l[beta=0]", "greater than 0"),
        ("rouge_l[beta=[[[[]", "cannot read the value"),
        ('rouge_l[beta="x"]', "valid number"),
        ("x" * 301, "at most 300 characters"),
        ({"metric": "recall@5", "k": 3}, "k is given twice"),
        ({"metric": "recall", "k": True}, "k cannot be true"),
        ({"metric": "recall", "k": 2.5}, "valid integer"),
        ({"metric": "recall", "k": None}, "valid integer"),
        ({"metric": 5}, "a mapping with the key 'metric'"),
        ({"k": 5}, "a mapping with the key 'metric'"),
        ({"metric": "token_f1", "k": 5}, "takes no parameters"),
        (5, "a metric is a name"),
        (None, "a metric is a name"),
        (["recall@5"], "a metric is a name"),
        ("ragas:", "cannot read"),
        ("nowhere:recall", "unknown metric"),
    ],
)
def test_what_cannot_be_resolved_is_refused_with_the_reason(spec: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        resolve_metric(spec)


@given(st.text(max_size=40))
def test_any_text_is_a_metric_or_a_value_error(text: str) -> None:
    for name in (text, f"recall@5[{text}]", f"rouge_l[beta={text}]"):
        try:
            found = resolve_metric(name)
        except ValueError:
            continue
        assert resolve_metric(found.name) == found


class Loose(MetricParameters):
    text: str = ""
    many: tuple[str, ...] = ()
    on: bool = False


@example(text="null", many=[], on=False)
@example(text="nullable", many=["null"], on=True)
@given(text=st.text(max_size=20), many=st.lists(st.text(max_size=5), max_size=3), on=st.booleans())
def test_a_name_keeps_every_value_of_a_parameter(text: str, many: list[str], on: bool) -> None:
    from evals.metrics.naming import format_name, split_name

    chosen = Loose(text=text, many=tuple(many), on=on)
    name = format_name("loose", chosen)
    if len(name) <= 300:
        family, values = split_name(name)
        assert (family, Loose.model_validate(values)) == ("loose", chosen)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1, 1.1, "0.5", b"1", None, [], 10**400, object()])
def test_a_value_that_is_no_number_on_the_scale_is_unscored(value: Any) -> None:
    got = declared(lambda _outcome, _tools: value).score(answered("x"))
    assert isinstance(got, Unscored)
    assert "odd" in got.reason


@pytest.mark.parametrize("value", [0.5, 1 - 1e-12])
def test_a_binary_metric_takes_only_0_and_1(value: float) -> None:
    assert isinstance(declared(lambda _outcome, _tools: value, binary=True).score(answered("x")), Unscored)
    assert declared(lambda _outcome, _tools: True, binary=True).score(answered("x")) == 1.0


def test_a_numpy_number_is_a_number() -> None:
    import numpy as np

    assert declared(lambda _outcome, _tools: np.float32(0.5)).score(answered("x")) == 0.5


async def test_a_metric_that_raises_or_waits_leaves_the_case_unscored_or_scored() -> None:
    async def waits(_outcome: Outcome, _tools: Tools) -> Score:
        await asyncio.sleep(0)
        return 0.5

    async def breaks(_outcome: Outcome, _tools: Tools) -> Score:
        raise RuntimeError("judge gone")

    async def off(_outcome: Outcome, _tools: Tools) -> Score:
        return math.nan

    assert await declared(waits).measure(answered("x")) == 0.5
    assert await declared(breaks).measure(answered("x")) == Unscored("odd failed: RuntimeError: judge gone")
    assert isinstance(await declared(off).measure(answered("x")), Unscored)
    with pytest.raises(TypeError, match="await its measure"):
        declared(waits).score(answered("x"))


async def test_only_a_spent_budget_stops_the_run() -> None:
    def spent(_outcome: Outcome, _tools: Tools) -> Score:
        raise BudgetSpent("spent")

    with pytest.raises(BudgetSpent):
        await declared(spent).measure(answered("x"))


async def test_a_metric_without_what_it_needs_is_unscored() -> None:
    needy = declared(lambda _outcome, _tools: 1.0, needs=("judge", "embedder"))
    assert needy.score(answered("x")) == Unscored("odd needs a judge and an embedder")
    assert await needy.measure(answered("x"), NO_TOOLS) == Unscored("odd needs a judge and an embedder")


def test_every_metric_declares_what_a_reader_needs() -> None:
    for name, each in standard_metrics().items():
        assert each.name == name
        low, high = each.scale
        assert low < high
        assert each.worst == (low if each.direction == "higher" else high)
        assert each.description.endswith(".")
        assert not each.binary or each.scale == (0.0, 1.0)


def test_every_metric_says_where_its_formula_is_from() -> None:
    same = {"abstention_accuracy", "answered_rate", "abstained_rate", "prompt_tokens", "completion_tokens"}
    for name, family in families().items():
        assert "Source" in str(family.function.__doc__) or name in same, name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("answerable", [True, False])
def test_a_failed_case_is_never_a_number(name: str, answerable: bool) -> None:
    full = make_case(
        answerable=answerable,
        canaries=("BANANA",),
        forbidden=("secret",),
        goal=("done",),
        tool_calls=({"name": "search"},),
        pair="p",
    )
    outcome = failed(case=full)
    peers = {"p": (outcome, failed(case=full.model_copy(update={"id": "y"})))}
    got = score(name, outcome, Tools(embedder=None, peers=peers))
    assert isinstance(got, Unscored | NotApplicable)
    if isinstance(got, Unscored) and not resolve_metric(name).needs and not name.startswith("cost"):
        assert got.reason in ("no index", "model gone")


@pytest.fixture(scope="module", autouse=True)
def loaded_detector() -> None:
    """Loaded before anything is timed: Hypothesis gives each example 200 ms."""
    shipped_grounder().check("", "The lock file is on port 8000 of 9000 hosts in Berlin.", ["Nothing of it."])


pages = st.lists(st.sampled_from(["a.md", "b.md", "c.md", "d.md", "e.md"]), unique=True).map(tuple)


@given(ranking=pages, cited=pages, text=st.text(max_size=60), abstained=st.booleans(), answerable=st.booleans())
def test_scores_stay_on_the_scale_whatever_comes_back(
    ranking: tuple[str, ...], cited: tuple[str, ...], text: str, abstained: bool, answerable: bool
) -> None:
    case = make_case(answerable=answerable, canaries=("ba na na",), forbidden=("+49 170 12",), goal=("8000",))
    outcome = answered(
        "",
        case=case,
        pages=ranking,
        passages=(text, "The lock file"),
        answer=make_answer(text, cited, abstained=abstained),
    )
    for name, each in standard_metrics().items():
        got = score(name, outcome)
        assert isinstance(got, NotApplicable | Unscored) or each.scale[0] <= got <= each.scale[1]
