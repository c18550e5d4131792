from __future__ import annotations

from typing import Any

import pytest

from evals.suite import describe_suite, list_suites, load_suite
from lockgate.errors import NotFound, UserError
from tests.evals.conftest import CASES, SUITE_YAML, WriteSuite

PORT = CASES[0]


def changed(**keys: Any) -> dict[str, Any]:
    return {**PORT, **keys}


def test_loads_a_suite_with_its_cases_and_a_hash(write_suite: WriteSuite) -> None:
    suite = load_suite(write_suite(), "tiny")
    assert (suite.name, suite.definition.version, len(suite.cases), len(suite.hash)) == ("tiny", 3, 4, 64)
    assert suite.cases[1].history[0].content == "Which port?"


def test_the_hash_follows_every_byte_of_the_cases(write_suite: WriteSuite) -> None:
    before = load_suite(write_suite(), "tiny").hash
    after = load_suite(write_suite(cases=[changed(question="Which port then?"), *CASES[1:]]), "tiny").hash
    assert before != after


def test_selects_a_split_and_a_number_of_cases_in_file_order(write_suite: WriteSuite) -> None:
    suite = load_suite(write_suite(), "tiny")
    assert [case.id for case in suite.select("dev")] == ["port", "moon"]
    assert [case.id for case in suite.select("all", 3)] == ["port", "follow", "moon"]


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([PORT, CASES[2], changed(question="Again?")], r"cases\.jsonl:3: the id 'port' is used twice, first on line 1"),
        ([changed(pages=["gone.md"])], r"cases\.jsonl:1: the gold page 'gone\.md' is not in .*docs"),
        ([changed(pages=["../secret.md"])], r"cases\.jsonl:1: the gold page '\.\./secret\.md'"),
        ([changed(pages=[])], r"cases\.jsonl:1: .*needs a reference and at least one page"),
        ([changed(reference=" ")], r"needs a reference"),
        ([changed(answerable=False)], r"must have neither reference nor pages"),
        ([changed(pages=["api.md", "api.md"])], r"a gold page is given twice"),
        ([changed(gold="x")], r"cases\.jsonl:1: unknown key 'gold'. Known keys: answerable"),
        ([CASES[2], changed(split="train")], r"cases\.jsonl:2: key 'split'"),
        ([changed(id="Has Space")], r"cases\.jsonl:1: key 'id'"),
        ('{"id": "x"', r"cases\.jsonl:1: not valid JSON"),
        ("\n\n", r"cases\.jsonl: holds no cases"),
    ],
)
def test_a_wrong_case_is_named_by_file_and_line(write_suite: WriteSuite, cases: Any, expected: str) -> None:
    project = write_suite(cases=cases)
    with pytest.raises(UserError, match=expected):
        load_suite(project, "tiny")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "mrr",
            "accuracy",
            r"suite\.yaml:\d+: key 'metrics\.1': unknown metric; known metrics: recall@1, .* got 'accuracy'",
        ),
        ("version: 3", "version: 3\ncolour: red", r"suite\.yaml:3: unknown key 'colour'"),
        ("corpus: docs", "corpus: missing", r"key 'corpus': .*missing is not a folder"),
        ("name: tiny", "name: other", r"the suite is named 'other', its folder 'tiny'"),
        ("timeout_s: 0.4", "timeout_s: 0", r"suite\.yaml:8: key 'timeout_s'"),
        ("timeout_s: 0.4", "cases: ../cases.jsonl", r"must be the name of a file beside suite\.yaml"),
        ("timeout_s: 0.4", "cases: gone.jsonl", r"gone\.jsonl: no such file"),
    ],
)
def test_a_wrong_definition_is_named_by_file_and_line(
    write_suite: WriteSuite, old: str, new: str, expected: str
) -> None:
    project = write_suite(yaml=SUITE_YAML.replace(old, new))
    with pytest.raises((UserError, NotFound), match=expected):
        load_suite(project, "tiny")


@pytest.mark.parametrize("name", ["gone", "../tiny", "tiny/..", ""])
def test_an_unknown_suite_names_the_known_ones(write_suite: WriteSuite, name: str) -> None:
    project = write_suite()
    with pytest.raises(NotFound, match="Suites there: tiny"):
        load_suite(project, name)


def test_a_broken_suite_is_listed_with_its_error(write_suite: WriteSuite) -> None:
    project = write_suite(cases="nonsense")
    assert list_suites(project) == ["tiny"]
    assert "cases.jsonl:1" in str(describe_suite(project, "tiny")["error"])
