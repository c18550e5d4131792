"""Numbers, dates, names, units, negation, opposites."""

from __future__ import annotations

import pytest

from guardrails.grounding.exact import denials, exact_parts, facts, missing_parts, number_value, opposites
from guardrails.grounding.words import words


def missing(claim: str, evidence: str) -> list[tuple[str, str]]:
    return [(part.kind, claim[part.start : part.end]) for part in missing_parts(exact_parts(claim), facts(evidence))]


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("It costs $1,000.50 a year.", "The price is $1000.5 for a year."),
        ("It has two wheels.", "It has 2 wheels."),
        ("It opened on May 3, 2021.", "On 3 May 2021 it opened."),
        ("It opened in the 1990s.", "In the 1990s it was opened."),
        ("It weighs 5 kg.", "Its weight is 5 kilograms."),
        ("It grew 12 percent.", "Growth was 12%."),
        ("It belongs to Acme Corp.", "ACME CORP owns it."),
        ("The iPhone is sold here.", "iphone sales happen here"),
        ("Keys rotate daily.", "Keys rotate daily."),
    ],
)
def test_the_same_facts_in_another_dress_are_held(claim: str, evidence: str) -> None:
    assert missing(claim, evidence) == []


@pytest.mark.parametrize(
    ("claim", "evidence", "expected"),
    [
        ("It costs $1,000.", "It costs $1,001.", [("number", "1,000"), ("unit", "1,000")]),
        ("It weighs 5 kg.", "It weighs 5 g.", [("unit", "5")]),
        ("It costs 5 million.", "It costs 5 billion.", [("unit", "5")]),
        ("It opened on May 3.", "It opened on June 3.", [("date", "May")]),
        ("It closes on Monday.", "It closes on Sunday.", [("date", "Monday")]),
        ("He met Ada in Paris.", "He met Ada in London.", [("name", "Paris")]),
        ("There are seven.", "There are eight.", [("number", "seven")]),
        ("It has 3 wheels.", "", [("number", "3")]),
    ],
)
def test_other_facts_are_missing(claim: str, evidence: str, expected: list[tuple[str, str]]) -> None:
    assert missing(claim, evidence) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,000", "1000"), ("007", "7"), ("0", "0"), ("1.50", "1.5"), ("10:30", "10:30"), ("1/2", "1/2")],
)
def test_numbers_are_compared_by_value(text: str, value: str) -> None:
    assert number_value(text) == value


def test_a_capital_that_a_sentence_asks_for_names_nobody() -> None:
    assert exact_parts("Keys rotate. Keys expire.\n- Keys end") == ()


@pytest.mark.parametrize(
    ("text", "count"),
    [("It does not rotate.", 1), ("It doesn't and never will.", 2), ("It doesn’t.", 1), ("A knot.", 0)],
)
def test_counts_denials(text: str, count: int) -> None:
    assert denials(words(text)) == count


def test_finds_a_word_whose_opposite_the_evidence_holds() -> None:
    found = opposites(words("Sales increased before noon."), facts("Sales decreased before noon."))
    assert [word.form for word in found] == ["increased"]
    assert opposites(words("Sales increased."), facts("Sales increased, then decreased.")) == []
