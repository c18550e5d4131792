"""When two words are the same word."""

from __future__ import annotations

import pytest

from guardrails.grounding.words import stem, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rotates", "rotated"),
        ("rotate", "rotating"),
        ("rotation", "rotated"),
        ("policies", "policy"),
        ("organisation", "organization"),
        ("planned", "planning"),
        ("two", "2"),
        ("companies", "company"),
    ],
)
def test_forms_of_one_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("key", "lock"), ("2021", "2022"), ("sun", "sung"), ("is", "as")])
def test_different_words_do_not(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize("dressed", ["har\u200bmful", "ｈａｒｍｆｕｌ", "HARMFUL", "harm\u00adful", "\ufeffharmful"])
def test_dress_does_not_hide_a_word(dressed: str) -> None:
    assert [word.form for word in words(dressed)] == ["harmful"]


def test_places_are_those_of_the_text() -> None:
    text = "Ada’s key, and the 2nd one."
    assert [text[word.start : word.end] for word in words(text)] == ["Ada’s", "key", "and", "the", "2nd", "one"]
    assert words(text)[0].form == "ada"


def test_words_of_any_script_and_of_none() -> None:
    assert [word.form for word in words("Ключи меняются")] == ["ключи", "меняются"]
    assert words("\x00 \u202e ... —") == []
