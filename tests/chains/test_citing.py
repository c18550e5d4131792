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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```sh\nx = items[0]. Rotate a key.\n```\nSo", None),
        ("~~~\nRotate a key every ninety days [1].\n```\n~~~", None),
        ("- Do:\n\n  ````\n  ```\n  a[1]\n  ````", None),
        ("```\nRotate a key every ninety days [2]. Never closed", None),
        ("Write `items[0]. x` or ``a ` b[1]`` there.", None),
        ("A lone ` and items[1] here", "A lone ` and items\\[1] here"),
        ("The items[0][1] and x_[2, 3].", "The items\\[0]\\[1] and x_\\[2, 3]."),
        ("An escaped \\[1] stays, \\\\[1] goes.", "An escaped \\[1] stays, \\\\ goes."),
        (
            "Rotate a key every ninety days:\n```\nkeys[1].\n```\nA revoked key answers with the error 401 [2].",
            "Rotate a key every ninety days: [1]\n```\nkeys[1].\n```\nA revoked key answers with the error 401. [2]",
        ),
        ("1. Rotate a key.\n2. Revoking a key is final.", "1. Rotate a key. [1]\n2. Revoking a key is final. [2]"),
    ],
)
def test_code_and_indexes_pass_and_markers_around_them_do_not(text: str, expected: str | None) -> None:
    assert cite(text) == (text.rstrip() if expected is None else expected)


@pytest.mark.parametrize(
    ("sentence", "held"),
    [
        ("Keys do not expire.", True),
        ("Keys don't expire.", True),
        ("Keys never expire.", True),
        ("Keys expire.", False),
        ("Tokens expire after an hour.", True),
        ("Tokens do not expire after an hour.", False),
        ("Locks open without a key.", True),
        ("Locks open with a key.", False),
        ("Locks never open with a key.", False),
        ("Tokens expire after a long hour.", False),
    ],
)
def test_a_sentence_that_denies_what_the_passage_says_is_not_held(sentence: str, held: bool) -> None:
    given = (passage("p", "Keys do not expire. Tokens expire after an hour. Locks open without a key."),)
    assert (supporting_passage(sentence, given, prefer=set()) == 0) is held


@pytest.mark.parametrize(
    ("text", "expected", "uncited"),
    [("It is 401.", "It is 401. [1]", 0), ("It is 402.", "It is 402.", 1), ("It is so.", "It is so.", 0)],
)
def test_a_number_alone_is_a_claim(text: str, expected: str, uncited: int) -> None:
    citer = SentenceCiter((passage("revoke", REVOKE),))
    assert citer.feed(text) + citer.finish() == expected
    assert citer.uncited == uncited


TEXT = (
    "Rotate a key every ninety days [1]. Gold keys are better [2]!\n\nA revoked key answers with the error 401 [1, 9]."
    "\n1. Run the rotate command:\n   ```sh\n   a[0] = `x`. [1]\n   ```\n"
    "- See `b[1]. c`, ``d`[2]``, e[3][4] or \\[5] [1].\n"
    "~~~~\n~~~\nf[1]\n~~~~ \nA ` alone [2]. The end  \n"
)


@settings(max_examples=300)
@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_pieces_of_any_size_give_the_same_text(cuts: list[int]) -> None:
    assert cite(TEXT, *cuts) == cite(TEXT)


SHREDS = [
    "`",
    "``",
    "```",
    "~~~",
    "\n",
    " ",
    "[1]",
    "[",
    "0",
    "]",
    "\\",
    "a",
    "Rotate a key",
    ".",
    "- ",
    "1.",
    '"',
    "_",
]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(SHREDS), max_size=30).map("".join), st.lists(st.integers(0, 60), max_size=8))
def test_pieces_of_any_text_give_the_same_text(text: str, cuts: list[int]) -> None:
    assert cite(text, *(min(cut, len(text)) for cut in cuts)) == cite(text)
    assert cite(text, *range(len(text))) == cite(text)
