"""A release against itself: measured anew with other luck, it is hardly ever failed and mostly passes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from evals.case import Case, Outcome
from evals.comparing.plan import bounds_of, plan_gate
from evals.gate import Gate, judge, load_gate
from evals.metrics.metric import NO_TOOLS, measure_all
from evals.rules.definitions import SuiteRule
from evals.runs.row import Row
from evals.suite import Suite, load_suite
from evals.verdict import GateContext, GateReport
from lockgate.release import Manifest
from lockgate.types import Answer
from tests.evals.gated import NAMES, TEAMS, UNKNOWN, ReadingGenerator, open_gated
from tests.evals.memory import OLD, MemoryRecords
from tests.evals.planted import another

GATES = 200
GATE = """\
channel: production
rules:
  - rule: suite
    suite: services
    max_drop: {token_f1: 0.15, abstention_accuracy: 0.15}
    min_n: 40
"""
SLIPS = 0.1
"""How often the scripted model slips: it says another service's sentence, or that it does not know."""


def questions() -> list[dict[str, Any]]:
    """Three about each service, and unanswerable ones; mixed, so that the first n are a fair sample."""
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(NAMES):
        gold = {"pages": [f"{name}.md"], "answerable": True, "split": "test"}
        team, port, year = TEAMS[number % len(TEAMS)], 4100 + 7 * number, 1990 + number
        owned = f"The {name} service is owned by the {team} team since year {year}."
        for key, question, reference in (
            ("port", f"Which port does the {name} service listen on?", f"The {name} service listens on port {port}."),
            ("owner", f"Which team is the {name} service owned by?", owned),
            ("year", f"Since which year is the {name} service owned?", owned),
        ):
            rows.append({"id": f"{name}-{key}", "question": question, "reference": reference, **gold})
    for word in UNKNOWN:
        for when in ("tonight", "tomorrow"):
            question = f"Why would somebody write about {word} {when}?"
            rows.append({"id": f"{word}-{when}", "question": question, "answerable": False, "split": "test"})
    random.Random(1).shuffle(rows)
    return rows


@dataclass
class Luck:
    """Answers of a model that slips now and then, over passages that the real index found for the real chain.

    ``kept`` are the rows of one real run; ``scores`` those of every answer that was drawn so far.
    """

    suite: Suite
    kept: Mapping[str, Row]
    gate: Gate
    manifest: Manifest
    scores: dict[tuple[str, str, bool], Row] = field(default_factory=dict)

    def rows(self, seed: int, release: str) -> list[Row]:
        """The release measured with this luck: the passages stay, each answer is drawn anew."""
        luck = random.Random(seed)
        return [dataclasses.replace(self._row(case, luck), release=release) for case in self.suite.cases]

    def judge(self, new: int, old: int) -> GateReport:
        """The candidate with one seed, the release in the channel with another."""
        release = self.manifest.id
        records = MemoryRecords(self.suite, {release: self.rows(new, release), OLD: self.rows(old, OLD)})

        async def ask(_question: str) -> Answer:
            raise AssertionError("nothing is asked")

        context = GateContext(release, self.manifest, list, ask, list, records=records, current=OLD)
        return asyncio.run(judge(self.gate, context))

    def _row(self, case: Case, luck: random.Random) -> Row:
        row = self.kept[case.id]
        outcome = row.outcome(case)
        assert outcome.answer is not None
        answer = outcome.answer
        if luck.random() < SLIPS:
            answer = _slipped(outcome, answer, luck)
        key = case.id, answer.text, answer.abstained
        if key not in self.scores:
            outcome = dataclasses.replace(outcome, answer=answer)
            scores = asyncio.run(measure_all(self.suite.metrics(), outcome, NO_TOOLS))
            said = dataclasses.replace(row, answer=answer.text, abstained=answer.abstained)
            self.scores[key] = said.with_scores(scores)
        return self.scores[key]


def _slipped(outcome: Outcome, answer: Answer, luck: random.Random) -> Answer:
    if answer.abstained:
        return dataclasses.replace(answer, abstained=False, text="It is done by the amber team.")
    if luck.random() < 0.3:
        return dataclasses.replace(answer, abstained=True, text="Not in the documents.")
    return dataclasses.replace(answer, text=luck.choice(outcome.passages or ("",)).split(".")[0])


@pytest.fixture(scope="module")
def luck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Luck]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lockgate.models.generator.load_generator", lambda _settings, _entry: ReadingGenerator())
        with open_gated(tmp_path_factory.mktemp("itself")) as project:
            metrics = ["token_f1", "abstention_accuracy"]
            project.write_suite(questions(), metrics=metrics)
            good = project.build()
            kept = {row.case: row for row in project.run(good).rows}
            project.write_text("evals/gates/production.yaml", GATE)
            gate = load_gate(project.folder, "production")
            (rule,) = gate.rules
            assert isinstance(rule, SuiteRule)
            pilot = Luck(load_suite(project.folder, "services"), kept, gate, project.manifest(another(project)))
            plan = plan_gate(bounds_of(rule), len(kept), pilot.rows(-1, OLD), pilot.rows(-2, OLD))
            assert plan.needed is not None
            assert plan.needed <= len(kept)
            project.write_suite(questions()[: plan.needed], metrics=metrics)
            yield dataclasses.replace(pilot, suite=load_suite(project.folder, "services"))


def test_two_hundred_gates_of_a_release_against_itself(luck: Luck) -> None:
    started = time.perf_counter()
    verdicts: dict[str, int] = {"PASS": 0, "FAIL": 0, "INCONCLUSIVE": 0}
    for number in range(GATES):
        verdicts[luck.judge(2 * number, 2 * number + 1).verdict] += 1
    took = time.perf_counter() - started
    shares = ", ".join(f"{name} {100 * count / GATES:.1f} %" for name, count in verdicts.items())
    sys.stdout.write(f"\n{GATES} gates at the n that plan states, {len(luck.suite.cases)}: {shares} ({took:.0f} s)\n")
    assert verdicts["FAIL"] <= 0.05 * GATES
    assert verdicts["PASS"] >= 0.8 * GATES


@pytest.mark.parametrize("seed", range(5))
def test_identical_outputs_always_pass_the_comparison(luck: Luck, seed: int) -> None:
    """However bad the answers are: nothing has changed."""
    report = luck.judge(seed, seed)
    checks: list[Mapping[str, Any]] = [
        each for each in report.rules[0].details["checks"] if each["check"].endswith(" drop")
    ]
    assert [each["verdict"] for each in checks] == ["PASS", "PASS"]
    assert all("identical" in each["reason"] for each in checks)
    assert report.verdict == "PASS"


def test_the_same_inputs_give_a_byte_identical_decision(luck: Luck) -> None:
    report = luck.judge(7, 8)
    texts = {json.dumps(luck.judge(7, 8).decision(), sort_keys=True) for _ in range(3)}
    assert texts == {json.dumps(report.decision(), sort_keys=True)}
