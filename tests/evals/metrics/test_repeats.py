from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from evals.aggregate import aggregate, scored_cases
from evals.comparing.compare import MetricComparison, Side, compare_rows
from evals.comparing.plan import GateBound, plan_gate
from evals.evidence import Evidence, Found
from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import NO_TOOLS, measure_all
from evals.metrics.repeats import measured_metrics, score_of_repeats
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.rules.definitions import SuiteRule
from evals.rules.suite_rule import judge_suite
from evals.runs.row import Row
from evals.suite import Suite, SuiteDefinition
from evals.verdict import Finding, GateContext
from lockgate.types import Answer
from tests.evals.compared import row
from tests.evals.memory import MANIFEST, OLD, MemoryRecords, make_row, make_suite
from tests.evals.outcomes import answered

PASS3 = resolve_metric("pass^3:goal_reached")
NAMES = ("goal_reached", "pass^3:goal_reached")


def repeated(passes: Mapping[str, str], **changes: Any) -> list[Row]:
    """Rows by case: "110" passed twice and failed once."""
    return [
        row(case, {"goal_reached": float(each)}, repeat=number, **changes)
        for case, marks in passes.items()
        for number, each in enumerate(marks)
    ]


def pass_score(*scores: Score) -> Score:
    return score_of_repeats(PASS3, scores, len(scores))


def test_is_the_chance_that_k_repeats_drawn_from_those_made_all_pass() -> None:
    for n in range(3, 8):
        for marks in itertools.product([0.0, 1.0], repeat=n):
            drawn = list(itertools.combinations(marks, 3))
            expected = sum(all(each) for each in drawn) / len(drawn)
            assert pass_score(*marks) == pytest.approx(expected)


def test_is_unbiased_where_the_share_of_passes_to_the_power_of_k_is_not() -> None:
    p, n = 0.7, 5
    chances = {c: math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)}
    scores = {c: score_of_repeats(PASS3, [1.0] * c + [0.0] * (n - c), n) for c in range(n + 1)}
    assert sum(chance * float(str(scores[c])) for c, chance in chances.items()) == pytest.approx(p**3)
    assert abs(sum(chance * (c / n) ** 3 for c, chance in chances.items()) - p**3) > 0.05


def test_one_failure_of_three_fails_the_case_although_the_mean_is_two_thirds() -> None:
    rows = repeated({"a": "111", "b": "110", "c": "000"})
    assert [each.score for each in scored_cases(PASS3, rows)] == [1.0, 0.0, 0.0]
    total = aggregate(PASS3, scored_cases(PASS3, rows))
    assert (total.metric, total.n, total.method) == ("pass^3:goal_reached", 3, "mid-P")
    assert total.value == pytest.approx(1 / 3)
    mean = aggregate(resolve_metric("goal_reached"), scored_cases(resolve_metric("goal_reached"), rows))
    assert mean.value == pytest.approx(5 / 9)


def test_where_lower_is_better_passing_is_the_lower_end() -> None:
    metric = resolve_metric("pass^2:injection_obeyed")
    assert (metric.direction, metric.worst) == ("higher", 0.0)
    assert score_of_repeats(metric, [0.0, 0.0], 2) == 1.0
    assert score_of_repeats(metric, [0.0, 1.0], 2) == 0.0
    assert score_of_repeats(metric, [1.0, 1.0], 2) == 0.0


@pytest.mark.parametrize(
    ("scores", "due", "reason"),
    [
        ((1.0, 1.0, 1.0, Unscored("gone")), 4, "1 of 4 repeats are unscored: gone"),
        ((1.0, 1.0, 1.0), 4, "1 of 4 repeats are missing"),
        ((1.0, 1.0), 2, "pass\\^3 needs 3 repeats of a case, and there are 2"),
        ((1.0,), 1, "there is 1"),
        ((1.0, 1.0, 1.0, NotApplicable("abstained")), 4, "applies to 3 of 4 repeats only"),
    ],
)
def test_a_repeat_without_a_score_never_helps(scores: Sequence[Score], due: int, reason: str) -> None:
    found = score_of_repeats(PASS3, scores, due)
    assert isinstance(found, Unscored)
    assert re.search(reason, found.reason)


def test_speaks_of_no_case_that_its_base_does_not_speak_of() -> None:
    assert pass_score(*[NotApplicable("no goal")] * 3) == NotApplicable("no goal")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pass^1:goal_reached", "the k of pass"),
        ("pass^0:goal_reached", "the k of pass"),
        ("pass^101:goal_reached", "the k of pass"),
        ("pass^999999999:goal_reached", "was expected"),
        ("pass^-3:goal_reached", "was expected"),
        ("pass^3", "was expected"),
        ("pass^3:", "the name of a metric was expected"),
        ("pass^3:nothing", "unknown metric"),
        ("pass^3:token_f1", "token_f1 is none"),
        ("pass^3:pass^2:goal_reached", "is none"),
        ("pass^3:goal_reached@5", "takes no parameters"),
        ("pass^\u0663:goal_reached", "was expected"),
    ],
)
def test_says_what_is_wrong_with_a_name(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        resolve_metric(name)


def test_has_one_name_however_it_is_written() -> None:
    assert resolve_metric("pass^03:goal_reached").name == "pass^3:goal_reached"
    assert resolve_metric({"metric": "pass^3:goal_reached"}) == PASS3
    assert resolve_metric(PASS3.name) == PASS3


def suite_of(metrics: list[Any], repeats: int) -> SuiteDefinition:
    body = {"name": "a", "version": 1, "corpus": "docs", "metrics": metrics, "repeats": repeats}
    return SuiteDefinition.model_validate(body)


def test_a_suite_repeats_its_cases_at_least_k_times() -> None:
    assert suite_of(["pass^3:goal_reached"], 3).metrics == ("pass^3:goal_reached",)
    with pytest.raises(ValueError, match=r"pass\^3:goal_reached needs each case asked 3 times, and it is 2"):
        suite_of(["pass^3:goal_reached"], 2)
    with pytest.raises(ValueError, match="is given twice"):
        suite_of(["pass^3:goal_reached", {"metric": "pass^03:goal_reached"}], 3)


async def test_what_it_is_made_of_is_measured_once_and_kept_in_the_row() -> None:
    metrics = [resolve_metric(name) for name in (*NAMES, "pass^2:goal_reached")]
    (base,) = measured_metrics(metrics)
    assert base.name == "goal_reached"
    assert measured_metrics([PASS3]) == (base,)
    scores = await measure_all([PASS3], answered("x"), NO_TOOLS)
    assert scores == {PASS3.name: Unscored("pass^3:goal_reached is of all repeats of a case, not of one answer")}


def compared(old: list[Row], new: list[Row], **options: Any) -> MetricComparison:
    sides = Side("a", "a" * 64), Side("b", "b" * 64)
    return compare_rows(old, new, [PASS3], sides=sides, suite=("s", "1", "h"), **options).metrics[0]


def test_two_runs_are_compared_by_it_case_by_case() -> None:
    old = repeated({f"c{n}": "111" for n in range(20)})
    new = repeated({f"c{n}": "110" if n < 4 else "111" for n in range(20)}, answer="other")
    found = compared(old, new, margins={PASS3.name: 0.1})
    assert found.difference.value == pytest.approx(-0.2)
    assert found.mcnemar is not None
    assert (found.mcnemar.worse, found.mcnemar.better) == (4, 0)
    assert [each.case for each in found.worse] == ["c3", "c2", "c1", "c0"]
    assert found.decision is not None and found.decision.verdict != "PASS"


def test_with_more_repeats_than_k_there_is_no_yes_or_no_to_count() -> None:
    old = repeated({f"c{n}": "1111" for n in range(20)})
    new = repeated({f"c{n}": "1110" for n in range(20)}, answer="other")
    found = compared(old, new)
    assert found.mcnemar is None
    assert found.difference.value == pytest.approx(-0.75)


def test_an_unscored_repeat_is_no_passed_one_when_runs_are_compared() -> None:
    old = repeated({f"c{n}": "1111" for n in range(20)})
    lost = row("c0", {}, repeat=3, unscored={"goal_reached": "timed out"})
    found = compared(old, [lost if (each.case, each.repeat) == ("c0", 3) else each for each in old])
    assert (found.difference.n, found.difference.dropped) == (19, 1)


def test_a_gate_on_it_is_planned_from_the_rows() -> None:
    rows = repeated({f"c{n}": "111" if n % 4 else "110" for n in range(60)})
    plan = plan_gate([GateBound(PASS3.name, "floor", 0.5), GateBound(PASS3.name, "drop", 0.2)], 60, rows)
    floor, drop = plan.assumed
    assert "mean 0.75" in floor.source
    assert "60 cases of one run" in drop.source


class Repeats(MemoryRecords):
    """Evidence of a suite that asks each case three times."""

    def find(self, release: str, suite: Suite) -> Found:
        found = super().find(release, suite).evidence
        if found is None:
            return Found(None)
        return Found(Evidence(found.id, found.body.model_copy(update={"repeats": 3}), found.fingerprint, found.own))


RULE = {"rule": "suite", "suite": "random", "min_n": 2}
ANSWERED = "pass^3:abstention_accuracy"


async def judged(rule: Mapping[str, Any], new: Sequence[Row], old: Sequence[Row] | None = None) -> Finding:
    plain = make_suite(60)
    repeated_suite = plain.definition.model_copy(update={"metrics": (ANSWERED,), "repeats": 3})
    suite = dataclasses.replace(plain, definition=repeated_suite)

    async def ask(_question: str) -> Answer:
        raise AssertionError("nothing is asked")

    records = Repeats(suite, {MANIFEST.id: new} if old is None else {MANIFEST.id: new, OLD: old})
    context = GateContext(
        MANIFEST.id,
        MANIFEST,
        list,
        ask,
        list,
        records=records,
        current=None if old is None else OLD,
        now=datetime(2026, 1, 2, tzinfo=UTC),
    )
    return await judge_suite(SuiteRule.model_validate({**RULE, **rule}), context, lambda *_: None)


def gated(failing: int, release: str = MANIFEST.id, output: str = "x") -> list[Row]:
    """Three repeats of each of 60 cases; of the first ``failing`` cases, one repeat fails."""
    return [
        dataclasses.replace(made, repeat=repeat)
        for number, case in enumerate(make_suite(60).cases)
        for repeat in range(3)
        for made in [
            make_row(case, {"abstention_accuracy": float(not (number < failing and repeat == 1))}, release, output)
        ]
    ]


async def test_a_floor_counts_cases_that_pass_every_time() -> None:
    floor = {"floors": {ANSWERED: 0.8}}
    assert (await judged(floor, gated(0))).verdict == "PASS"
    bad = await judged(floor, gated(30))  # the mean over all repeats is 0.83
    assert bad.verdict == "FAIL"
    assert ANSWERED in bad.reason


async def test_a_drop_is_one_in_cases_that_pass_every_time() -> None:
    drop = {"max_drop": {ANSWERED: 0.15}}
    assert (await judged(drop, gated(0), gated(0, OLD))).verdict == "PASS"
    assert (await judged(drop, gated(30, output="y"), gated(0, OLD))).verdict == "FAIL"


async def test_no_lost_repeat_makes_a_verdict_better() -> None:
    floor = {"floors": {ANSWERED: 0.8}}
    rows = gated(30)
    failed = [each for each in rows if each.scores["abstention_accuracy"] == 0.0]
    kept = [each for each in rows if each not in failed]
    assert (await judged(floor, kept)).verdict != "PASS"
    one_lost = gated(0)[1:]
    assert (await judged(floor, one_lost)).verdict != "PASS"
