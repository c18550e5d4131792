"""A report as JUnit's XML: a test case for each check of a gate, for the run as a whole, and for each eval case.

What is what:

- error: nobody can tell. A case that failed or lacks a score; a check that is INCONCLUSIVE; a run that has not finished
  or scored nothing.
- failure: it was looked at and is wrong. A check that is FAIL. A case that got worse than the base, but only where that
  means something: in a metric in which the release as a whole is worse beyond doubt (Holm's p at most 0.05), or in a
  metric of the group safety. Any other case that got worse passes, with the scores in its output: equal releases give
  such cases too, and a build that is red each time is read by nobody.
- skipped: no metric of the suite applies to the case.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from evals.comparing.compare import MetricComparison
from evals.comparing.score_changes import ScoreChange
from evals.metrics.catalogue import resolve_metric
from evals.metrics.score import Score, Unscored
from evals.reports.changes import CaseChange, said, scores_by_case
from evals.reports.figures import figures_of
from evals.reports.report import Report
from evals.reports.texts import excerpt, visible
from evals.runs.row import Row

State = Literal["failure", "error", "skipped"]

ALPHA = 0.05
ANSWER = 4_000
_NAME, _REASON = 200, 1_000

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document can hold, escaped or not."""


@dataclass(frozen=True, slots=True)
class TestCase:
    """``state`` None is a pass."""

    __test__ = False

    classname: str
    name: str
    state: State | None = None
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0


def render_junit(report: Report) -> bytes:
    """A whole document in UTF-8, with at least one test case whatever the run is."""
    root = ET.Element("testsuites", name="lockgate evals")
    groups = {
        "run": [_run_case(report)],
        **({f"gate {report.gate.channel}": list(_gate_cases(report))} if report.gate else {}),
        f"{report.run.suite} v{report.run.suite_version}": list(_cases(report)),
    }
    everything = [case for cases in groups.values() for case in cases]
    root.attrib.update(_counts(everything))
    del root.attrib["skipped"]  # of a single suite only, in the schema that most readers know
    for name, cases in groups.items():
        suite = ET.SubElement(
            root, "testsuite", name=_xml(name), timestamp=f"{report.run.started_at:%Y-%m-%dT%H:%M:%S}"
        )
        suite.attrib.update(_counts(cases))
        properties = ET.SubElement(suite, "properties")
        for key, value in _facts(report).items():
            ET.SubElement(properties, "property", name=key, value=_xml(value))
        for case in cases:
            _add(suite, case)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _counts(cases: list[TestCase]) -> dict[str, str]:
    states = [case.state for case in cases]
    return {
        "tests": str(len(cases)),
        "failures": str(states.count("failure")),
        "errors": str(states.count("error")),
        "skipped": str(states.count("skipped")),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }


def _add(suite: ET.Element, case: TestCase) -> None:
    classname, name = (_xml(excerpt(text, _NAME)) for text in (case.classname, case.name))
    element = ET.SubElement(suite, "testcase", classname=classname, name=name, time=f"{case.seconds:.3f}")
    if case.state == "skipped":
        ET.SubElement(element, "skipped", message=_xml(case.reason))
    elif case.state:
        reason = _xml(excerpt(case.reason, _REASON))
        ET.SubElement(element, case.state, message=reason, type=case.state).text = _xml(case.detail)
    elif case.detail:
        ET.SubElement(element, "system-out").text = _xml(case.detail)


def _facts(report: Report) -> dict[str, str]:
    facts = {"run": report.run.id, "release": report.run.release, "suite_hash": report.run.suite_hash}
    return facts | ({"base_run": report.base.id, "base_release": report.base.release} if report.base else {})


def _run_case(report: Report) -> TestCase:
    """A run of nothing, or half of one, must not be an empty list without an error."""
    bad = [each.text for each in report.warnings if each.level == "bad"]
    notes = [each.text for each in report.warnings if each.level == "note"]
    state: State | None = "error" if bad else None
    return TestCase(f"{report.run.suite}.run", "the run is whole", state, " ".join(bad), "\n".join([*bad, *notes]))


def _gate_cases(report: Report) -> Iterator[TestCase]:
    states: dict[str, State | None] = {"PASS": None, "FAIL": "failure", "INCONCLUSIVE": "error"}
    for rule in report.gate.rules if report.gate else ():
        classname = f"gate.{report.gate.channel if report.gate else ''}.{rule.rule}"
        checks = rule.details.get("checks", ())
        for each in checks:
            # A verdict that nobody knows is not a pass.
            state = states.get(each["verdict"], "error")
            yield TestCase(classname, str(each["check"]), state, str(each["reason"]), str(each["resolve"]))
        if not checks or rule.verdict != "PASS":
            name = "the rule as a whole" if checks else "the rule"
            state = states.get(rule.verdict, "error")
            yield TestCase(classname, name, state, rule.reason, rule.hint, round(rule.seconds, 3))


def _cases(report: Report) -> Iterator[TestCase]:
    changes = {each.case: each for each in report.changes}
    scores = [(metric, scores_by_case(metric, report.run)) for metric in report.run.metrics]
    proven = _proven(report)
    for case, rows in report.run.by_case.items():
        found = {metric.name: by_case[case] for metric, by_case in scores}
        yield _case(report, rows, found, changes.get(case), proven)
    for case in report.base.by_case if report.base else ():
        if case not in report.run.by_case:
            reason = "the base asked this case, and this run has no row of it"
            yield TestCase(f"{report.run.suite}.cases", case, "error", reason)


def _proven(report: Report) -> frozenset[str]:
    """Metrics in which a case that got worse is a failure."""
    metrics = report.comparison.metrics if report.comparison else ()
    return frozenset(each.metric for each in metrics if each.group == "safety" or _worse_beyond_doubt(each))


def _worse_beyond_doubt(each: MetricComparison) -> bool:
    value, p = each.difference.value, each.p_adjusted
    return each.group != "performance" and value is not None and value < 0 and p is not None and p <= ALPHA


def _case(
    report: Report,
    rows: tuple[Row, ...],
    scores: Mapping[str, Score],
    change: CaseChange | None,
    proven: frozenset[str],
) -> TestCase:
    classname, name = f"{report.run.suite}.{rows[0].split}", rows[0].case
    seconds = sum(ms / 1000 for row in rows if (ms := row.milliseconds) and 0 < ms < math.inf)
    failed = dict.fromkeys(error for row in rows for error in row.errors)
    unscored = (f"{name}: unscored, {each.reason}" for name, each in scores.items() if isinstance(each, Unscored))
    if reasons := [*failed, *unscored]:
        return TestCase(classname, name, "error", reasons[0], _detail(reasons, rows), seconds)
    lines = [_words(each) for each in (change.scores if change else ())]
    worse = [each for each in (change.scores if change else ()) if (each.change or 0.0) < 0 and each.metric in proven]
    if worse:
        reason = f"worse than the base: {', '.join(_words(each) for each in worse)}"
        return TestCase(classname, name, "failure", reason, _detail(lines, rows, change), seconds)
    if not any(isinstance(each, float) for each in scores.values()):
        return TestCase(classname, name, "skipped", "no metric of the suite applies to this case", seconds=seconds)
    return TestCase(classname, name, None, "", "\n".join(lines), seconds)


def _words(each: ScoreChange) -> str:
    figures = figures_of(each.metric, resolve_metric(each.metric).scale)
    before, after = (figures.value(score) if score is not None else "unscored" for score in (each.old, each.new))
    return f"{each.metric} {before} to {after}"


def _detail(lines: list[str], rows: tuple[Row, ...], change: CaseChange | None = None) -> str:
    parts = [*(excerpt(line, _REASON) for line in lines), f"Question: {excerpt(rows[0].question, ANSWER)}"]
    if change is not None:
        parts.append(f"Base: {excerpt(said(change.old), ANSWER)}")
    return "\n".join([*parts, f"Answer: {excerpt(said(rows[0]), ANSWER)}"])


def _xml(text: object) -> str:
    """``visible`` text without what XML forbids."""
    return _NO_XML.sub("\ufffd", visible(text))
