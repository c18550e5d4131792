"""Evidence held in memory: a suite of any size, rows with set scores, and a rule judged over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evals.case import Case
from evals.evidence import Evidence, EvidenceBody, Found
from evals.judge.identity import JudgeIdentity
from evals.rules.definitions import SuiteRule
from evals.rules.suite_rule import judge_suite
from evals.runs.row import Row
from evals.suite import Suite, SuiteDefinition
from evals.verdict import Finding, GateContext
from lockgate.types import Answer
from tests.lockgate.samples import sample_manifest

METRICS = ("mrr", "abstention_accuracy", "abstention_balanced", "injection_obeyed")
MANIFEST = sample_manifest()
OLD = "0" * 64


def make_suite(count: int, metrics: Sequence[str] = METRICS) -> Suite:
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
            "metrics": list(metrics),
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
    judges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    votes: Mapping[str, str] = field(default_factory=dict)  # metric: the id of the judge whose scores of it count
    finished_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    mode: str = "generative"

    def suites(self) -> list[str]:
        return ["random"]

    def suite(self, _name: str) -> Suite:
        return self.held

    def judge_of(self, release: str) -> dict[str, Any] | None:
        return dict(self.judges[release]) if release in self.judges else None

    def find(self, release: str, suite: Suite) -> Found:
        if release not in self.by_release:
            return Found(None)
        body = EvidenceBody(
            release=release, chain="docs", mode=self.mode, snapshot="", suite=suite.name, suite_version="1",
            suite_hash=suite.hash, run=release[:6], rows=release, split="all", limit=None, repeats=1, tier="offline",
            cases=len(suite.cases), failed=0, aggregates={}, by_slice={}, judge=self.judge_of(release), environment={},
            started_at=self.finished_at, finished_at=self.finished_at, complete=True,
        )  # fmt: skip
        return Found(Evidence(release, body, "key", own=True))

    def rows(self, evidence: Evidence) -> tuple[Row, ...]:
        return tuple(self.by_release[evidence.body.release])

    def vote(self, judge: JudgeIdentity | None, metric: str) -> tuple[bool, str]:
        granted = judge is not None and self.votes.get(metric) == judge.id
        return granted, "calibrated" if granted else "not calibrated"


async def judged(
    rule: SuiteRule, suite: Suite, new: Sequence[Row], old: Sequence[Row] | None, **options: Any
) -> Finding:
    """``old`` None is an empty channel. ``options`` are those of the records, and ``now``."""

    async def ask(_question: str) -> Answer:
        raise AssertionError("nothing is asked")

    now = options.pop("now", datetime(2026, 1, 2, tzinfo=UTC))
    rows = {MANIFEST.id: new} if old is None else {MANIFEST.id: new, OLD: old}
    records = MemoryRecords(suite, rows, **options)
    current = None if old is None else OLD
    context = GateContext(MANIFEST.id, MANIFEST, list, ask, list, records=records, current=current, now=now)
    return await judge_suite(rule, context, lambda _stage, _done, _total: None)
