from __future__ import annotations

import time

import pytest

from prompts.includes import text_lines
from prompts.template import MAX_PROBLEMS, MAX_TOKENS, TemplateReport, check_template, count_tokens


def _check(source: str, *variables: str) -> TemplateReport:
    return check_template(text_lines(source, "p.md", first=10), frozenset(variables))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("Hi {{ a }}", []),
        ("Hi {{ b }}", [(10, 7, "undeclared-variable")]),
        ("b {{ b }}\n  {% if b2 %}{{ a | nope }}{% endif %}",
         [(10, 6, "undeclared-variable"), (11, 9, "undeclared-variable"), (11, 21, "not-allowed")]),
        ("{{ a * 2 }}{{ b() }}", [(10, 1, "not-allowed"), (10, 1, "not-allowed"), (10, 15, "undeclared-variable")]),
        ("{% macro m(x) %}{{ y }}{% endmacro %}", [(10, 1, "not-allowed")]),
        ("one\n{{ a b }}", [(11, 1, "bad-template")]),
        ("one\n  {% if a %}", [(11, 3, "bad-template")]),
        ("{% set loop = a %}", [(10, 8, "not-allowed")]),
        ("{{ a is nope }}", [(10, 9, "not-allowed")]),
    ],
)  # fmt: skip
def test_names_every_problem_with_line_and_column(source: str, found: list[tuple[int, int, str]]) -> None:
    report = _check(source, "a")
    assert [(problem.line, problem.column, problem.rule) for problem in report.problems] == found
    assert (report.template is None) == bool(found)


def test_tells_names_that_are_read_from_names_that_are_set() -> None:
    report = _check("{{ a }}\n{% set b = a %}{% for c in a %}{% endfor %}", "a")
    names = {(use.name, use.is_set, use.line.number) for use in report.names or ()}
    assert names == {("a", False, 10), ("b", True, 11), ("c", True, 11), ("a", False, 11)}
    assert _check("{{ a", "a").names is None


def test_the_fixed_text_is_what_stands_outside_of_signs() -> None:
    assert _check("One {{ a }} two{% if a %} three{% endif %}{# four #}", "a").fixed == "One  two three"


def test_a_file_that_is_no_template_at_all_gives_a_bounded_number_of_problems_soon() -> None:
    start = time.perf_counter()
    assert len(_check(" ".join(f"{{{{ z{n} }}}}" for n in range(3_000))).problems) == MAX_PROBLEMS
    assert time.perf_counter() - start < 1


def test_counting_ends_beyond_the_limit() -> None:
    start = time.perf_counter()
    assert count_tokens(text_lines("{{ a" + " + a" * 100_000 + " }}", "p.md")) == MAX_TOKENS + 1
    assert time.perf_counter() - start < 1
    assert count_tokens(text_lines("Hi {{ a.b }} {# c d e #}\n{% if a %}x{% endif %}", "p.md")) == 14
    assert count_tokens(text_lines("{{ 'open", "p.md")) == 0
