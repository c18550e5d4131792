from __future__ import annotations

import math
from pathlib import Path

import pytest

from lockgate.errors import UserError
from lockgate.scope import KnownMetrics, Target, check_scope, lint_scope, load_scope

KNOWN: KnownMetrics = {
    "quality": {"token_f1": (0.0, 1.0)},
    "latency": {"answer_seconds_p95": (0.0, math.inf)},
    "cost": {},
    "business": {"thumbs_up_share": (0.0, 1.0)},
}

GOOD = """\
owner: Docs team
users:
  - readers
in_scope:
  - How do I start?
data:
  allowed: [public pages]
targets:
  - name: good answers
    kind: quality
    metric: token_f1
    suite: starter
    at_least: 0.5
  - name: in time
    kind: latency
    metric: answer_seconds_p95
    at_most: 3
    unit: s
"""


def write(folder: Path, text: str) -> Path:
    (folder / "scope.yaml").write_text(text, encoding="utf-8")
    return folder


def targets(*lines: str) -> str:
    return "owner: me\nusers: [all]\ntargets:\n" + "".join(f"{line}\n" for line in lines)


def problems(folder: Path, text: str) -> list[str]:
    found = lint_scope(write(folder, text), KNOWN)
    assert found is not None
    return [str(each).removeprefix(f"{folder / 'scope.yaml'}:") for each in found]


def test_a_project_without_the_file_has_no_scope(tmp_path: Path) -> None:
    assert load_scope(tmp_path) is None
    assert lint_scope(tmp_path, KNOWN) is None


def test_reads_everything_that_the_file_says(tmp_path: Path) -> None:
    scope = load_scope(write(tmp_path, GOOD))
    assert scope is not None
    assert (scope.file.owner, scope.file.users, scope.file.data.allowed) == (
        "Docs team",
        ("readers",),
        ("public pages",),
    )
    assert [target.bound for target in scope.targets] == ["at least 0.5", "at most 3 s"]
    assert check_scope(scope, KNOWN) == []


@pytest.mark.parametrize(
    ("target", "measured", "met"),
    [
        ({"at_least": 0.5}, 0.5, True),
        ({"at_least": 0.5}, 0.4999, False),
        ({"at_most": 0}, 0.0, True),
        ({"at_most": 0}, 0.1, False),
    ],
)
def test_a_bound_is_met_at_the_bound_itself(target: dict[str, float], measured: float, met: bool) -> None:
    made = Target.model_validate({"name": "t", "kind": "quality", "metric": "m", **target})
    assert made.is_met(measured) is met


BROKEN = [
    (targets("  - {name: a, kind: quality, at_least: 1}"), "4: key 'targets.0.metric' is missing."),
    (targets("  - name: a", "    kind: quality", "    metric:", "    at_least: 1"), "6: key 'targets.0.metric'"),
    (targets("  - {name: a, kind: quality, metric: '', at_least: 1}"), "4: key 'targets.0.metric'"),
    (targets("  - {name: a, kind: quality, metric: token_f1}"), "4: key 'targets.0': a target needs exactly one of"),
    (
        targets("  - {name: a, kind: quality, metric: token_f1, at_least: 0, at_most: 1}"),
        "4: key 'targets.0': a target needs exactly one of at_least and at_most",
    ),
    (targets("  - {name: a, kind: quality, metric: token_f1, at_least: .nan}"), "4: key 'targets.0.at_least'"),
    (targets("  - {name: a, kind: quality, metric: token_f1, at_least: .inf}"), "4: key 'targets.0.at_least'"),
    (targets("  - {name: a, kind: quality, metric: token_f1, at_least: '0.5'}"), "4: key 'targets.0.at_least'"),
    (targets("  - {name: a, kind: quality, metric: token_f1, at_least: yes}"), "4: key 'targets.0.at_least'"),
    (targets("  - {name: a, kind: speed, metric: token_f1, at_least: 1}"), "4: key 'targets.0.kind'"),
    (targets("  - {name: a, kind: latency, suite: s, metric: answer_seconds_p95, at_most: 1}"), "4: key 'targets.0'"),
    ("owner: me\nusers: []\n", "2: key 'users'"),
    ("owner: me\nusers: ['  ']\n", "2: key 'users.0'"),
    ("owner: me\n", "1: key 'users' is missing."),
    ("owner: me\nusers: [all]\nuser: [x]\n", "3: unknown key 'user'."),
    ("owner: me\nusers: [all\n", "3: not valid YAML"),
    ("- owner\n", "1: a mapping of keys to values was expected"),
    ("", "1: key 'owner' is missing."),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_what_cannot_be_loaded_is_named_with_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_scope(write(tmp_path, text))
    line, _, rest = message.partition(": ")
    assert f"{tmp_path / 'scope.yaml'}:{line}:" in caught.value.message
    assert rest in caught.value.message
    assert any(each.startswith(message) for each in problems(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            targets("  - name: a", "    kind: quality", "    metric: tokenf1", "    at_least: 1"),
            ["6: key 'targets.0.metric': unknown metric 'tokenf1'. Metrics of kind quality: token_f1."],
        ),
        (
            targets("  - {name: a, kind: cost, metric: token_f1, at_least: 1}"),
            ["4: key 'targets.0.metric': 'token_f1' is a metric of kind quality, not cost."],
        ),
        (
            targets("  - {name: a, kind: cost, metric: cost_per_answer, at_most: 1}"),
            ["4: key 'targets.0.metric': unknown metric 'cost_per_answer'. Metrics of kind cost: none."],
        ),
        (
            targets("  - name: a", "    kind: quality", "    metric: token_f1", "    at_least: 80"),
            ["7: key 'targets.0.at_least': token_f1 lies between 0 and 1, got 80."],
        ),
        (
            targets(
                "  - {name: a, kind: quality, metric: token_f1, at_least: 1}",
                "  - {name: b, kind: quality, metric: token_f1, at_least: 1}",
                "  - {name: ' a ', kind: latency, metric: answer_seconds_p95, at_most: -1}",
            ),
            [
                "6: key 'targets.2.name': the name 'a' is used twice, first on line 4.",
                "6: key 'targets.2.at_most': answer_seconds_p95 lies between 0 and inf, got -1.",
            ],
        ),
    ],
)
def test_lint_finds_what_loading_lets_through(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert load_scope(write(tmp_path, text)) is not None
    assert problems(tmp_path, text) == expected


def test_lint_names_every_problem_of_a_file_that_does_not_load(tmp_path: Path) -> None:
    text = (
        "users: []\ntargets:\n  - {name: a, kind: quality, at_least: 1}\n  - {name: b, metric: token_f1, at_least: 1}\n"
    )
    assert [each.split(":")[0] for each in problems(tmp_path, text)] == ["1", "1", "3", "4"]


def test_a_file_that_is_no_text_is_a_problem_without_a_line(tmp_path: Path) -> None:
    (tmp_path / "scope.yaml").write_bytes(b"owner: \xff\n")
    found = lint_scope(tmp_path, KNOWN)
    assert found is not None
    assert [(each.line, each.message) for each in found] == [(0, "is not UTF-8 text (byte 7).")]
