"""Losing a score never helps a release: the verdict after it is never better than before, over random evidence."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.case import Case
from evals.evidence import Evidence, EvidenceBody, Found
from evals.row import Row
from evals.rules.definitions import SuiteRule
from evals.rules.suite_rule import judge_suite
from evals.suite import Suite, SuiteDefinition
from evals.verdict import Finding, GateContext, GateReport, RuleResult, Verdict
from lockgate.types import Answer
from tests.lockgate.samples import sample_manifest

RANK: Mapping[Verdict, int] = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
METRICS = ("mrr", "abstention_accuracy", "abstention_balanced", "injection_obeyed")
MANIFEST = sample_manifest()
OLD = "0" * 64


def make_suite(count: int) -> Suite:
    cases = []
    for number in range(count):
        body: dict[str, Any] = {"id": f"c{number}", "question": "Which one is it?", "split": "dev", "answerable": False}
        if number % 4:
            body |= {"answerable": True, "reference": "This.", "pages": [f"p{number // 2}.md"]}
        cases.append(Case.model_validate(body))
    definition = SuiteDefinition.model_validate(
        {
            "name": "random",
            "version": 1,
            "corpus": "docs",
            "metrics": list(METRICS),
            "slices": {"kind": {"key": "answerable"}},
        }
    )
    return Suite(definition, tuple(cases), Path("/nowhere/evals/suites/random"), "h" * 64)


def make_row(case: Case, scores: Mapping[str, float], release: str, output: str) -> Row:
    names = {each.name for each in dataclasses.fields(Row)}
    not_applicable = {"mrr": "unanswerable"} if not case.answerable else {}
    body: dict[str, Any] = dict.fromkeys(names)
    body |= {
        "case": case.id,
        "repeat": 0,
        "answerable": case.answerable,
        "answer": output,
        "abstained": False,
        "citations": (),
        "release": release,
        "snapshot": MANIFEST.snapshot.id,
        "scores": {name: value for name, value in scores.items() if name not in not_applicable},
        "unscored": {},
        "not_applicable": not_applicable,
        "format": 1,
    }
    return Row(**body)


@dataclass
class MemoryRecords:
    """Evidence of two releases, held in memory."""

    held: Suite
    by_release: Mapping[str, Sequence[Row]]

    def suites(self) -> list[str]:
        return ["random"]

    def suite(self, _name: str) -> Suite:
        return self.held

    def find(self, release: str, suite: Suite) -> Found:
        body = EvidenceBody(
            release=release, chain="docs", mode="generative", snapshot="", suite=suite.name, suite_version="1",
            suite_hash=suite.hash, run=release[:6], rows=release, split="all", limit=None, repeats=1, tier="offline",
            cases=len(suite.cases), failed=0, aggregates={}, by_slice={}, judge=None, environment={},
            started_at=datetime(2026, 1, 1, tzinfo=UTC), finished_at=datetime(2026, 1, 1, tzinfo=UTC), complete=True,
        )  # fmt: skip
        return Found(Evidence(release, body, "key", own=True))

    def rows(self, evidence: Evidence) -> tuple[Row, ...]:
        return tuple(self.by_release[evidence.body.release])

    def vote(self, _judge: object, _metric: str) -> tuple[bool, str]:
        return False, "nobody votes here"


async def judged(rule: SuiteRule, suite: Suite, new: Sequence[Row], old: Sequence[Row]) -> Finding:
    async def ask(_question: str) -> Answer:
        raise AssertionError("nothing is asked")

    records = MemoryRecords(suite, {MANIFEST.id: new, OLD: old})
    context = GateContext(MANIFEST.id, MANIFEST, list, ask, [], records=records, current=OLD)
    return await judge_suite(rule, context, lambda _stage, _done, _total: None)


def lose(row: Row, metric: str, how: str) -> Row | None:
    """The row without that score; None is no row at all."""
    if how == "row":
        return None
    scores = {name: value for name, value in row.scores.items() if name != metric}
    if how == "missing":
        return dataclasses.replace(row, scores=scores)
    if how == "unscored":
        return dataclasses.replace(row, scores=scores, unscored={**row.unscored, metric: "lost"})
    lost = {"nan": math.nan, "infinite": math.inf, "text": "1.0", "off the scale": 2.0, "true": True}[how]
    return dataclasses.replace(row, scores={**scores, metric: lost})


HOW = ("row", "missing", "unscored", "nan", "infinite", "text", "off the scale", "true")

score = st.sampled_from([0.0, 0.0, 0.2, 0.5, 0.9, 1.0, 1.0, 1.0])
bound = st.sampled_from([0.05, 0.3, 0.6, 0.8, 0.95])


@st.composite
def rules(draw: st.DrawFn) -> SuiteRule:
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
    random=st.randoms(use_true_random=False),
)
async def test_losing_scores_never_improves_a_verdict(
    rule: SuiteRule, found: tuple[Suite, list[Row], list[Row]], share: float, how: str, random: Any
) -> None:
    suite, new, old = found
    before = await judged(rule, suite, new, old)
    chosen = {random.randrange(len(new))} | {number for number in range(len(new)) if random.random() < share}
    lost = [lose(row, random.choice(METRICS), how) if number in chosen else row for number, row in enumerate(new)]
    after = await judged(rule, suite, [row for row in lost if row is not None], old)
    assert RANK[after.verdict] <= RANK[before.verdict], (before.reason, after.reason)
    if (
        any(
            row is None or (metric not in row.scores and metric not in row.not_applicable)
            for row in lost
            for metric in rule.metrics
        )
        and rule.max_unscored == 0
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
    texts = []
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
