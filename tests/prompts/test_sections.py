from __future__ import annotations

import time

import pytest

from prompts.includes import text_lines
from prompts.problem import Line, Problem
from prompts.sections import Section, split_sections


def _split(body: str) -> tuple[tuple[Section, ...], list[Problem]]:
    return split_sections(text_lines(body, "p.md", first=5) if body else [], end=Line("", "p.md", 5))


def test_splits_a_body_at_role_headings() -> None:
    body = "\n# system\n\nBe brief.\n## A smaller heading\n\n# user\nHello\n# assistant \nHi\n# user\n\n\nBye\n\n"
    sections, problems = _split(body)
    assert problems == []
    assert [(section.role, section.lines) for section in sections] == [
        ("system", (Line("Be brief.", "p.md", 8), Line("## A smaller heading", "p.md", 9))),
        ("user", (Line("Hello", "p.md", 12),)),
        ("assistant", (Line("Hi", "p.md", 14),)),
        ("user", (Line("Bye", "p.md", 18),)),
    ]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "p.md:5: a line '# system' or '# user' was expected"),
        ("\nHello\n# user\nHi", "p.md:6: a line '# system' or '# user' was expected"),
        ("# System\nHi", "p.md:5: a line '# system' or '# user' was expected"),
        (" # user\nHi", "p.md:5: a line '# system' or '# user' was expected"),
        ("# user\n\n# assistant\nHi", "p.md:5: the section '# user' has no text"),
        ("# user\nHi\n# assistant\n \n", "p.md:7: the section '# assistant' has no text"),
        ("# user\nHi\n# system\nBe brief.", "p.md:7: '# system' can only be the first section"),
        ("# system\nA\n# system\nB", "p.md:7: '# system' can only be the first section"),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_its_line(body: str, says: str) -> None:
    assert [str(problem) for problem in _split(body)[1] if says in str(problem)]


def test_everything_that_is_wrong_is_found_at_once() -> None:
    rules = [problem.rule for problem in _split("Hello\n# user\n# system\nA\n# assistant\n\n")[1]]
    assert rules == ["missing-section", "empty-section", "system-not-first", "empty-section"]


def test_many_sections_and_many_empty_lines_cost_little() -> None:
    start = time.perf_counter()
    _, problems = _split("# user\nHi\n" * 20_000)
    assert [problem.rule for problem in problems] == ["too-long"]
    _split("# user\n" + "\n" * 99_000 + "Hi" + "\n" * 99_000)
    assert time.perf_counter() - start < 5  # quadratic work would take minutes
