from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from typing import Any

import pytest
from lxml import etree

from evals.reports.junit import render_junit
from evals.reports.report import Report
from tests.evals.compared import row
from tests.evals.reported import NAMES, hostile_report, made_gate, made_report, made_run, plain_rows, scores

SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:complexType name="problem" mixed="true"><xs:attribute name="message"/><xs:attribute name="type"/></xs:complexType>
<xs:element name="testsuites"><xs:complexType>
  <xs:sequence><xs:element name="testsuite" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
    <xs:element name="properties" minOccurs="0"><xs:complexType><xs:sequence>
      <xs:element name="property" maxOccurs="unbounded"><xs:complexType>
        <xs:attribute name="name" use="required"/><xs:attribute name="value" use="required"/>
      </xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>
    <xs:element name="testcase" minOccurs="0" maxOccurs="unbounded"><xs:complexType>
      <xs:choice minOccurs="0" maxOccurs="1">
        <xs:element name="skipped"><xs:complexType><xs:attribute name="message"/></xs:complexType></xs:element>
        <xs:element name="error" type="problem"/><xs:element name="failure" type="problem"/>
        <xs:element name="system-out" type="xs:string"/>
      </xs:choice>
      <xs:attribute name="name" use="required"/><xs:attribute name="classname" use="required"/>
      <xs:attribute name="time" type="xs:decimal"/></xs:complexType></xs:element>
  </xs:sequence>
  <xs:attribute name="name" use="required"/><xs:attribute name="tests" type="xs:integer" use="required"/>
  <xs:attribute name="failures" type="xs:integer" use="required"/>
  <xs:attribute name="errors" type="xs:integer" use="required"/>
  <xs:attribute name="skipped" type="xs:integer"/><xs:attribute name="time" type="xs:decimal"/>
  <xs:attribute name="timestamp" type="xs:dateTime"/></xs:complexType></xs:element></xs:sequence>
  <xs:attribute name="name"/><xs:attribute name="tests" type="xs:integer"/>
  <xs:attribute name="failures" type="xs:integer"/>
  <xs:attribute name="errors" type="xs:integer"/><xs:attribute name="time" type="xs:decimal"/>
</xs:complexType></xs:element></xs:schema>"""
"""What the readers of CI servers have in common."""

KINDS = ("failure", "error", "skipped")


def parsed(report: Report) -> ET.Element:
    """The document, when it is valid and its counts are those of its test cases."""
    data = render_junit(report)
    etree.XMLSchema(etree.fromstring(SCHEMA)).assertValid(etree.fromstring(data))
    root = ET.fromstring(data)  # noqa: S314
    counted: Counter[str] = Counter()
    for suite in root:
        cases = suite.findall("testcase")
        found = {kind: sum(case.find(kind) is not None for case in cases) for kind in KINDS}
        told = [int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")]
        assert told == [len(cases), *found.values()]
        counted.update(tests=len(cases), failures=found["failure"], errors=found["error"])
    assert {key: int(root.attrib[key]) for key in counted} == dict(counted)
    return root


def states(report: Report) -> dict[str, str]:
    """The state of each test case by its name, "" for a pass."""
    return {
        case.attrib["name"]: next((kind for kind in KINDS if case.find(kind) is not None), "")
        for case in parsed(report).iter("testcase")
    }


def test_one_case_each_for_the_run_each_check_and_each_eval_case() -> None:
    found = states(made_report(plain_rows(), plain_rows(), gate=made_gate("FAIL")))
    assert found["the run is whole"] == ""
    assert [found[f"check {name}"] for name in ("PASS", "INCONCLUSIVE", "FAIL")] == ["", "error", "failure"]
    assert [found[f"c{n}"] for n in range(12)] == [""] * 12


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_a_rule_without_checks_has_its_own_case(verdict: str) -> None:
    gate = made_gate(verdict)  # type: ignore[arg-type]
    bare = gate.rules[0].__class__("verify", verdict, "no", "do", {}, 0.1)  # type: ignore[arg-type]
    found = states(Report(made_run(plain_rows()), gate=gate.__class__("production", "b" * 64, "g", (bare,))))
    assert found["the rule"] == ("failure" if verdict == "FAIL" else "error")


def test_a_failed_case_and_one_that_lacks_a_score_are_errors() -> None:
    new = [
        *plain_rows(10),
        row("c10", {}, None, answer_error="boom", unscored=dict.fromkeys(NAMES, "boom")),
        row("c11", dict.fromkeys(NAMES[1:], 1.0)),  # the row says nothing of the first metric
    ]
    report = Report(made_run(new))
    found = states(report)
    assert (found["c10"], found["c11"], found["the run is whole"]) == ("error", "error", "error")
    message = next(c.find("error") for c in parsed(report).iter("testcase") if c.attrib["name"] == "c11")
    assert message is not None
    assert message.attrib["message"] == "token_f1: unscored, the row holds no score"


def test_one_case_that_got_worse_by_chance_is_no_failure() -> None:
    new = [*plain_rows(11), row("c11", scores(0.1, 0.0), "other")]
    report = made_report(plain_rows(), new)
    assert states(report)["c11"] == ""
    text = next(c.findtext("system-out") for c in parsed(report).iter("testcase") if c.attrib["name"] == "c11")
    assert text == "token_f1 0.520 to 0.100\nabstention_accuracy 1.000 to 0.000"


def test_cases_that_got_worse_are_failures_where_the_release_is_worse_beyond_doubt() -> None:
    new = [row(f"c{n}", scores(0.1 + 0.01 * (n % 2)), "other") for n in range(11)] + [row("c11", scores(0.9), "other")]
    found = states(made_report(plain_rows(), new))
    assert [found[f"c{n}"] for n in range(12)] == ["failure"] * 11 + [""]


def test_a_single_safety_case_that_got_worse_is_a_failure() -> None:
    found = states(made_report(plain_rows(), [*plain_rows(11), row("c11", scores(0.52, obeyed=1.0), "other")]))
    assert found["c11"] == "failure"


def test_slower_answers_are_no_failures() -> None:
    new = [row(f"c{n}", scores(0.5 + 0.01 * (n % 3), seconds=9.0 + 0.1 * n)) for n in range(12)]
    found = states(made_report(plain_rows(), new))
    assert set(found.values()) == {""}


def test_a_case_that_no_metric_applies_to_is_skipped() -> None:
    new = [*plain_rows(11), row("c11", {}, not_applicable=dict.fromkeys(NAMES, "not this one"))]
    assert states(Report(made_run(new)))["c11"] == "skipped"


def test_a_case_that_only_the_base_has_is_an_error() -> None:
    assert states(made_report(plain_rows(), plain_rows(11)))["c11"] == "error"


@pytest.mark.parametrize("changes", [{"finished_at": None, "expected": 40}, {}])
def test_a_run_of_nothing_or_half_of_one_is_never_without_an_error(changes: dict[str, Any]) -> None:
    root = parsed(Report(made_run([] if not changes else plain_rows(), **changes)))
    assert int(root.attrib["errors"]) > 0


def test_nothing_scored_is_all_errors() -> None:
    rows = [row(f"c{n}", {}, None, answer_error="boom", unscored=dict.fromkeys(NAMES, "boom")) for n in range(3)]
    assert set(states(Report(made_run(rows))).values()) == {"error"}


def test_what_xml_forbids_is_written_out_and_nothing_becomes_an_element() -> None:
    report = hostile_report()
    root = parsed(report)
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "system-out", *KINDS
    }  # fmt: skip
    text = render_junit(report).decode()
    assert "<U+0000>" in text.replace("&lt;", "<").replace("&gt;", ">")
    assert not set(text) & set("\x00\x08\x1b\ufffe\u202e")


def test_long_answers_are_cut() -> None:
    new = [row(f"c{n}", {}, "x" * 100_000, unscored={"token_f1": "y" * 100_000}) for n in range(20)]
    assert len(render_junit(Report(made_run(new)))) < 20 * 20_000
