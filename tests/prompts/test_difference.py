from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.difference import Piece, compare, word_pieces
from prompts.revision import Revision


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [
        ("", "", []),
        ("same\n", "same\n", [("equal", "same\n")]),
        ("", "new\n", [("insert", "new\n")]),
        (
            "Keep.\nUse one word.\n",
            "Keep.\nUse two words.\n",
            [("equal", "Keep.\nUse "), ("delete", "one word"), ("insert", "two words"), ("equal", ".\n")],
        ),
        ("name: faq\n", "name: help\n", [("equal", "name: "), ("delete", "faq"), ("insert", "help"), ("equal", "\n")]),
    ],
)
def test_compares_word_by_word(before: str, after: str, pieces: list[tuple[str, str]]) -> None:
    assert [(piece.op, piece.text) for piece in word_pieces(before, after)] == pieces


@given(st.text(alphabet="ab .\n", max_size=80), st.text(alphabet="ab .\n", max_size=80))
def test_the_pieces_make_both_texts(before: str, after: str) -> None:
    pieces = word_pieces(before, after)
    assert "".join(piece.text for piece in pieces if piece.op != "insert") == before
    assert "".join(piece.text for piece in pieces if piece.op != "delete") == after
    assert all(one.op != two.op for one, two in pairwise(pieces))


def test_texts_made_to_be_hard_to_compare_take_little_time() -> None:
    generator = random.Random(7)
    words = [f"w{n}" for n in range(90)]
    start = time.perf_counter()
    for length, between in ((50_000, "\n"), (50_000, " "), (4_900, "\n"), (1_990, " ")):
        texts = (between.join(generator.choice(words) for _ in range(length)) for _ in range(2))
        assert word_pieces(*texts)
    assert time.perf_counter() - start < 3


def test_main_files_are_a_pair_whatever_their_names_and_other_files_by_their_paths() -> None:
    moved = compare(
        Revision("faq", "1", "a", {"faq/prompt.md": "x\n", "faq/own.md": "o\n", "faq/gone.md": "g\n"}),
        Revision("help", "2", "b", {"help/prompt.md": "x\n", "help/own.md": "o\n", "faq/new.md": "n\n"}),
    )
    assert [(one.before, one.after) for one in moved] == [
        ("faq/prompt.md", "help/prompt.md"),
        ("faq/gone.md", ""),
        ("", "faq/new.md"),
        ("faq/own.md", "help/own.md"),
    ]
    first = Revision("faq", "1", "a", {"faq.md": "Hi\n", "shared/a.md": "a\n", "shared/b.md": "b\n"})
    second = Revision("help", "2", "b", {"help/prompt.md": "Hi\n", "help/examples.jsonl": "{}\n", "shared/b.md": "c\n"})
    made = {(one.before, one.after): one.pieces for one in compare(first, second)}
    assert list(made) == [
        ("faq.md", "help/prompt.md"),
        ("", "help/examples.jsonl"),
        ("shared/a.md", ""),
        ("shared/b.md", "shared/b.md"),
    ]
    assert made["faq.md", "help/prompt.md"] == (Piece("equal", "Hi\n"),)
    assert made["shared/a.md", ""] == (Piece("delete", "a\n"),)
    assert compare(first, first) == []
