from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evals.gate import SHIPPED
from evals.gate_commands import gate
from evals.judge.identity import JudgeIdentity
from evals.judge.metrics import JUDGED_METRICS
from evals.rules.definitions import SuiteRule
from evals.runs.row import Row
from evals.suite import Suite
from evals.verdict import Finding
from lockgate.errors import NotFound
from tests.evals.gated import GATE, GatedProject, ReadingGenerator, open_gated
from tests.evals.memory import MANIFEST, OLD, judged, make_row, make_suite

PERFECT = {"mrr": 1.0, "abstention_accuracy": 1.0, "abstention_balanced": 1.0, "injection_obeyed": 0.0}


def rule(**keys: Any) -> SuiteRule:
    return SuiteRule.model_validate({"rule": "suite", "suite": "random", "floors": {"mrr": 0.5}, **keys})


def rows(suite: Suite, release: str = MANIFEST.id, scores: Mapping[str, float] = PERFECT) -> list[Row]:
    return [make_row(case, scores, release, release[:3]) for case in suite.cases]


def check(found: Finding, name: str) -> dict[str, Any]:
    return next(dict(each) for each in found.details["checks"] if each["check"] == name)


async def test_too_few_cases_say_how_many_more(tmp_path: Path) -> None:
    suite = make_suite(8)
    found = await judged(rule(min_n=40), suite, rows(suite), None)
    assert found.verdict == "INCONCLUSIVE"
    assert check(found, "mrr cases")["resolve"] == "34 more cases."
    assert "34 more cases." in found.hint
    assert not list(tmp_path.iterdir())


async def test_an_empty_channel_leaves_out_the_comparison_if_there_are_floors() -> None:
    suite = make_suite(60)
    found = await judged(rule(max_drop={"mrr": 0.15}), suite, rows(suite), None)
    assert found.verdict == "PASS"
    assert "no release to compare with" in check(found, "max_drop")["reason"]
    found = await judged(rule(floors={}, max_drop={"mrr": 0.15}), suite, rows(suite), None)
    assert (found.verdict, check(found, "max_drop")["resolve"]) == ("INCONCLUSIVE", "Give the rule floors.")


async def test_a_release_in_the_channel_without_evidence_cannot_be_compared_with() -> None:
    suite = make_suite(60)
    found = await judged(rule(max_drop={"mrr": 0.15}), suite, rows(suite), [])
    assert found.verdict == "INCONCLUSIVE"
    assert "45 of 60" not in found.reason
    assert "60 rows of the release now in the channel, 000000000000, are missing." in found.reason


async def test_a_margin_is_on_the_bound_and_not_on_the_mean() -> None:
    suite = make_suite(60)
    new = [
        dataclasses.replace(row, scores={**row.scores, "mrr": 0.0}) if number % 20 == 1 else row
        for number, row in enumerate(rows(suite))
    ]
    mean_drop = 3 / 45
    found = await judged(rule(max_drop={"mrr": 0.1}), suite, new, rows(suite, OLD))
    drop = check(found, "mrr drop")
    assert drop["figures"]["value"] == pytest.approx(-mean_drop)
    assert drop["verdict"] == "INCONCLUSIVE"
    assert (await judged(rule(max_drop={"mrr": 0.3}), suite, new, rows(suite, OLD))).verdict == "PASS"


@pytest.mark.parametrize(("days", "verdict"), [(1, "PASS"), (29, "PASS"), (31, "INCONCLUSIVE"), (-3, "INCONCLUSIVE")])
async def test_evidence_ages(days: int, verdict: str) -> None:
    suite = make_suite(60)
    now = datetime.fromtimestamp(datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 86_400 * days, UTC)
    found = await judged(rule(max_age_days=30), suite, rows(suite), None, now=now)
    assert found.verdict == verdict


@pytest.mark.parametrize("mode", ["extractive", "mixed"])
async def test_a_run_in_another_mode_than_the_releases_does_not_count(mode: str) -> None:
    suite = make_suite(60)
    found = await judged(rule(), suite, rows(suite), None, mode=mode)
    assert found.verdict == "INCONCLUSIVE"
    assert f"asked in mode {mode}, and the release answers in mode generative" in found.reason


async def test_a_metric_that_the_suite_does_not_measure_is_inconclusive() -> None:
    suite = make_suite(60)
    found = await judged(rule(floors={"mrr": 0.1, "rouge_l": 0.1}), suite, rows(suite), None)
    assert (found.verdict, found.reason) == ("INCONCLUSIVE", "The suite random does not measure rouge_l.")


@pytest.mark.parametrize("part", [{"colour": {"red": {"mrr": 0.1}}}, {"kind": {"maybe": {"mrr": 0.1}}}])
async def test_a_slice_that_no_case_is_in_is_inconclusive(part: dict[str, Any]) -> None:
    suite = make_suite(60)
    found = await judged(rule(slices=part), suite, rows(suite), None)
    assert found.verdict == "INCONCLUSIVE"
    assert "No case of the suite is in the slice" in found.reason


async def test_a_slice_fails_while_the_whole_looks_good() -> None:
    suite = make_suite(400)
    new = [
        row if row.answerable else dataclasses.replace(row, scores={**row.scores, "abstention_accuracy": 0.0})
        for row in rows(suite)
    ]
    floors = {"abstention_accuracy": 0.6}
    assert (await judged(rule(floors=floors), suite, new, None)).verdict == "PASS"
    found = await judged(rule(floors=floors, slices={"kind": {"no": {"abstention_accuracy": 0.5}}}), suite, new, None)
    assert found.verdict == "FAIL"
    assert found.reason.startswith("In kind no: abstention_accuracy")


async def test_balanced_metrics_need_both_halves() -> None:
    suite = make_suite(60)
    answerable = dataclasses.replace(suite, cases=tuple(case for case in suite.cases if case.answerable))
    floors = {"abstention_balanced": 0.6}
    found = await judged(rule(floors=floors), answerable, rows(answerable), None)
    assert found.verdict == "INCONCLUSIVE"
    assert "one kind is missing" in found.reason
    assert (await judged(rule(floors=floors), suite, rows(suite), None)).verdict == "PASS"


def identity(model: str = "big", prompt: str = "1") -> JudgeIdentity:
    hashes = dict.fromkeys(JUDGED_METRICS["faithfulness"].prompts, prompt)
    return JudgeIdentity(model, "localhost/v1", {**hashes, "judge-preference": "x"}, {"temperature": 0})


@pytest.mark.parametrize(
    ("new", "old", "verdict", "why"),
    [
        (identity(), identity(), "PASS", ""),
        (None, identity(), "INCONCLUSIVE", "not calibrated"),
        (identity("small"), identity(), "INCONCLUSIVE", "not calibrated"),
        (identity(prompt="edited"), identity(), "INCONCLUSIVE", "not scored by the same judge"),
        (identity(), identity("small"), "INCONCLUSIVE", "not scored by the same judge"),
        (identity(), None, "INCONCLUSIVE", "not scored by the same judge"),
    ],
)
async def test_a_judge_counts_while_it_is_calibrated_and_the_same_for_both(
    new: JudgeIdentity | None, old: JudgeIdentity | None, verdict: str, why: str
) -> None:
    suite = make_suite(60, metrics=("faithfulness",))
    scores = {"faithfulness": 1.0}
    judges = {release: judge.as_json() for release, judge in ((MANIFEST.id, new), (OLD, old)) if judge}
    found = await judged(
        rule(floors={"faithfulness": 0.6}, max_drop={"faithfulness": 0.15}),
        suite,
        rows(suite, scores=scores),
        rows(suite, OLD, scores),
        judges=judges,
        votes={"faithfulness": identity().id},
    )
    assert found.verdict == verdict
    assert why in " ".join(each["reason"] for each in found.details["checks"])


async def test_a_judge_of_another_protocol_has_no_vote() -> None:
    suite = make_suite(60, metrics=("faithfulness",))
    judges = {MANIFEST.id: {**identity().as_json(), "protocol": 0}}
    found = await judged(
        rule(floors={"faithfulness": 0.6}),
        suite,
        rows(suite, scores={"faithfulness": 1.0}),
        None,
        judges=judges,
        votes={"faithfulness": identity().id},
    )
    assert found.verdict == "INCONCLUSIVE"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatedProject]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lockgate.models.generator.load_generator", lambda _settings, _entry: ReadingGenerator())
        with open_gated(tmp_path_factory.mktemp("gate")) as opened:
            yield opened


@pytest.fixture
def call(project: GatedProject) -> Any:
    app = typer.Typer()
    app.command()(gate)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, arguments, obj=project.settings)


def test_the_gate_command_exits_with_the_verdict_and_needs_no_index(project: GatedProject, call: Any) -> None:
    project.write_text("evals/gates/production.yaml", GATE)
    release = project.build()
    nothing = call(release, "production")
    assert nothing.exit_code == 3
    assert f"Run: lockgate evals run services --release {release[:12]}" in " ".join(
        json.loads(call(release, "production", "--json").stdout)["rules"][0]["hint"].split()
    )
    project.measure(release)
    passed = call(release, "production")
    assert passed.exit_code == 0
    assert passed.stdout.startswith(f"PASS  gate of production, release {release[:12]}")
    project.write_text("evals/gates/production.yaml", GATE.replace("recall@5: 0.8", "recall@5: 0.99"))
    assert call(release, "production").exit_code == 3
    leaky = GATE.replace("zero_tolerance: [injection_obeyed]", "zero_tolerance: [token_f1]")
    project.write_text("evals/gates/production.yaml", leaky)
    failed = call(release, "production", "--json")
    assert (failed.exit_code, json.loads(failed.stdout)["verdict"]) == (1, "FAIL")


def test_the_same_inputs_give_a_byte_identical_decision(project: GatedProject, call: Any) -> None:
    project.write_text("evals/gates/production.yaml", GATE)
    release = project.build()
    project.measure(release)
    first, second = call(release, "production", "--json"), call(release, "production", "--json")
    assert first.stdout == second.stdout
    assert "seconds" not in first.stdout


def test_without_the_rule_verify_nothing_passes(project: GatedProject, call: Any) -> None:
    project.write_text("evals/gates/production.yaml", GATE.replace("rules:\n", "rules:\n  - rule: verify\n"))
    release = project.build()
    project.measure(release)
    left_out = call(release[:12], "production", "--no-verify")
    assert left_out.exit_code == 3
    assert "It was left out on request." in left_out.stdout


def test_the_chain_of_the_release_must_be_the_one_named(project: GatedProject, call: Any) -> None:
    release = project.build()
    assert "is of chain 'docs', not 'other'" in str(call(release, "production", "--chain", "other").exception)
    assert isinstance(call("f" * 64, "production").exception, NotFound)


def test_the_shipped_production_gate_refuses_a_suite_of_few_cases(project: GatedProject, call: Any) -> None:
    shipped = (SHIPPED / "production.yaml").read_text().replace("suite: docs-smoke", "suite: services")
    project.write_text("evals/gates/production.yaml", shipped.replace("      token_recall: 0.2\n", ""))
    project.write_suite([json.loads(line) for line in _first_cases(project, 5)])
    release = project.build()
    project.measure(release)
    refused = call(release, "production", "--no-verify")
    project.write_suite()
    assert refused.exit_code == 3
    assert "recall@5: 5 scored cases are too few, 40 are needed." in refused.stdout


def _first_cases(project: GatedProject, count: int) -> list[str]:
    return (project.folder / "evals/suites/services/cases.jsonl").read_text().splitlines()[:count]
