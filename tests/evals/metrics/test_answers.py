from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.metric import Tools
from evals.metrics.score import NotApplicable, Unscored
from evals.metrics.words import answer_tokens, longest_common_subsequence, words
from tests.evals.outcomes import answered, failed, make_answer, make_case, score


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
    assert score("token_f1", answered(text)) == pytest.approx(expected)


def test_token_recall_does_not_punish_a_longer_answer() -> None:
    long = answered("The lock file and much more text about port 8000 and other things")
    assert score("token_recall", long) == 1.0


def test_answer_words_follow_squad_and_lose_citation_markers() -> None:
    assert answer_tokens("An answer: the `lock-file`, [1][23] isn't a [note].") == [
        "answer",
        "lockfile",
        "isnt",
        "note",
    ]


@pytest.mark.parametrize(
    ("text", "expected"), [("lock file: the port 8000 [1]", 1.0), ("file lock port 8000", 0.0), ("", 0.0)]
)
def test_exact_match_wants_all_words_in_their_order(text: str, expected: float) -> None:
    assert score("exact_match", answered(text)) == expected


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        # Lin's example: reference "police killed the gunman"; R = P = 3/4 and R = P = 2/4.
        ("rouge_l", "police kill the gunman", 0.75),
        ("rouge_l", "the gunman kill police", 0.5),
        # Common 3, answer 6, reference 4: R = .75, P = .5, beta 2: 5 * .375 / (.75 + 4 * .5).
        ("rouge_l[beta=2]", "police then kill the other gunman", 5 * 0.375 / (0.75 + 4 * 0.5)),
        ("rouge_l", "nothing", 0.0),
        ("rouge_l", "", 0.0),
    ],
)
def test_rouge_l_matches_values_computed_by_hand(spec: str, text: str, expected: float) -> None:
    case = make_case(reference="Police killed the gunman")
    assert score(spec, answered(text, case=case)) == pytest.approx(expected)


def slow_lcs(first: Sequence[object], second: Sequence[object]) -> int:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(st.lists(st.integers(0, 4), max_size=90), st.lists(st.integers(0, 4), max_size=90))
def test_the_longest_common_subsequence_is_the_textbook_one(first: list[int], second: list[int]) -> None:
    assert longest_common_subsequence(first, second) == slow_lcs(first, second)


def test_a_huge_answer_is_compared_in_no_time() -> None:
    text = " ".join(str(number) for number in range(50_000))
    case = make_case(reference=text[: len(text) // 2])
    assert score("rouge_l", answered(text, case=case)) == pytest.approx(2 / 3, abs=0.05)


def test_words_are_found_in_any_script_and_form() -> None:
    assert words("Straße ＡＢＣ, don't [3] 東京_tower") == ["strasse", "abc", "don", "t", "東京", "tower"]


class Letters:
    """Embeds a text as the counts of its letters."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def embed(self, texts: Sequence[str]) -> Any:
        rows = np.array([[text.lower().count(chr(97 + place)) for place in range(26)] for text in texts], np.float32)
        return self.scale * rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_semantic_similarity_is_the_cosine_to_the_reference_without_markers() -> None:
    tools = Tools(embedder=Letters())  # type: ignore[arg-type]
    assert score("semantic_similarity", answered("the lock file, PORT [1]"), tools) == pytest.approx(1.0)
    assert score("semantic_similarity", answered("[1]"), tools) == 0.0
    assert score("semantic_similarity", answered("xyz xyz"), tools) == pytest.approx(0.0, abs=1e-6)
    abstained = answered("", answer=make_answer("The lock file, port", abstained=True))
    assert score("semantic_similarity", abstained, tools) == 0.0


@pytest.mark.parametrize("scale", [2.0, float("nan")])
def test_an_embedder_that_gives_no_unit_vectors_leaves_the_case_unscored(scale: float) -> None:
    tools = Tools(embedder=Letters(scale))  # type: ignore[arg-type]
    assert isinstance(score("semantic_similarity", answered("The lock file, port"), tools), Unscored)


def test_semantic_similarity_needs_an_embedder() -> None:
    assert score("semantic_similarity", answered("x")) == Unscored("semantic_similarity needs an embedder")


@pytest.mark.parametrize(
    ("text", "passages", "expected"),
    [
        # Content words: server, listens, port, 9000; "the" and "on" do not count.
        ("The server listens on port 9000 [1].", ("The server", "listens on port 8000"), 3 / 4),
        ("Server SERVER banana", ("the server",), 2 / 3),
        ("", ("the server",), 0.0),
        ("[1] ... the", ("the server",), 0.0),
        ("server", (), 0.0),
    ],
)
def test_lexical_support_counts_content_words_in_the_passages(
    text: str, passages: tuple[str, ...], expected: float
) -> None:
    assert score("lexical_support", answered(text, passages=passages)) == pytest.approx(expected)


def test_lexical_support_does_not_guess() -> None:
    assert isinstance(score("lexical_support", answered("server", passages=None)), Unscored)
    assert isinstance(
        score("lexical_support", answered("", answer=make_answer("No.", abstained=True), passages=())), NotApplicable
    )
    unanswerable = answered("moon", case=make_case(answerable=False), passages=("sun",))
    assert score("lexical_support", unanswerable) == 0.0


@pytest.mark.parametrize("name", ["token_f1", "token_recall", "exact_match", "rouge_l"])
def test_abstaining_on_an_answerable_question_scores_nothing(name: str) -> None:
    outcome = answered("", answer=make_answer("The lock file, port 8000", abstained=True))
    assert score(name, outcome) == 0.0


@pytest.mark.parametrize("name", ["token_f1", "token_recall", "exact_match", "rouge_l"])
@pytest.mark.parametrize("reference", ["...", "the", "[1]"])
def test_a_reference_without_words_judges_nothing(name: str, reference: str) -> None:
    if name == "rouge_l" and reference == "the":
        return  # articles are words to ROUGE
    assert score(name, answered("the", case=make_case(reference=reference))) == Unscored("the reference holds no word")


@pytest.mark.parametrize("name", ["token_f1", "rouge_l", "lexical_support"])
def test_a_failed_case_says_why(name: str) -> None:
    assert score(name, failed()) == Unscored("model gone")


@given(text=st.text(max_size=60))
def test_an_answer_equal_to_its_reference_is_perfect_when_it_has_words(text: str) -> None:
    if not text.strip():
        return
    outcome = answered(text, case=make_case(reference=text), passages=(text,))
    if answer_tokens(text):
        assert score("token_f1", outcome) == 1.0
        assert score("exact_match", outcome) == 1.0
    if words(text):
        assert score("rouge_l", outcome) == pytest.approx(1.0)
