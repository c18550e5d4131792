from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.case import Case, Outcome
from evals.metrics import METRICS, NotApplicable, Score, Unscored, answer_tokens, metric
from lockgate.types import Answer, Citation

GOLD = ("a.md", "b.md")
NAMES = tuple(METRICS)


def case(
    *, answerable: bool = True, pages: tuple[str, ...] = GOLD, reference: str = "The lock file, port 8000"
) -> Case:
    if not answerable:
        return Case(id="x", question="q", answerable=False, split="dev")
    return Case(id="x", question="q", answerable=True, pages=pages, reference=reference, split="dev")


def answer(text: str = "", pages: tuple[str, ...] = (), *, abstained: bool = False) -> Answer:
    citations = tuple(Citation(n, f"c{n}", "docs", page, page, (), "v", "t") for n, page in enumerate(pages, 1))
    return Answer(text, citations, abstained, "extractive", "t", "s")


def score(name: str, outcome: Outcome) -> Score:
    return METRICS[name].score(outcome)


@pytest.mark.parametrize(
    ("name", "ranking", "expected"),
    [
        ("recall@1", ("a.md", "b.md"), 0.5),
        ("recall@5", ("x", "a.md", "x2", "b.md"), 1.0),
        ("recall@5", ("1", "2", "3", "4", "5", "a.md"), 0.0),
        ("recall@10", ("1", "2", "3", "4", "5", "a.md"), 0.5),
        ("recall@10", (), 0.0),
        ("mrr", ("x", "y", "b.md", "a.md"), 1 / 3),
        ("mrr", ("x",), 0.0),
        # Gold on ranks 2 and 4: (1/log2 3 + 1/log2 5) / (1/log2 2 + 1/log2 3) = (0.6309 + 0.4307) / 1.6309
        ("ndcg@10", ("x", "a.md", "y", "b.md"), 0.6509),
        ("ndcg@10", ("b.md", "a.md"), 1.0),
        ("ndcg@10", (*"123456789x", "a.md"), 0.0),
    ],
)
def test_retrieval_metrics_match_values_computed_by_hand(name: str, ranking: tuple[str, ...], expected: float) -> None:
    assert score(name, Outcome(case(), ranking, None)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Reference words: lock, file, port, 8000. Answer: lock, file, is, on, port, 8000 (no article, no marker).
        ("The lock file is on port 8000 [2].", 2 * 4 / (6 + 4)),
        ("LOCK FILE PORT 8000!", 1.0),
        ("nothing shared here", 0.0),
        ("", 0.0),
        ("port port port port", 2 * 1 / (4 + 4)),
    ],
)
def test_token_f1_matches_values_computed_by_hand(text: str, expected: float) -> None:
    assert score("token_f1", Outcome(case(), (), answer(text))) == pytest.approx(expected)


def test_token_recall_does_not_punish_a_longer_answer() -> None:
    long = answer("The lock file and much more text about port 8000 and other things")
    assert score("token_recall", Outcome(case(), (), long)) == 1.0


def test_answer_words_follow_squad_and_lose_citation_markers() -> None:
    assert answer_tokens("An answer: the `lock-file`, [1][23] isn't a [note].") == [
        "answer",
        "lockfile",
        "isnt",
        "note",
    ]


def test_abstaining_on_an_answerable_question_scores_nothing_for_the_answer() -> None:
    outcome = Outcome(case(), (), answer("The lock file, port 8000", abstained=True))
    assert score("token_f1", outcome) == 0.0
    assert score("citation_recall", outcome) == 0.0
    assert isinstance(score("citation_precision", outcome), NotApplicable)


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
    outcome = Outcome(case(), (), answer("words", cited))
    assert score("citation_precision", outcome) == precision
    assert score("citation_recall", outcome) == recall


@pytest.mark.parametrize(
    ("answerable", "abstained", "accuracy", "answered", "abstained_rate"),
    [
        (True, False, 1.0, 1.0, None),
        (True, True, 0.0, 0.0, None),
        (False, True, 1.0, None, 1.0),
        (False, False, 0.0, None, 0.0),
    ],
)
def test_abstention_is_a_two_by_two_decision(
    answerable: bool, abstained: bool, accuracy: float, answered: float | None, abstained_rate: float | None
) -> None:
    outcome = Outcome(case(answerable=answerable), (), answer("x", abstained=abstained))
    assert score("abstention_accuracy", outcome) == accuracy
    for name, expected in (("answered_rate", answered), ("abstained_rate", abstained_rate)):
        got = score(name, outcome)
        assert isinstance(got, NotApplicable) if expected is None else got == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("answerable", [True, False])
def test_a_failed_case_is_unscored_with_its_reason_and_never_a_number(name: str, answerable: bool) -> None:
    outcome = Outcome(case(answerable=answerable), None, None, "no index", "model gone")
    got = score(name, outcome)
    assert isinstance(got, Unscored | NotApplicable)
    if isinstance(got, Unscored):
        assert got.reason in ("no index", "model gone")
    if answerable and name != "abstained_rate":
        assert isinstance(got, Unscored)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_a_value_that_is_not_finite_or_off_the_scale_is_unscored(value: float) -> None:
    @metric("odd", "answer")
    def odd(outcome: Outcome) -> Score:
        """Odd."""
        return value

    got = odd.score(Outcome(case(), (), None))
    assert isinstance(got, Unscored)
    assert "odd" in got.reason


def test_every_metric_declares_what_a_reader_needs() -> None:
    for name, each in METRICS.items():
        assert each.name == name
        assert each.scale == (0.0, 1.0)
        assert each.direction == "higher"
        assert each.worst == 0.0
        assert each.description.endswith(".")


pages = st.lists(st.sampled_from(["a.md", "b.md", "c.md", "d.md", "e.md"]), unique=True).map(tuple)


@given(ranking=pages, cited=pages, text=st.text(max_size=60), abstained=st.booleans(), answerable=st.booleans())
def test_scores_stay_on_the_scale_whatever_comes_back(
    ranking: tuple[str, ...], cited: tuple[str, ...], text: str, abstained: bool, answerable: bool
) -> None:
    outcome = Outcome(case(answerable=answerable), ranking, answer(text, cited, abstained=abstained))
    for name in NAMES:
        got = score(name, outcome)
        assert isinstance(got, NotApplicable) or (isinstance(got, float) and 0 <= got <= 1)


@given(ranking=pages)
def test_moving_a_gold_page_up_never_lowers_a_retrieval_metric(ranking: tuple[str, ...]) -> None:
    better = tuple(sorted(ranking, key=lambda page: page not in GOLD))
    for name in ("recall@1", "recall@5", "mrr", "ndcg@10"):
        before, after = score(name, Outcome(case(), ranking, None)), score(name, Outcome(case(), better, None))
        assert isinstance(before, float)
        assert isinstance(after, float)
        assert after >= before


@given(text=st.text(max_size=60))
def test_an_answer_equal_to_its_reference_is_perfect_when_it_has_words(text: str) -> None:
    if text.strip() and answer_tokens(text):
        outcome = Outcome(case(reference=text), (), answer(text))
        assert score("token_f1", outcome) == 1.0
