from __future__ import annotations

import time
from pathlib import Path

import pytest

from lockgate.errors import NotFound, UserError
from prompts.collection import find_prompt
from prompts.files import TextFiles
from prompts.lint import RULES, Findings, lint_files, lint_project, relative
from prompts.problem import Problem
from tests.prompts.repositories import settings_in
from tests.prompts.texts import example_rows, prompt_text, write_library


def _lint(project: Path, files: dict[str, str], *names: str) -> Findings:
    write_library(project, files)
    return lint_project(settings_in(project), names)


def _shown(project: Path, files: dict[str, str]) -> list[str]:
    library = project / "prompts" / "library"
    problems = [relative(problem, library) for problem in _lint(project, files).problems]
    return [f"{one.file}:{one.line}:{one.column} {one.level} {one.rule}" for one in problems]


VARIABLES = "variables: {who: str, site: str, days: int}\n"
USES = "# user\n{{ who }} {{ site }} {{ days }}\n"


@pytest.mark.parametrize(
    ("keys", "body", "found"),
    [
        (VARIABLES, USES, []),
        (VARIABLES, "# user\n{{ who }} {{ site }}\n", ["5:34 warning unused-variable"]),
        ("variables:\n  who: str\n  gone: str\n", "# user\n{{ who }}\n", ["7:3 warning unused-variable"]),
        (VARIABLES, USES + "a b {{ typo }}\n{{ days + tpyo }}",
         ["9:8 error undeclared-variable", "10:11 error undeclared-variable"]),
        ("", "# user\n{{ who }}\n", ["7:4 error undeclared-variable"]),
        (VARIABLES, USES + "{% set who = site %}\n", ["9:8 warning shadowed-variable"]),
        (VARIABLES, USES + "{% for who in range(3) %}x{% endfor %}\n", ["9:8 warning shadowed-variable"]),
        ("modle: x\n", "# user\nHi\n", ["5:1 error unknown-key"]),
        ("defaults: {max_token: 3}\n", "# user\nHi\n", ["5:12 error unknown-key"]),
        ("", "# system\nHi\n", ["1:1 error missing-section"]),
        ("", "Hi\n", ["6:1 error missing-section"]),
        ("", "# user\n# assistant\nHi\n", ["6:1 error empty-section"]),
        ("", "# user\nHi\n# system\nHi\n", ["8:1 error system-not-first"]),
        (VARIABLES, "# system\nTo {{ who }}.\n" + USES, ["8:7 error user-text-in-system"]),
        (VARIABLES, "# system\n{% if who %}To{% endif %} {% set x = site %}{{ x }}\n" + USES,
         ["8:7 error user-text-in-system", "8:38 error user-text-in-system"]),
        (VARIABLES, "# system\n{{ days }} days.\n" + USES, []),
        (VARIABLES + "trusted: [site]\n", "# system\nOn {{ site }}.\n" + USES, []),
        (VARIABLES + "trusted: [gone]\n", USES, ["6:1 error bad-value"]),
        ("output: {type: strnig}\n", "# user\nHi\n", ["5:1 error bad-schema"]),
        ("output: {pattern: x}\n", "# user\nHi\n", ["5:1 error bad-schema"]),
        ("defaults: {model: gpt-9}\n", "# user\nHi\n", ["5:19 error unknown-model"]),
        ("defaults: {max_tokens: 8192}\n", "# user\nHi\n", ["5:12 error token-budget"]),
        ("defaults: {max_tokens: 8191}\n", "# user\nHi\n", []),
        ("", '# user\n{% include "shared/x.md" %}\nHi\n', ["7:13 error broken-include"]),
        ("", "# user\n{{ 1 * 2 }}\n", ["7:1 error not-allowed"]),
        ("", "# user\n{{ 'a' | centre }}\n", ["7:10 error not-allowed"]),
        ("", "# user\nHi {% if %}\n", ["7:4 error bad-template"]),
        ("", "# user\nHi \u202etxet\n", ["7:4 warning hidden-characters"]),
        ("examples: {count: 1}\n", "# user\nHi\n", ["5:1 error broken-examples"]),
        ("", "# user\n{% for n in range(1000000000) %}x{% endfor %}\n", ["7:13 error cannot-render"]),
        ("", "# user\nHi\n{% for n in range(1, 60000 + 60000) %}x{% endfor %}\n", ["8:13 error cannot-render"]),
        ("", "# user\n{% for n in range(1, 9, 0) %}x{% endfor %}\n", ["7:13 error cannot-render"]),
        ("", "# user\n{% for n in range(-(-3), 100000) %}{% endfor %}x\n", []),
        ("", "# user\nHi\n{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}"
         "x{% endfor %}{% endfor %}{% endfor %}\n", ["8:1 error cannot-render"]),
        ("variables: {who: list}\n", "# user\nHi{% for w in who %}\n{% for a in range(99999) %}{% for b in range(9) %}"
         "x{% endfor %}{% endfor %}{% endfor %}\n", ["9:1 error cannot-render"]),
        ("variables: {who: str}\n", "# user\n{{ who + 1 }}\n", ["8:1 error cannot-render"]),
        ("variables: {who: list}\n", "# user\n{{ who[0].score + 1 }} {{ who[1].name | upper }}\n",
         ["8:1 warning cannot-render"]),
        ("variables: {who: list}\n", "# user\n{{ who[0].score + 1 }} {{ who[1].number }}\n", []),
        ("variables: {who: list, n: int}\n",
         "# user\n{% for w in who %}{{ w.a.b | fence }}{{ w }}{% if w.n > n %}{% endif %}{% endfor %}{{ n }}\n", []),
        ("name: [\n", "# user\nHi {{ x }}\n", ["6:1 error bad-yaml"]),
    ],
)  # fmt: skip
def test_finds_what_is_wrong_with_its_line_and_column(tmp_path: Path, keys: str, body: str, found: list[str]) -> None:
    text = prompt_text(keys=keys, body=body)
    assert [line.removeprefix("greet.md:") for line in _shown(tmp_path, {"greet.md": text})] == found


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (example_rows(("q", {"answer": "a"})), []),
        (example_rows(("q", {"answer": 1})), ["greet/examples.jsonl:1:30 error example-output"]),
        (example_rows(("q", "plain")), ["greet/examples.jsonl:1:30 error example-output"]),
        ('{"input": {}, "output": {"answer": "a"}}\n', ["greet/examples.jsonl:1:2 error example-input"]),
        ("{\n", ["greet/examples.jsonl:1:1 error broken-examples"]),
    ],
)
def test_finds_examples_that_break_the_schema_or_the_prompt(tmp_path: Path, row: str, found: list[str]) -> None:
    keys = "variables: {question: str}\noutput: {properties: {answer: {type: string}}, type: object}\n"
    files = {"greet/prompt.md": prompt_text(keys=keys, body="# user\n{{ question }}\n"), "greet/examples.jsonl": row}
    assert _shown(tmp_path, files) == found


def test_one_run_finds_everything_in_every_file(tmp_path: Path) -> None:
    files = {
        "one.md": "no front matter at all",
        "two.md": prompt_text("three", keys="colour: red\nvariables: {a: str}\n", body="# user\n{{ b }}\n"),
        "three.md": prompt_text("three", body='# user\n{% include "shared/tone.md" %}\n'),
        "four/prompt.md": prompt_text("four"),
        "four.md": prompt_text("four"),
        "shared/tone.md": "One\n{{ typo }}\n",
        "shared/left.md": "nobody",
        "README.md": "not a prompt",
        "notes/README.md": "not an include",
        "five/examples.jsonl": "{}",
    }
    library = write_library(tmp_path, files)
    (library / "six.md").write_bytes(b"---\n\xff")
    (library / "seven.md").symlink_to(tmp_path / "nowhere.md")
    assert _shown(tmp_path, files) == [
        "five/examples.jsonl:1:1 warning unused-examples",
        "four.md:1:1 error given-twice",
        "one.md:1:1 error no-front-matter",
        "seven.md:1:1 error unreadable",
        "shared/left.md:1:1 warning unused-include",
        "shared/tone.md:2:4 error undeclared-variable",
        "six.md:1:1 error unreadable",
        "two.md:5:1 error unknown-key",
        "two.md:9:4 error undeclared-variable",
    ]


def test_an_include_that_two_prompts_share_is_found_wrong_once_and_used(tmp_path: Path) -> None:
    body = '# user\n{% include "shared/tone.md" %}\n'
    files = {name + ".md": prompt_text(name, body=body) for name in ("one", "two")} | {"shared/tone.md": "{{ typo }}"}
    assert _shown(tmp_path, files) == ["shared/tone.md:1:4 error undeclared-variable"]


def test_a_name_limits_the_run_and_an_unknown_one_is_not_found(tmp_path: Path) -> None:
    files = {"one.md": prompt_text("one"), "two.md": "broken"}
    assert _lint(tmp_path, files, "one").problems == []
    assert _lint(tmp_path, files, "two").errors == 1
    assert _lint(tmp_path, {}, "answer").problems == []
    with pytest.raises(NotFound, match="gone"):
        _lint(tmp_path, {}, "gone")


def test_the_shipped_prompts_have_no_findings(tmp_path: Path) -> None:
    assert lint_project(settings_in(tmp_path), ["answer", "condense"]).problems == []


def test_tokens_that_cannot_be_counted_here_are_not_guessed(tmp_path: Path) -> None:
    findings = _lint(tmp_path, {"greet.md": prompt_text(body="# user\n" + "many words " * 9_000)})
    assert findings.problems == []
    assert "smollm2-135m-instruct is not on this machine" in findings.notes[0]
    assert len(findings.notes) == 1


@pytest.mark.models
def test_the_budget_is_counted_by_the_models_own_tokenizer(tmp_path: Path, models_path: Path) -> None:
    settings = settings_in(tmp_path).model_copy(update={"models_dir": models_path})
    fits, not_ = (prompt_text(body="# user\n" + "many words " * count) for count in (3_900, 4_200))
    assert lint_files(settings, "greet", "greet.md", TextFiles({"greet.md": fits}, "r")).problems == []
    found = lint_files(settings, "greet", "greet.md", TextFiles({"greet.md": not_}, "r")).problems
    assert [(problem.rule, "the fixed text and the examples take 84" in problem.message) for problem in found] == [
        ("token-budget", True)
    ]


def test_a_template_made_to_run_long_is_tried_for_a_second_only(tmp_path: Path) -> None:
    keys = "variables: {who: str}\n"
    work = (
        "{% set a = 'x' %}" + "{% set a = a + a %}" * 17 + "{% for n in range(9999) %}{{ '' if a + who }}{% endfor %}"
    )
    body = "# user\n" + work * 3 + "Hi {{ who }}\n"
    start = time.perf_counter()
    _lint(tmp_path, {"greet.md": prompt_text(keys=keys, body=body)})
    assert time.perf_counter() - start < 4


def test_loading_refuses_a_range_beyond_the_limit_and_renders_nothing(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": prompt_text(body="# user\n{% for n in range(1000000000) %}x{% endfor %}\n")})
    with pytest.raises(UserError, match=r"greet\.md:7: range of more than 100000 numbers"):
        find_prompt(tmp_path, "greet")


def test_every_rule_that_is_found_is_listed(tmp_path: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "prompts"
    text = "".join(file.read_text() for file in source.glob("*.py") if file.name != "lint.py")
    for rule in RULES:
        assert f'"{rule}"' in text + (source / "lint.py").read_text().split("_UNTRUSTED", 1)[1]


def test_a_library_of_many_prompts_is_checked_in_seconds(tmp_path: Path) -> None:
    body = "# system\nBe brief.\n# user\n{% for a in b %}{{ a }}{% endfor %}\n"
    files = {f"p{n}.md": prompt_text(f"p{n}", keys="variables: {b: list}\n", body=body) for n in range(100)}
    start = time.perf_counter()
    assert _lint(tmp_path, files).problems == []
    assert time.perf_counter() - start < 5


def test_a_finding_is_named_from_the_folder_it_lies_in() -> None:
    assert relative(Problem("r", "m", "/a/b/c.md", 1), Path("/a")).file == "b/c.md"
    assert relative(Problem("r", "m", "/a/b/c.md", 1), Path("/x")).file == "/a/b/c.md"
