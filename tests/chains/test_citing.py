from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.citing import SentenceCiter, supporting_passage
from tests.chains.fakes import REVOKE, ROTATE, passage

PASSAGES = (passage("rotate", ROTATE), passage("revoke", REVOKE))


def cite(text: str, *cuts: int) -> str:
    citer = SentenceCiter(PASSAGES)
    places = [0, *sorted(cuts), len(text)]
    return "".join(citer.feed(text[a:b]) for a, b in itertools.pairwise(places)) + citer.finish()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rotate a key every ninety days.", "Rotate a key every ninety days. [1]"),
        ("A revoked key answers with the error 401 [1].", "A revoked key answers with the error 401. [1]"),
        ("A revoked key answers with the error 402.", "A revoked key answers with the error 402."),
        ("Every day Alice rotates a key.", "Every day Alice rotates a key."),
        ("Rotate a key [7].", "Rotate a key. [1]"),
        ("The answer is: [1]", "The answer is:"),
    ],
)
def test_a_sentence_is_cited_only_where_a_passage_holds_it(text: str, expected: str) -> None:
    assert cite(text) == expected


def test_numbers_must_match_exactly() -> None:
    held = (passage("limits", "The limit is 1500 tokens for each prompt."),)
    assert supporting_passage("The limit is 1500 tokens.", held, prefer=set()) == 0
    assert supporting_passage("The limit is 150 tokens.", held, prefer=set()) is None
    assert supporting_passage("The limit is 500 tokens.", held, prefer=set()) is None


def test_the_passage_that_the_model_named_wins_when_both_hold_it() -> None:
    twins = (passage("a", ROTATE), passage("b", ROTATE))
    assert supporting_passage("Rotate a key every ninety days.", twins, prefer={1}) == 1


TEXT = (
    "Rotate a key every ninety days [1]. Gold keys are better [2]!\n\nA revoked key answers with the error 401 [1, 9]."
)


@settings(max_examples=300)
@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_pieces_of_any_size_give_the_same_text(cuts: list[int]) -> None:
    assert cite(TEXT, *cuts) == cite(TEXT)
