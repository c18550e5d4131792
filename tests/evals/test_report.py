from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from evals.reports.junit import render_junit
from evals.reports.markdown import render_markdown
from evals.reports.report import Report, to_json, write_reports
from evals.reports.report_html import render_html
from evals.reports.reported_run import reported_run
from evals.reports.run_table import build_table, summary_lines
from evals.runs.run import EvalRun, run_suite
from evals.suite import Suite
from lockgate.errors import Unavailable
from tests.evals.compared import row
from tests.evals.conftest import GOOD_ANSWERS, GOOD_RANKINGS, FakeAsker, FakeRetriever, make_answer
from tests.evals.reported import made_report, plain_rows, scores

HOSTILE = '</td><script>alert(1)</script><img src=x onerror=alert(1)> "quoted" & [link](javascript:alert(1))'


class Tags(HTMLParser):
    """Collects the elements that a browser would build, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
async def run(suite: Suite) -> EvalRun:
    answers = {**GOOD_ANSWERS, "Which port?": RuntimeError("boom")}
    return await run_suite(suite, FakeAsker(answers), FakeRetriever(GOOD_RANKINGS), metadata={"chain": "docs"})


@pytest.fixture
async def hostile_run(suite: Suite) -> EvalRun:
    answers = {
        **GOOD_ANSWERS,
        "Which port?": make_answer(HOSTILE, [HOSTILE]),
        "How far is the moon?": RuntimeError(HOSTILE),
    }
    rankings = {"Which port?": [HOSTILE, "api.md"]}
    return await run_suite(suite, FakeAsker(answers), FakeRetriever(rankings), metadata={HOSTILE: HOSTILE})


def test_the_table_shows_intervals_counts_and_unscored(run: EvalRun) -> None:
    console = Console(width=160, record=True)
    console.print(build_table(reported_run(run)))
    text = console.export_text()
    assert "token_f1" in text
    assert " to " in text
    assert "unscored" in text
    assert "dev" in text


def test_the_summary_names_failed_cases(run: EvalRun) -> None:
    text = "\n".join(summary_lines(reported_run(run)))
    assert "1 of 4 cases failed and are unscored" in text
    assert "port: RuntimeError: boom" in text
    assert "No answer: 1." in text


def test_the_json_report_holds_every_case_with_its_reason(run: EvalRun) -> None:
    data = json.loads(to_json(Report(reported_run(run))))
    assert len(data["cases"]) == 4
    assert data["cases"][0]["unscored"]["token_f1"] == "RuntimeError: boom"
    assert data["aggregates"]["metrics"]["token_f1"]["unscored"] == 1
    assert data["suite_hash"] == run.suite.hash


def test_writes_both_reports_and_leaves_nothing_else(run: EvalRun, tmp_path: Path) -> None:
    write_reports(run, tmp_path / "deep" / "out")
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == ["report.html", "report.json"]


def test_an_unwritable_folder_is_a_clear_error(run: EvalRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lockgate.atomic.tempfile.mkstemp", full)
    with pytest.raises(Unavailable, match="the disk is full"):
        write_reports(run, tmp_path)


def test_hostile_text_stays_text_in_the_html_report(hostile_run: EvalRun) -> None:
    html = render_html(Report(reported_run(hostile_run)))
    tags = Tags(html).found
    assert not {tag for tag, _ in tags} & {"script", "img", "a", "iframe", "link", "object"}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_html_report_loads_nothing(run: EvalRun) -> None:
    html = render_html(Report(reported_run(run)))
    assert "http" not in html.replace("http-equiv", "")
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html
    assert "<svg" in html


def test_a_metric_without_scores_says_so_in_the_html_report(run: EvalRun, suite: Suite) -> None:
    empty = {**run.aggregates["metrics"]["token_f1"], "value": None, "low": None, "high": None, "n": 0}
    run.aggregates["metrics"]["token_f1"] = empty
    assert "nothing was scored" in render_html(Report(reported_run(run)))


def test_facts_of_a_run_are_written_in_words(run: EvalRun) -> None:
    facts = {"environment": {"python": "3.11", "system": "linux"}, "calls": {}}
    html = render_html(Report(reported_run(replace(run, metadata=facts))))
    assert "python 3.11, system linux" in html
    assert "<dt>calls</dt><dd>none</dd>" in html


def test_stored_answers_that_were_scored_are_told_apart_from_a_part_of_the_suite(run: EvalRun) -> None:
    part = {**run.aggregates, "complete": False}
    scored = Report(reported_run(replace(run, metadata={"scored": "answers.jsonl"}, aggregates=part)))
    assert "scored again (from answers.jsonl)" in scored.warnings[-1].text
    half = Report(reported_run(replace(run, split="dev", limit=2, aggregates=part)))
    assert half.warnings[-1].text.startswith("It covers a part of the suite only (split dev, the first 2 cases)")


def test_parameters_in_a_metric_s_name_are_no_markup(run: EvalRun) -> None:
    run.aggregates["metrics"]["rouge_l[beta=2.0]"] = run.aggregates["metrics"]["token_f1"]
    for part in run.aggregates["by_split"].values():
        part["rouge_l[beta=2.0]"] = part["token_f1"]
    console = Console(width=160, record=True)
    console.print(build_table(reported_run(run)))
    assert "rouge_l[beta=2.0]" in console.export_text()


def test_numbers_that_are_none_never_get_into_a_report() -> None:
    odd = {**scores(float("nan")), "latency_seconds": float("inf")}
    rows = [*plain_rows(3), row("odd", odd, milliseconds=float("nan"))]
    report = made_report(rows, rows)
    body = json.loads(to_json(report), parse_constant=pytest.fail)
    assert body["cases"][3]["scores"]["token_f1"] is None
    assert body["aggregates"]["metrics"]["token_f1"]["unscored"] == 1
    assert body["sound"] is False
    shown = render_html(report), render_markdown(report), render_junit(report).decode()
    for text in shown:
        assert "the row holds nan, which is no number" in text
        assert not re.search(r"\b(nan|inf)\b", re.sub("the row holds (nan|inf)", "", text), re.IGNORECASE)
