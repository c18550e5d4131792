"""Answers into claims."""

from __future__ import annotations

import pytest

from guardrails.grounding.claims import LONGEST, sentence_spans, split_claims
from tests.guardrails.growth import assert_at_most_passes


def claims(answer: str) -> list[str]:
    return [claim.text for claim in split_claims(answer).claims]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Keys rotate daily. Old keys expire.", ["Keys rotate daily.", "Old keys expire."]),
        ("Dr. Ada met Mr. Bell at 5 p.m. in May.", ["Dr. Ada met Mr. Bell at 5 p.m. in May."]),
        ("Version 2.5.1 costs $3.50 a month.", ["Version 2.5.1 costs $3.50 a month."]),
        ("Use e.g. a bucket policy here.", ["Use e.g. a bucket policy here."]),
        ("- First rotate keys\n- Then delete old keys\n", ["First rotate keys", "Then delete old keys"]),
        ("1. Open the console.\n2) Press Create key.", ["Open the console.", "Press Create key."]),
        ("# Rotate the keys\nKeys rotate daily.", ["Rotate the keys", "Keys rotate daily."]),
        ("Keys rotate **daily** [1]. Old `keys` expire [2, 3].", ["Keys rotate daily.", "Old keys expire."]),
        ("Keys rotate daily.[1] Old keys expire.[2]", ["Keys rotate daily.", "Old keys expire."]),
        ("鍵は毎日交換されます。古い鍵は失効します。", ["鍵は毎日交換されます。", "古い鍵は失効します。"]),
        ("", []),
        (" \n\n\t ", []),
    ],
)
def test_splits_an_answer_into_its_sentences(answer: str, expected: list[str]) -> None:
    assert claims(answer) == expected


def test_places_are_those_of_the_answer() -> None:
    answer = "  Intro:\n* Keys **rotate** daily. [1]\n* Old keys expire."
    for claim in split_claims(answer).claims:
        assert answer[claim.start : claim.end].replace("*", "").startswith(claim.text.rstrip(".")[:5])
    assert [answer[c.start : c.end] for c in split_claims(answer).claims] == [
        "Keys **rotate** daily. [1]",
        "Old keys expire.",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Here are the steps to rotate a key:",
        "Would you like to know more about keys?",
        "The passages do not mention the price of keys.",
        "Based on the given passages, I am unable to answer the question.",
        "I cannot determine the price from the documents.",
        "There is no information about prices.",
        "Let me know if you need more help with keys.",
        "Yes.",
        "(Passage 2)",
        "(passages 2 & 3)",
    ],
)
def test_what_says_nothing_of_the_subject_is_no_claim(sentence: str) -> None:
    split = split_claims(f"Keys rotate daily. {sentence}")
    assert [claim.text for claim in split.claims] == ["Keys rotate daily."]
    assert len(split.unclaimed) == 1


@pytest.mark.parametrize(
    ("sentence", "core"),
    [
        ("According to passage 2, keys rotate daily.", "keys rotate daily."),
        ("Based on the provided passages, keys rotate daily.", "keys rotate daily."),
        ("Passage 1 states that keys rotate daily.", "keys rotate daily."),
        ("As mentioned in passages 1 and 3, keys rotate daily.", "keys rotate daily."),
        ("In the first passage, keys rotate daily.", "keys rotate daily."),
        ("Keys rotate daily (passage 2 and 3).", "Keys rotate daily."),
        ("In the document room, keys rotate daily.", "room, keys rotate daily."),
    ],
)
def test_talk_of_the_sources_is_not_part_of_the_claim(sentence: str, core: str) -> None:
    assert [claim.core for claim in split_claims(sentence).claims] == [core]


def test_a_long_sentence_is_cut_at_a_clause_and_nothing_is_lost() -> None:
    answer = ", and ".join(f"key number {number} rotates on its own day of the month" for number in range(40))
    spans = sentence_spans(answer)
    assert len(spans) > 1
    assert all(end - start <= LONGEST for start, end in spans)
    assert "".join(answer[a:b] for a, b in spans).replace(" ", "") == answer.replace(" ", "")


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "a. " * 33_000, ". " * 50_000, "[1]" * 33_000, "*" * 100_000, "> " * 50_000, "\n" * 100_000,
     "based on the " * 8_000, "no information " * 7_000, "passage " * 12_000, "\u200b" * 100_000, "1." * 50_000,
     "(passage 1 " * 9_000],
)  # fmt: skip
def test_splits_100_kb_of_anything_in_time(text: str) -> None:
    assert_at_most_passes(split_claims, text, 500)
