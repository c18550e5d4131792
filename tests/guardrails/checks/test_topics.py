from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from guardrails.check import Found, GuardTools, Seen
from guardrails.checks.topics import CALIBRATED, Topics, TopicsSettings
from lockgate.errors import Unavailable, UserError

WORDS = ("key", "bucket", "pills", "fever", "moon")


class CountedWords:
    """An embedder whose dimensions are a few words; a text without any of them is like nothing."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        rows = np.array([[text.lower().count(word) for word in WORDS] for text in texts], dtype=np.float32)
        unit: NDArray[np.float32] = rows / np.maximum(1e-6, np.linalg.norm(rows, axis=1, keepdims=True))
        return unit


PRODUCTS = {"name": "products", "examples": ["How do I rotate a key?", "Where is my bucket?"]}
MEDICINE = {"name": "medicine", "examples": ["Which pills help against fever?"]}


def check(embed: CountedWords | None = None, digest: str = CALIBRATED, **keys: Any) -> Topics:
    settings = TopicsSettings.model_validate({"check": "topics", "action": "block"} | keys)
    return Topics(settings, GuardTools(embed=embed or CountedWords(), embedder=lambda: digest))


def look(text: str, **keys: Any) -> Found:
    return check(**keys).look(Seen(text, "input"))


def test_a_forbidden_topic_is_found_and_named() -> None:
    text = "We met years ago by the lake near the old mill in the woods.\n\nMy fever is high, which pills do I take?"
    found = look(text, forbidden=[MEDICINE])
    assert found.score > 0.9
    (span,) = found.spans
    assert span.label == "medicine"
    assert "fever" in text[span.start : span.end]
    assert look("How do I rotate a key?", forbidden=[MEDICINE]).score < 0.5


def test_what_is_on_no_allowed_topic_is_found() -> None:
    assert look("How old is the moon?", allowed=[PRODUCTS]).score > 0.9
    assert look("My key is gone, help me", allowed=[PRODUCTS]).score < 0.5


def test_what_is_forbidden_is_so_within_an_allowed_topic() -> None:
    assert look("A key for my bucket? And pills for fever?", allowed=[PRODUCTS], forbidden=[MEDICINE]).score > 0.5


@pytest.mark.parametrize("text", ["", "Hi!", "thank you", "\ud800", "\u200b\u200b"])
def test_a_text_of_two_words_is_about_nothing(text: str) -> None:
    assert look(text, allowed=[PRODUCTS]).score == 0


def test_the_examples_are_embedded_once_and_a_given_vector_is_used() -> None:
    embed = CountedWords()
    built = check(embed, forbidden=[MEDICINE])
    vector = embed(["pills fever"])[0]
    for _ in range(2):
        assert built.look(Seen("Please tell me something.", "input", vector=vector)).score > 0.9
    assert embed.calls == 2


def test_another_embedder_needs_a_cosine_of_its_own() -> None:
    with pytest.raises(UserError, match="another embedder"):
        look("How old is the moon?", allowed=[PRODUCTS], digest="0" * 64)
    assert look("How old is the moon?", allowed=[PRODUCTS], digest="0" * 64, cosine=0.5).score > 0.9


def test_without_an_embedder_it_fails() -> None:
    settings = TopicsSettings.model_validate({"check": "topics", "action": "block", "forbidden": [MEDICINE]})
    with pytest.raises(Unavailable, match="needs an embedder"):
        Topics(settings, GuardTools()).look(Seen("How old is the moon?", "input"))


@pytest.mark.parametrize(
    "keys", [{}, {"allowed": [PRODUCTS], "forbidden": [PRODUCTS]}, {"allowed": [{"name": "x", "examples": []}]}]
)
def test_topics_that_make_no_sense_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check(**keys)


def test_a_long_text_is_read_at_a_bounded_number_of_places() -> None:
    sizes: list[int] = []

    class Counting(CountedWords):
        def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
            sizes.append(len(texts))
            return super().__call__(texts)

    check(Counting(), forbidden=[MEDICINE]).look(Seen("A sentence about the moon and more of it. " * 2500, "input"))
    assert sizes[-1] <= 32
