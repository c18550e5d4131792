"""Supported sentences made wrong by rule."""

from __future__ import annotations

import random

import pytest

from finetune.grounding.corruption import corrupt
from finetune.grounding.rewriting import rewrite
from finetune.grounding.rows import Shares, changed_spans, group_of, overlaps, split_of

TEXT = (
    "Ada Park built the console in Lisbon in May 2021, and it was not cheap before the sales increased by 12 percent."
)
OTHERS = ["Bo Lee lives in Porto.", "It cost 77 euros on Monday."]


@pytest.mark.parametrize("seed", range(30))
def test_a_corruption_changes_what_it_marks_and_nothing_else(seed: int) -> None:
    made = corrupt(TEXT, OTHERS, random.Random(seed))
    assert made is not None
    text, spans = made
    assert text != TEXT
    assert spans
    assert all(0 <= start < end <= len(text) for start, end in spans)
    # What was taken out has no place of its own: the words beside it are marked.
    near = [(start - 8, end + 8) for start, end in spans]
    assert all(overlaps(changed, near) for changed in changed_spans(TEXT, text)[:1])


def test_corruptions_are_of_several_kinds() -> None:
    made = {corrupt(TEXT, OTHERS, random.Random(seed)) for seed in range(40)}
    assert len({text for text, _ in filter(None, made)}) > 8


def test_a_sentence_without_facts_is_left_alone() -> None:
    assert corrupt("Keys rotate.", [], random.Random(1)) is None


def test_a_rewritten_sentence_keeps_its_names_and_numbers() -> None:
    for seed in range(20):
        said = rewrite("However, many people use the 12 big locks (made by Acme) near Lisbon.", random.Random(seed))
        assert "12" in said
        assert "Lisbon" in said
        assert said[0].isupper()


def test_a_passage_is_in_one_part_whatever_its_spacing() -> None:
    shares = Shares(dev=0.2, test=0.2)
    groups = [group_of(f"passage {number}") for number in range(500)]
    assert group_of("a  b\n c") == group_of("a b c")
    parts = [split_of(group, shares) for group in groups]
    assert parts == [split_of(group, shares) for group in groups]
    assert 0.12 < parts.count("dev") / 500 < 0.28
    assert 0.12 < parts.count("test") / 500 < 0.28


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("Keys rotate daily.", "Keys rotate weekly.", ["weekly"]),
        ("Keys rotate.", "Keys do not rotate.", ["do not"]),
        ("Keys rotate daily.", "Keys rotate daily.", []),
        ("Keys rotate very often.", "Keys rotate often.", ["often"]),
        ("", "Keys.", ["Keys."]),
        ("Keys.", "", []),
    ],
)
def test_finds_what_an_edit_changed(before: str, after: str, expected: list[str]) -> None:
    assert [after[start:end] for start, end in changed_spans(before, after)] == expected
