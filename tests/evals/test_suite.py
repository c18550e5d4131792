from __future__ import annotations

from typing import Any

import pytest

from evals.suite import check_gold, describe_suite, list_suites, load_suite, suite_warnings
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
    with pytest.raises(NotFound, match="Suites there: safety, tiny"):
        load_suite(project, name)


def test_a_broken_suite_is_listed_with_its_error(write_suite: WriteSuite) -> None:
    project = write_suite(cases="nonsense")
    assert list_suites(project) == ["safety", "tiny"]
    assert "cases.jsonl:1" in str(describe_suite(project, "tiny")["error"])


RICH = SUITE_YAML.replace("[recall@1,", "[recall@1, {metric: recall, k: 3, gold: chunks},")
SLICED = RICH + "slices: {near: {tag: near}, kind: {tags: [near, far]}, lang: {key: lang}, half: {key: split}}\n"


def test_metrics_with_parameters_are_kept_by_their_names(write_suite: WriteSuite) -> None:
    suite = load_suite(write_suite(yaml=RICH), "tiny")
    assert suite.definition.metrics[:3] == ("recall@1", "recall@3[gold=chunks]", "mrr")
    assert [each.name for each in suite.metrics("offline")] == list(suite.definition.metrics)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("repeats: 0", r"suite\.yaml:9: key 'repeats'"),
        ("repeats: 101", r"key 'repeats'"),
        ("tier: judged", r"none of the metrics asks a judge"),
        ("tier: slow", r"key 'tier'"),
        ("slices: {x: {}}", r"exactly one of tag, tags and key"),
        ("slices: {x: {tag: a, key: b}}", r"exactly one of tag, tags and key"),
        ("slices: {x: {tags: [a]}}", r"key 'slices\.x\.tags'"),
        ("slices: {x: {colour: a}}", r"unknown key 'slices\.x\.colour'"),
        ("slices: {'a b': {tag: a}}", r"key 'slices\.a b"),
        ("targets: docs", r"key 'targets'"),
    ],
)
def test_a_wrong_new_key_is_named_by_its_line(write_suite: WriteSuite, extra: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load_suite(write_suite(yaml=f"{SUITE_YAML}{extra}\n"), "tiny")


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("recall@0", r"suite\.yaml:6: key 'metrics\.0': recall: k: Input should be greater than or equal to 1"),
        ("{metric: recall}", r"recall needs k"),
        ("{metric: recall, k: 5, beta: 2}", r"recall has no parameter 'beta'; it has k, gold"),
        ("{metric: mrr, gold: lines}", r"'pages' or 'chunks'"),
        ("{k: 5}", r"a mapping with the key 'metric'"),
        ("5", r"a metric is a name"),
        ("mrr", r"metrics: mrr is given twice"),
        ("{metric: mrr}", r"metrics: mrr is given twice"),
    ],
)
def test_a_wrong_metric_is_named_by_its_line(write_suite: WriteSuite, metric: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load_suite(write_suite(yaml=SUITE_YAML.replace("recall@1", metric)), "tiny")


def test_slices_come_from_tags_and_keys(write_suite: WriteSuite) -> None:
    cases = [changed(tags=["far"], slices={"lang": "de"}), {**CASES[1], "tags": ["far", "near"]}, *CASES[2:]]
    suite = load_suite(write_suite(yaml=SLICED, cases=cases), "tiny")
    assert suite.slices_of(suite.cases[0]) == {"near": "no", "kind": "far", "lang": "de", "half": "dev"}
    assert suite.slices_of(suite.cases[1]) == {"near": "yes", "kind": "near", "half": "test"}
    assert suite.slices_of(suite.cases[2]) == {"near": "no", "kind": "other", "half": "dev"}
    assert describe_suite(suite.folder.parents[2], "tiny")["slices"] == {
        "near": {"no": 3, "yes": 1},
        "kind": {"far": 1, "near": 1, "other": 2},
        "lang": {"de": 1, "other": 3},
        "half": {"dev": 2, "test": 2},
    }


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([changed(slices={"tone": "x"})], r"cases\.jsonl:1: key 'slices': 'tone' is no slice of the suite"),
        ([changed(slices={"half": "dev"})], r"'half' is no slice of the suite that is read from a key"),
        ([changed(slices={"lang": ""})], r"cases\.jsonl:1: key 'slices\.lang'"),
        ([changed(pair="p"), *CASES[1:]], r"cases\.jsonl:1: the pair 'p' has no second case"),
        ([changed(pair="p"), {**CASES[2], "pair": "p"}], r"cases\.jsonl:2: the cases of the pair 'p' differ"),
        ([changed(canaries=[" "])], r"cases\.jsonl:1: key 'canaries\.0'"),
        ([changed(tool_calls=[{"name": "x", "argument": {}}])], r"unknown key 'tool_calls\.0\.argument'"),
        ([changed(pages=[], chunks=[])], r"needs a reference and at least one page or chunk"),
        ([changed(chunks=["c", "c"])], r"a gold chunk is given twice"),
        ([{**CASES[2], "chunks": ["c"]}], r"neither reference nor pages nor chunks"),
        ([changed(pages=["api.md\0"])], r"the gold page 'api\.md\\x00' is not in"),
        ([changed(pages=["x" * 5000])], r"the gold page 'x+' is not in"),
    ],
)
def test_a_wrong_new_key_of_a_case_is_named_by_its_line(write_suite: WriteSuite, cases: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load_suite(write_suite(yaml=SLICED, cases=cases), "tiny")


def test_a_case_may_have_gold_chunks_alone_and_belongs_to_the_cluster_of_its_first_gold(
    write_suite: WriteSuite,
) -> None:
    cases = [changed(pages=[], chunks=["c1", "c2"]), *CASES[1:]]
    suite = load_suite(write_suite(cases=cases), "tiny")
    assert [case.cluster for case in suite.cases] == ["c1", "api.md", "moon", "price"]


def test_gold_that_the_snapshot_does_not_have_is_named_by_its_line(write_suite: WriteSuite) -> None:
    suite = load_suite(write_suite(cases=[changed(chunks=["c1"]), *CASES[1:]]), "tiny")
    check_gold(suite, suite.cases, {"api.md": ["c1"]}, "f" * 64)
    with pytest.raises(UserError, match=r"cases\.jsonl:1: the gold chunk 'c1' is not in .* release ffffffffffff\."):
        check_gold(suite, suite.cases, {"api.md": ["c2"]}, "f" * 64)
    with pytest.raises(UserError, match=r"cases\.jsonl:2: the gold page 'api\.md' is not in") as error:
        check_gold(suite, suite.cases, {"faq.md": ["c1"]}, "f" * 64)
    assert "cases.jsonl:1: the gold page" in str(error.value)


def test_a_suite_without_readme_or_license_works_and_is_warned_about(write_suite: WriteSuite) -> None:
    suite = load_suite(write_suite(yaml=SUITE_YAML.replace("license: Apache-2.0\n", "")), "tiny")
    missing, license_line = suite_warnings(suite)
    assert "README.md: is missing" in missing
    assert "no license" in license_line
    (suite.folder / "README.md").write_text("By hand.\n")
    assert len(suite_warnings(suite)) == 1


def test_the_hash_does_not_follow_the_readme(write_suite: WriteSuite) -> None:
    project = write_suite()
    before = load_suite(project, "tiny")
    (before.folder / "README.md").write_text("By hand.\n")
    assert load_suite(project, "tiny").hash == before.hash


@pytest.mark.parametrize(
    ("tier", "default"), [("", "judged"), ("tier: offline", "offline"), ("tier: judged", "judged")]
)
def test_the_offline_tier_has_no_judged_metric(write_suite: WriteSuite, tier: str, default: str) -> None:
    yaml = SUITE_YAML.replace("[recall@1,", "[recall@1, faithfulness, 'rubric:tone',") + tier
    suite = load_suite(write_suite(yaml=yaml), "tiny")
    assert suite.tier == default
    assert [each.name for each in suite.metrics("judged")][:3] == ["recall@1", "faithfulness", "rubric:tone"]
    assert "faithfulness" not in [each.name for each in suite.metrics("offline")]
