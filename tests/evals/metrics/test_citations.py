from __future__ import annotations

import pytest

from evals.metrics.score import NotApplicable, Unscored
from tests.evals.outcomes import answered, failed, make_answer, make_case, score


@pytest.mark.parametrize(
    ("cited", "precision", "recall"),
    [
        (("a.md", "x.md", "a.md", "y.md"), 0.5, 0.5),
        (("a.md", "b.md"), 1.0, 1.0),
        (("x.md",), 0.0, 0.0),
        ((), 0.0, 0.0),
    ],
)
def test_citations_are_judged_by_their_pages(cited: tuple[str, ...], precision: float, recall: float) -> None:
    outcome = answered("", answer=make_answer("words", cited))
    assert score("citation_precision", outcome) == precision
    assert score("citation_recall", outcome) == recall


def test_citations_are_judged_by_their_chunks_where_gold_chunks_are_known() -> None:
    outcome = answered("", case=make_case(chunks=("c2", "c7")), answer=make_answer("words", ("x.md", "x.md")))
    assert score("citation_precision[gold=chunks]", outcome) == 0.5
    assert score("citation_recall[gold=chunks]", outcome) == 0.5
    without = answered("", answer=make_answer("words", ("a.md",)))
    assert isinstance(score("citation_recall[gold=chunks]", without), NotApplicable)


def test_an_abstention_cites_nothing() -> None:
    outcome = answered("", answer=make_answer("No.", ("a.md",), abstained=True))
    assert isinstance(score("citation_precision", outcome), NotApplicable)
    assert score("citation_recall", outcome) == 0.0


def test_a_failed_case_is_unscored_and_an_unanswerable_one_not_spoken_about() -> None:
    assert score("citation_recall", failed()) == Unscored("model gone")
    unanswerable = answered("x", case=make_case(answerable=False))
    assert isinstance(score("citation_precision", unanswerable), NotApplicable)
