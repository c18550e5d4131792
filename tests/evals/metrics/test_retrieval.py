from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.case import Outcome
from evals.metrics.score import NotApplicable, Unscored
from tests.evals.outcomes import GOLD, failed, make_case, score


@pytest.mark.parametrize(
    ("name", "ranking", "expected"),
    [
        ("recall@1", ("a.md", "b.md"), 0.5),
        ("recall@5", ("x", "a.md", "x2", "b.md"), 1.0),
        ("recall@5", ("1", "2", "3", "4", "5", "a.md"), 0.0),
        ("recall@10", ("1", "2", "3", "4", "5", "a.md"), 0.5),
        ("recall@10", (), 0.0),
        ("precision@1", ("a.md", "b.md"), 1.0),
        ("precision@5", ("x", "a.md", "x2", "b.md"), 2 / 5),
        ("precision@5", ("a.md",), 1 / 5),
        ("precision@5", (), 0.0),
        ("mrr", ("x", "y", "b.md", "a.md"), 1 / 3),
        ("mrr", ("x",), 0.0),
        ("mrr@2", ("x", "y", "b.md", "a.md"), 0.0),
        # Gold on ranks 2 and 4: (1/log2 3 + 1/log2 5) / (1/log2 2 + 1/log2 3) = (0.6309 + 0.4307) / 1.6309
        ("ndcg@10", ("x", "a.md", "y", "b.md"), 0.6509),
        # Only the first three places count, and the perfect ranking has both gold pages there.
        ("ndcg@3", ("x", "a.md", "y", "b.md"), 0.6309 / 1.6309),
        ("ndcg@10", ("b.md", "a.md"), 1.0),
        ("ndcg@1", ("b.md", "a.md"), 1.0),
        ("ndcg@10", (*"123456789x", "a.md"), 0.0),
    ],
)
def test_values_match_those_computed_by_hand(name: str, ranking: tuple[str, ...], expected: float) -> None:
    assert score(name, Outcome(make_case(), ranking, None)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"), [("recall@2", 0.5), ("precision@2", 0.5), ("mrr", 0.5), ("ndcg@2", 0.6309 / 1.6309)]
)
def test_gold_chunks_are_ranked_on_their_own(name: str, expected: float) -> None:
    case = make_case(chunks=("c2", "c9"))
    outcome = Outcome(case, ("a.md",), None, chunks=("c1", "c2", "c3"))
    spec = name + "[gold=chunks]"
    assert score(spec, outcome) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["recall@5", "precision@5", "mrr", "ndcg@5"])
def test_a_ranking_that_names_a_page_twice_gains_nothing_by_it(name: str) -> None:
    case = make_case()
    twice = score(name, Outcome(case, ("a.md", "a.md", "a.md", "b.md"), None))
    assert twice == score(name, Outcome(case, ("a.md", "b.md"), None))


def test_a_case_without_such_gold_is_not_spoken_about() -> None:
    assert isinstance(score("recall@5[gold=chunks]", Outcome(make_case(), (), None, chunks=())), NotApplicable)
    only_chunks = make_case(pages=(), chunks=("c1",))
    assert isinstance(score("recall@5", Outcome(only_chunks, (), None)), NotApplicable)
    assert isinstance(score("recall@5", Outcome(make_case(answerable=False), (), None)), NotApplicable)


def test_retrieval_that_failed_is_unscored_with_its_reason() -> None:
    assert score("recall@5", failed()) == Unscored("no index")
    assert score("recall@5[gold=chunks]", Outcome(make_case(chunks=("c",)), ("a.md",), None)) == Unscored(
        "retrieval did not run"
    )


pages = st.lists(st.sampled_from(["a.md", "b.md", "c.md", "d.md", "e.md"]), unique=True).map(tuple)


@given(ranking=pages)
def test_moving_a_gold_page_up_never_lowers_a_metric(ranking: tuple[str, ...]) -> None:
    better = tuple(sorted(ranking, key=lambda page: page not in GOLD))
    for name in ("recall@1", "recall@5", "precision@3", "mrr", "ndcg@10"):
        before = score(name, Outcome(make_case(), ranking, None))
        after = score(name, Outcome(make_case(), better, None))
        assert isinstance(before, float)
        assert isinstance(after, float)
        assert after >= before
