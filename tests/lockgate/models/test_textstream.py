from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.models.textstream import Detokenizer, StopStrings

TEXTS = [
    "plain words",
    "naïve café",
    "日本語のテキスト",
    "👩\u200d👩\u200d👧 family 😀!",
    "  leading and trailing  ",
    "a\n\n\tb",
    "",
]


def pieces_of(tokenizer: Any, ids: list[int]) -> list[str]:
    stream = Detokenizer(lambda window: str(tokenizer.decode(window)))
    return [*(stream.feed(token) for token in ids), stream.finish()]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_whole_text(byte_tokenizer: Any, text: str) -> None:
    pieces = pieces_of(byte_tokenizer, byte_tokenizer.encode(text).ids)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_character_that_never_becomes_whole_is_dropped(byte_tokenizer: Any) -> None:
    ids = byte_tokenizer.encode("ab😀").ids[:-1]
    assert "".join(pieces_of(byte_tokenizer, ids)) == "ab"


def test_broken_bytes_in_the_middle_do_not_hide_what_follows(byte_tokenizer: Any) -> None:
    ids = byte_tokenizer.encode("a😀").ids[:-2] + byte_tokenizer.encode("then more").ids
    assert "".join(pieces_of(byte_tokenizer, ids)) == "athen more"


def test_spaces_between_words_survive_a_decoder_that_drops_the_first() -> None:
    words = ["Hello", "big", "world"]
    stream = Detokenizer(lambda ids: " ".join(words[index] for index in ids))
    assert [stream.feed(index) for index in range(3)] == ["Hello", " big", " world"]


def cut(text: str, stops: list[str], size: int) -> tuple[str, bool]:
    stream = StopStrings(stops)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return "".join([*(stream.feed(piece) for piece in pieces), stream.finish()]), stream.stopped


@pytest.mark.parametrize(
    ("text", "stops", "expected", "stopped"),
    [
        ("one two three", ["two"], "one ", True),
        ("one two three", ["four"], "one two three", False),
        ("one two three", ["three!"], "one two three", False),
        ("aab", ["ab"], "a", True),
        ("xabcd", ["bcd", "ab"], "x", True),
        ("xaby", ["abc", "b"], "xa", True),
        ("", ["x"], "", False),
        ("text", ["", "x"], "te", True),
        ("abab", ["ababc", "bab"], "a", True),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_text_ends_before_the_first_stop_string(
    text: str, stops: list[str], expected: str, stopped: bool, size: int
) -> None:
    assert cut(text, stops, size) == (expected, stopped)


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(alphabet="ab ", max_size=24),
    stops=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
    size=st.integers(1, 5),
)
def test_splitting_changes_nothing(text: str, stops: list[str], size: int) -> None:
    found = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    expected = text[: min(found)] if found else text
    assert cut(text, stops, size) == (expected, bool(found))
