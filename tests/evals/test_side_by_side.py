from __future__ import annotations

import io

import pytest
from rich.console import Console

from evals.case import Case
from evals.comparing.bisect import Observed
from evals.comparing.side_by_side import Comparison, Pair, mark_words, render

CASE = Case(id="rotate", question="How often?", answerable=False, split="dev")


def pair(before: str, after: str, **after_options: object) -> Pair:
    return Pair(CASE, Observed("a" * 64, before), Observed("b" * 64, after, **after_options))  # type: ignore[arg-type]


def printed(*pairs: Pair) -> str:
    out = io.StringIO()
    render(Comparison("tiny", "a" * 64, "b" * 64, None, pairs), Console(file=out, width=100), ("old", "new"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("before", "after", "left", "right"),
    [
        ("every ninety days", "every thirty days", "every [-ninety-] days", "every {+thirty+} days"),
        ("same", "same", "same", "same"),
        ("", "new", "", "{+new+}"),
        ("gone", "", "[-gone-]", ""),
    ],
)
def test_marks_the_words_that_differ(before: str, after: str, left: str, right: str) -> None:
    assert tuple(text.plain for text in mark_words(before, after, signs=True)) == (left, right)


def test_colors_stand_for_the_signs_on_a_terminal() -> None:
    left, right = mark_words("every ninety days", "every thirty days")
    assert (left.plain, right.plain) == ("every ninety days", "every thirty days")
    assert [left.plain[span.start : span.end] for span in left.spans if "red" in str(span.style)] == ["ninety"]
    assert [right.plain[span.start : span.end] for span in right.spans if "green" in str(span.style)] == ["thirty"]


def test_cases_with_the_same_output_are_a_count() -> None:
    out = printed(pair("one", "one"), pair("one", "two"), pair("three", "three"))
    assert "three" not in out
    assert "1 of 3 cases changed; 2 with the same output not shown." in out


def test_nothing_changed_prints_no_table() -> None:
    assert printed(pair("one", "one")).strip() == "0 of 1 cases changed; 1 with the same output not shown."


@pytest.mark.parametrize(
    ("options", "told"),
    [({"abstained": True}, "(abstains)"), ({"refused": True}, "(refused)"), ({"problem": "gone"}, "gone")],
)
def test_how_it_ended_is_a_change_too(options: dict[str, object], told: str) -> None:
    assert not pair("No.", "No.", **options).same
    assert told in printed(pair("No.", "No.", **options))


def test_answers_cannot_drive_the_terminal() -> None:
    out = printed(pair("\x1b[2Jone [bold]", "two \u202e"))
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold" in out.replace("\n", "")
