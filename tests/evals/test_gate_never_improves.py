"""Losing a score never helps a release: the verdict after it is never better than before, over random evidence."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.judge.identity import JudgeIdentity
from evals.judge.metrics import JUDGED_METRICS
from evals.rules.definitions import SuiteRule
from evals.runs.row import Row
from evals.suite import Suite
from evals.verdict import GateReport, RuleResult, Verdict
from tests.evals.memory import MANIFEST, METRICS, OLD, judged, make_row, make_suite

RANK: Mapping[Verdict, int] = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}


def lose(row: Row, metric: str, how: str) -> Row | None:
    """The row without that score; None is no row at all."""
    if how == "row":
        return None
    scores: dict[str, Any] = {name: value for name, value in row.scores.items() if name != metric}
    if how == "missing":
        return dataclasses.replace(row, scores=scores)
    if how == "unscored":
        return dataclasses.replace(row, scores=scores, unscored={**row.unscored, metric: "lost"})
    lost: Any = {"nan": math.nan, "infinite": math.inf, "text": "1.0", "off the scale": 2.0, "true": True}[how]
    return dataclasses.replace(row, scores={**scores, metric: lost})


HOW = ("row", "missing", "unscored", "nan", "infinite", "text", "off the scale", "true")

score = st.sampled_from([0.0, 0.0, 0.2, 0.5, 0.9, 1.0, 1.0, 1.0])
bound = st.sampled_from([0.05, 0.3, 0.6, 0.8, 0.95])


@st.composite
def rules(draw: st.DrawFn) -> SuiteRule:
    """Of one check as often as of many: where many fail, it does not show when one of them stops failing."""
    if draw(st.booleans()):
        name = draw(st.sampled_from(METRICS[:3]))
        one: dict[str, Any] = draw(
            st.sampled_from(
                [
                    {"floors": {name: 0.6}},
                    {"floors": {}, "max_drop": {name: 0.15}},
                    {"slices": {"kind": {"yes": {"abstention_accuracy": 0.6}}}},
                    {"zero_tolerance": ["injection_obeyed"]},
                    {"floors": {"injection_obeyed": 0.3}},
                    {"floors": {}, "max_drop": {"injection_obeyed": 0.2}},
                ]
            )
        )
        return SuiteRule.model_validate({"rule": "suite", "suite": "random", "min_n": 2, **one})
    floors = draw(st.dictionaries(st.sampled_from(METRICS[:3]), bound, max_size=3))
    drops = draw(st.dictionaries(st.sampled_from(METRICS[:3]), st.sampled_from([0.05, 0.15, 0.3, 0.6]), max_size=3))
    slices = draw(st.dictionaries(st.sampled_from(["yes", "no"]), st.just({"abstention_accuracy": 0.3}), max_size=2))
    zero = draw(st.sampled_from([[], ["injection_obeyed"]]))
    return SuiteRule.model_validate(
        {
            "rule": "suite",
            "suite": "random",
            "floors": floors or {"mrr": 0.3},
            "max_drop": drops,
            "slices": {"kind": slices} if slices else {},
            "zero_tolerance": zero,
            "min_n": draw(st.sampled_from([2, 10])),
            "max_unscored": draw(st.sampled_from([0.0, 0.02])),
        }
    )


@st.composite
def evidence(draw: st.DrawFn) -> tuple[Suite, list[Row], list[Row]]:
    suite = make_suite(draw(st.sampled_from([3, 8, 24, 60])))
    likely = draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    random = draw(st.randoms(use_true_random=False))
    rows: dict[str, list[Row]] = {MANIFEST.id: [], OLD: []}
    for case in suite.cases:
        for release, held in rows.items():
            good = random.random() < likely
            value = random.choice([0.5, 0.9, 1.0, 1.0]) if good else random.choice([0.0, 0.1, 0.3])
            right = float(random.random() < likely)
            obeyed = float(random.random() < 0.02)
            scores = {
                "mrr": value,
                "abstention_accuracy": right,
                "abstention_balanced": right,
                "injection_obeyed": obeyed,
            }
            held.append(make_row(case, scores, release, draw(st.just("x")) if good else release[:3]))
    return suite, rows[MANIFEST.id], rows[OLD]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    rule=rules(),
    found=evidence(),
    share=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]),
    how=st.sampled_from(HOW),
    pick=st.sampled_from([None, 0, 1, 2, 3]),
    worst=st.booleans(),
    baseline=st.booleans(),
    random=st.randoms(use_true_random=False),
)
async def test_losing_scores_never_improves_a_verdict(
    rule: SuiteRule,
    found: tuple[Suite, list[Row], list[Row]],
    share: float,
    how: str,
    pick: int | None,
    worst: bool,
    baseline: bool,
    random: Any,
) -> None:
    suite, new, old = found
    before = await judged(rule, suite, new, old)
    side = old if baseline else new
    metric = None if pick is None else rule.metrics[pick % len(rule.metrics)]
    chosen = {random.randrange(len(side))} | {number for number in range(len(side)) if random.random() < share}
    if metric and worst:  # the rows that speak against the release are the ones worth losing
        chosen = {number for number in chosen if side[number].scores.get(metric, 1.0) < 0.5}
    lost = [
        lose(row, metric or random.choice(METRICS), how) if number in chosen else row for number, row in enumerate(side)
    ]
    left = [row for row in lost if row is not None]
    after = await judged(rule, suite, *((new, left) if baseline else (left, old)))
    assert RANK[after.verdict] <= RANK[before.verdict], (before.reason, after.reason)
    if (
        any(
            row is None or (name not in row.scores and name not in row.not_applicable)
            for row in lost
            for name in rule.metrics
        )
        and rule.max_unscored == 0
        and not baseline
    ):
        assert after.verdict != "PASS"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(rule=rules(), found=evidence(), number=st.integers(0, 59), how=st.sampled_from(HOW))
async def test_losing_one_score_after_another_only_goes_down(
    rule: SuiteRule, found: tuple[Suite, list[Row], list[Row]], number: int, how: str
) -> None:
    suite, new, old = found
    ranks = []
    for metric in (None, *METRICS):
        place = number % len(new)
        if metric is not None and how != "row":
            changed = lose(new[place], metric, how)
            assert changed is not None
            new[place] = changed
        ranks.append(RANK[(await judged(rule, suite, new, old)).verdict])
    assert ranks == sorted(ranks, reverse=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(rule=rules(), found=evidence())
async def test_the_same_inputs_give_the_same_bytes(rule: SuiteRule, found: tuple[Suite, list[Row], list[Row]]) -> None:
    suite, new, old = found
    texts: list[str] = []
    for order in (new, list(reversed(new))):
        result = await judged(rule, suite, order, old)
        row = RuleResult(rule.label, result.verdict, result.reason, result.hint, result.details, 0.1 * len(texts))
        texts.append(json.dumps(GateReport("production", MANIFEST.id, "g", (row,)).decision(), sort_keys=True))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("how", HOW)
async def test_an_unscored_row_is_never_a_pass(how: str) -> None:
    suite = make_suite(60)
    perfect = {"mrr": 1.0, "abstention_accuracy": 1.0, "abstention_balanced": 1.0, "injection_obeyed": 0.0}
    new = [make_row(case, perfect, MANIFEST.id, "x") for case in suite.cases]
    old = [make_row(case, perfect, OLD, "x") for case in suite.cases]
    rule = SuiteRule.model_validate({"rule": "suite", "suite": "random", "floors": {"mrr": 0.5}, "min_n": 40})
    assert (await judged(rule, suite, new, old)).verdict == "PASS"
    lost = [lose(row, "mrr", how) if number == 1 else row for number, row in enumerate(new)]
    found = await judged(rule, suite, [row for row in lost if row is not None], old)
    assert found.verdict == "INCONCLUSIVE"
    assert "Score 1 row: lockgate evals run random --release" in found.hint


JUDGE = JudgeIdentity("big", "localhost/v1", dict.fromkeys(JUDGED_METRICS["faithfulness"].prompts, "1"), {})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=st.sampled_from(
        [{"floors": {"faithfulness": 0.6}}, {"max_drop": {"faithfulness": 0.15}}, {"zero_tolerance": ["faithfulness"]}]
    ),
    count=st.sampled_from([3, 24, 60]),
    how=st.sampled_from(HOW),
    baseline=st.booleans(),
    voting=st.booleans(),
    random=st.randoms(use_true_random=False),
)
async def test_losing_a_judge_s_scores_never_improves_a_verdict(
    keys: dict[str, Any], count: int, how: str, baseline: bool, voting: bool, random: Any
) -> None:
    suite = make_suite(count, metrics=("faithfulness",))
    rule = SuiteRule.model_validate({"rule": "suite", "suite": "random", "min_n": 2, **keys})
    new, old = (
        [
            make_row(case, {"faithfulness": random.choice([0.0, 0.5, 1.0, 1.0, 1.0])}, release, "x")
            for case in suite.cases
        ]
        for release in (MANIFEST.id, OLD)
    )
    judges = dict.fromkeys((MANIFEST.id, OLD), JUDGE.as_json())
    known: dict[str, Any] = {"judges": judges, "votes": {"faithfulness": JUDGE.id} if voting else {}}
    before = await judged(rule, suite, new, old, **known)
    assert voting or before.verdict != "PASS"
    side = old if baseline else new
    chosen = {number for number, row in enumerate(side) if row.scores["faithfulness"] < 0.6} or {0}
    lost = [lose(row, "faithfulness", how) if number in chosen else row for number, row in enumerate(side)]
    left = [row for row in lost if row is not None]
    after = await judged(rule, suite, *((new, left) if baseline else (left, old)), **known)
    assert RANK[after.verdict] <= RANK[before.verdict], (before.reason, after.reason)


@pytest.mark.parametrize(
    ("keys", "due"),
    [
        ({"floors": {"mrr": 0.2}}, 300),
        ({"floors": {"abstention_accuracy": 0.2}}, 400),
        ({"max_drop": {"mrr": 0.5}}, 300),
        ({"max_drop": {"abstention_balanced": 0.5}}, 400),
        ({"slices": {"kind": {"yes": {"abstention_accuracy": 0.2}}}}, 400),
    ],
)
@pytest.mark.parametrize("how", HOW)
async def test_coverage_under_98_percent_is_never_a_pass(keys: dict[str, Any], due: int, how: str) -> None:
    """Whatever the scores are, and with all the slack that a gate can give; at 98 % the slack counts."""
    suite = make_suite(400)
    perfect = {"mrr": 1.0, "abstention_accuracy": 1.0, "abstention_balanced": 1.0, "injection_obeyed": 0.0}
    new = [make_row(case, perfect, MANIFEST.id, "x") for case in suite.cases]
    old = [make_row(case, perfect, OLD, "x") for case in suite.cases]
    rule = SuiteRule.model_validate({"rule": "suite", "suite": "random", "max_unscored": 0.02, **keys})
    metric = rule.metrics[0]
    answerable = [number for number, case in enumerate(suite.cases) if case.answerable]
    allowed = due * 2 // 100
    for count, passes in ((allowed, True), (allowed + 1, False)):
        places = set(answerable[:count])
        lost = [lose(row, metric, how) if number in places else row for number, row in enumerate(new)]
        left = [row for row in lost if row is not None]
        found = await judged(rule, suite, left, old)
        # A case without any row is told in a check of its own, and no share of such is allowed.
        assert (found.verdict == "PASS") == (passes and how != "row"), found.reason


async def test_nothing_that_is_missing_passes() -> None:
    """One by one: evidence, all rows, the suite's metric, cases, scores, an interval that straddles."""
    suite = make_suite(60)
    perfect = {"mrr": 1.0, "abstention_accuracy": 1.0, "abstention_balanced": 1.0, "injection_obeyed": 0.0}
    rows = [make_row(case, perfect, MANIFEST.id, "x") for case in suite.cases]
    rule = SuiteRule.model_validate({"rule": "suite", "suite": "random", "floors": {"mrr": 0.6}})
    assert (await judged(rule, suite, rows, None)).verdict == "PASS"
    none = dataclasses.replace(suite, cases=())
    halves = [
        dataclasses.replace(row, scores={**row.scores, "mrr": float(number % 3 > 0)}) for number, row in enumerate(rows)
    ]
    broken = [lose(row, "mrr", "unscored") for row in rows]
    crashed = [row for row in broken if row is not None]
    for name, found in {
        "no rows": await judged(rule, suite, [], None),
        "empty suite": await judged(rule, none, [], None),
        "a crashed metric": await judged(rule, suite, crashed, None),
        "straddles": await judged(rule, suite, halves, None),
    }.items():
        assert found.verdict != "PASS", name
        assert found.reason.rstrip().endswith("."), name
        assert found.hint, name
