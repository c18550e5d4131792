"""The detector that ships: its files are whole, and hand-written examples keep their scores."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from guardrails.grounding.detector import SHIPPED, detector_problem, open_detector
from guardrails.grounding.grounder import Grounder

MEGABYTES = 30
TOLERANCE = 0.03
"""Processors round 8-bit products otherwise."""

EXAMPLES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))


@cache
def grounder() -> Grounder:
    return Grounder(open_detector())


def test_it_can_be_used() -> None:
    assert detector_problem() == ""


def test_it_is_small_enough_to_ship_and_has_a_card() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < MEGABYTES * 1_000_000
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for name, sha256 in grounder().detector.manifest.files.items():
        assert name in card
        assert sha256 in card


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["name"] for example in EXAMPLES])
def test_hand_written_examples_keep_their_scores(example: dict[str, Any]) -> None:
    report = grounder().check(example["question"], example["answer"], example["passages"])
    assert [sentence.status for sentence in report.sentences] == example["statuses"]
    assert [sentence.score for sentence in report.sentences] == pytest.approx(example["scores"], abs=TOLERANCE)
    assert report.score == pytest.approx(example["score"], abs=TOLERANCE)


def test_the_same_text_gets_the_same_score_whatever_stands_beside_it() -> None:
    example = EXAMPLES[0]
    one = grounder().check(example["question"], example["answer"], example["passages"])
    other = grounder().check(example["question"], example["answer"], example["passages"])
    assert one == other
