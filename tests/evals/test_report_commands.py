from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evals.report_commands import report_command
from evals.reports.report import Report, to_json
from evals.reports.reported_run import reported_run
from evals.runs.run import EvalRun
from evals.runs.run_store import RunPlan, begin_run
from evals.suite import load_suite
from lockgate.errors import NotFound, UserError
from lockgate.store.eval_rows import write_eval_row
from lockgate.store.eval_runs import get_eval_run
from tests.evals.compared import row
from tests.evals.gated import GatedProject, ReadingGenerator, open_gated, pages
from tests.evals.reported import HOSTILE, hostile_report, hostile_rows, made_run, plain_rows
from tests.evals.test_compare import keep

GATE = """\
channel: production
rules:
- rule: suite
  suite: services
  floors: {recall@5: 0.5}
  max_drop: {token_f1: 0.15, recall@1: 0.25}
"""


@dataclass(frozen=True)
class Measured:
    """The candidate's pages name no ports. Both it and production were measured, the candidate also in part."""

    project: GatedProject
    old: str
    new: str
    old_run: EvalRun
    new_run: EvalRun
    part: EvalRun


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lockgate.models.generator.load_generator", lambda *_: ReadingGenerator())
        with open_gated(tmp_path_factory.mktemp("project")) as project:
            old = project.build()
            project.sync(
                {
                    name: text.replace("port", "shut gates and closed doors")
                    for name, text in sorted(pages().items())[:24]
                }
            )
            new = project.build()
            runs = project.run(old), project.run(new), project.run(new, split="dev")
            for run in runs:
                project.keep(run)
            project.put_in_production(old)
            project.write_text("evals/gates/production.yaml", GATE)
            yield Measured(project, old, new, *runs)


@pytest.fixture
def cli(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> Measured:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(measured.project.folder))
    return measured


def report(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(report_command)
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def body(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report(*arguments, "--json").stdout)
    return found


def test_without_against_it_compares_with_production_and_says_so(cli: Measured) -> None:
    found = body(cli.new_run.id)
    assert found["base"]["name"] == "production"
    assert (found["run"], found["base"]["run"]) == (cli.new_run.id, cli.old_run.id)
    assert found["margins"] == {"token_f1": 0.15, "recall@1": 0.25}
    assert f"Compared with the release in production, {cli.old[:12]}" in found["warnings"][-1]["text"]
    assert sum(found["change_counts"].values()) == len(found["changes"]) > 0
    assert found["verdict"] is None


def test_a_release_is_its_newest_complete_run(cli: Measured) -> None:
    assert body(cli.new[:8])["run"] == cli.new_run.id
    assert body("production")["run"] == cli.old_run.id


def test_the_release_in_production_is_compared_with_nothing(cli: Measured) -> None:
    found = body(cli.old)
    assert (found["base"], found["comparison"]) == (None, None)
    assert found["warnings"] == [
        {"level": "note", "text": "Compared with nothing: this release is the one in production."}
    ]


def test_a_run_of_other_cases_than_production_was_asked_says_what_to_run(cli: Measured) -> None:
    found = body(cli.part.id)
    text = " ".join(each["text"] for each in found["warnings"])
    assert found["base"] is None
    assert f"lockgate evals run services --release {cli.old[:12]}" in text
    assert "covers a part of the suite only (split dev)" in text


@pytest.mark.parametrize("against", ["run", "release", "channel"])
def test_against_takes_a_run_a_release_or_a_channel(cli: Measured, against: str) -> None:
    name = {"run": cli.old_run.id, "release": cli.old[:10], "channel": "production"}[against]
    assert body(cli.new, "--against", name)["base"]["run"] == cli.old_run.id


def test_a_channel_is_that_of_the_runs_own_chain(cli: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKGATE_CHAIN", "other")
    found = body(cli.new, "--against", "production")
    assert (found["base"]["run"], found["base"]["name"]) == (cli.old_run.id, "production")


def test_drops_are_those_of_the_gate_asked_else_of_the_channel_compared_with(cli: Measured) -> None:
    cli.project.write_text(
        "evals/gates/staging.yaml",
        "channel: staging\nrules:\n- {rule: suite, suite: services, max_drop: {token_f1: 0.3}}\n",
    )
    assert body(cli.new, "--gate", "staging", "--against", cli.old)["margins"] == {"token_f1": 0.3}
    assert body(cli.new, "--against", cli.old)["margins_of"] == "production"


def test_the_json_of_a_stored_run_is_that_of_the_fresh_one(cli: Measured) -> None:
    fresh = json.loads(to_json(Report(reported_run(cli.old_run))))
    stored = body(cli.old_run.id)
    assert fresh.pop("warnings") == []
    stored.pop("warnings")
    assert stored == fresh
    run = json.loads(json.dumps(cli.old_run.as_json()))
    assert {key: stored[key] for key in run} == run | {"suite_version": stored["suite_version"]}


def test_every_format_shows_the_same_difference(cli: Measured) -> None:
    found = next(each for each in body(cli.new_run.id)["comparison"]["metrics"] if each["metric"] == "token_f1")
    shown = f"{found['difference']['value']:+.3f}"
    for name in ("table", "markdown", "html"):
        assert shown in report(cli.new_run.id, "--format", name).stdout, name
    root = ET.fromstring(report(cli.new_run.id, "--format", "junit").stdout)  # noqa: S314
    assert int(root.attrib["tests"]) == 1 + len(cli.new_run.rows)


def test_a_gate_gives_verdict_and_exit_code(cli: Measured) -> None:
    failed = report(cli.new_run.id, "--gate", "production", "--format", "markdown")
    assert failed.exit_code == 1, failed.stdout[:3000]
    assert "FAIL**, gate of `production`" in failed.stdout
    passed = report(cli.old_run.id, "--gate", "production", "--json")
    assert passed.exit_code == 0
    assert json.loads(passed.stdout)["verdict"] == "PASS"
    root = ET.fromstring(report(cli.new_run.id, "--gate", "production", "--format", "junit").stdout)  # noqa: S314
    names = {case.attrib["name"] for case in root.iter("testcase") if case.attrib["classname"].startswith("gate.")}
    assert {"token_f1 drop", "recall@5 floor", "leaks"} <= names
    with pytest.raises(NotFound, match="has no gate"):
        report(cli.new_run.id, "--gate", "nowhere")


def test_writes_a_file_and_nothing_else_to_standard_output(cli: Measured, tmp_path: Path) -> None:
    for name in ("html", "markdown", "junit", "json", "table"):
        out = tmp_path / "deep" / f"report.{name}"
        done = report(cli.new_run.id, "--format", name, "--out", str(out))
        assert (done.exit_code, done.stdout) == (0, "")
        assert out.stat().st_size > 1_000


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--json", "--format", "html"), "two formats"),
        (("--out", "."), "is a folder"),
        (("--against", "nothing-like-it"), "nothing-like-it"),
        (("--suite", "other"), "no run of the suite 'other'"),
    ],
)
def test_what_is_wrong_is_named(cli: Measured, arguments: tuple[str, ...], error: str) -> None:
    with pytest.raises((NotFound, UserError), match=error):
        report(cli.new_run.id, *arguments)


def test_a_run_against_itself_and_one_of_other_cases_are_refused(cli: Measured) -> None:
    with pytest.raises(UserError, match="the same run"):
        report(cli.new_run.id, "--against", cli.new_run.id)
    with pytest.raises(UserError, match="has no run that asked the cases") as refused:
        report(cli.part.id, "--against", cli.old)
    assert "lockgate evals run services --release" in refused.value.hint


def test_a_run_that_has_not_finished_is_shown_as_what_it_is(cli: Measured) -> None:
    suite = load_suite(cli.project.folder, "services")
    plan = RunPlan(
        "stopped", "services", suite.hash, cli.new, None, "all", None, 1, "offline", False, datetime.now(UTC), {}
    )
    begin_run(cli.project.db, plan)
    empty = body("stopped")
    assert (empty["complete"], empty["sound"], empty["aggregates"]["metrics"]) == (False, False, {})
    for one in cli.new_run.rows[:5]:
        write_eval_row(cli.project.db, "stopped", one.case, 0, one.as_json())
    found = report("stopped", "--against", "production", "--format", "markdown")
    assert f"5 of {len(suite.cases)} rows are there" in found.stdout
    assert "lockgate evals run services --resume stopped" in found.stdout
    assert "not compared with production before it has finished" in found.stdout
    assert "NOT TO BE RELIED ON" in report("stopped").stdout
    assert int(ET.fromstring(report("stopped", "--format", "junit").stdout).attrib["errors"]) > 0  # noqa: S314
    with pytest.raises(NotFound):
        report("stopped", "--against", "no-such-run")


def test_a_release_that_was_never_measured_says_what_to_run(cli: Measured) -> None:
    cli.project.write_chain(passages=2)
    unmeasured = cli.project.build()
    with pytest.raises(NotFound, match="has no eval run") as refused:
        report(unmeasured)
    assert "lockgate evals run SUITE --release" in refused.value.hint


def test_rows_without_a_score_are_reported_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))
    (tmp_path / ".lockgate").mkdir()
    bad = [row(f"c{n}", {}, None, answer_error="boom", unscored={"token_f1": "boom"}) for n in range(3)]
    for name, rows in (("run-a", plain_rows(3)), ("run-b", bad), ("run-c", [])):
        keep(tmp_path, name, rows, aggregates=made_run(rows, names=["token_f1"]).aggregates)
    for name in ("table", "markdown", "html", "junit", "json"):
        assert "Nothing was scored" in report("run-b", "--format", name).stdout, name
        assert "Nothing was scored" in report("run-b", "--against", "run-a", "--format", name).stdout, name
        assert "nothing was asked" in report("run-c", "--format", name).stdout, name
        assert "not compared" in report("run-c", "--against", "run-a", "--format", name).stdout, name


def test_no_text_can_drive_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))
    (tmp_path / ".lockgate").mkdir()
    rows = [one for one in hostile_rows(HOSTILE.replace("\ud83d", "")) if one.case == "lacks"]
    clean = json.loads(json.dumps([one.as_json() for one in rows]).replace("\\ud83d", "?"))
    keep(tmp_path, "run-a", [row(**{**each, "scores": each["scores"]}) for each in map(_known, clean)],
         aggregates=made_run(plain_rows(1)).aggregates)  # fmt: skip
    for name in ("table", "markdown", "junit"):
        shown = report("run-a", "--format", name).stdout
        assert not set(shown) & set("\x00\x1b\x08\u202e"), name


def _known(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "errors"}


def test_half_a_surrogate_pair_is_escaped_in_json() -> None:
    data = to_json(hostile_report())
    assert b"\\ud83d" in data
    assert json.loads(data)["cases"][0]["answer"] == HOSTILE


def test_a_base_that_cannot_be_read_costs_the_comparison_and_not_the_report(
    cli: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = cli.project.settings.state_dir / "objects"
    rows_hash = get_eval_run(cli.project.db, cli.old_run.id).rows_hash
    path = next(path for path in objects.rglob("*") if path.is_file() and rows_hash.endswith(path.name[-20:]))
    data = path.read_bytes()
    path.unlink()
    try:
        found = body(cli.new_run.id)
        assert (found["run"], found["base"]) == (cli.new_run.id, None)
        assert f"the run {cli.old_run.id} of the release in production cannot be read" in found["warnings"][0]["text"]
        with pytest.raises(NotFound):
            report(cli.new_run.id, "--against", "production")
    finally:
        path.write_bytes(data)


def test_with_a_base_the_gate_judges_against_that_base(cli: Measured) -> None:
    ask = (cli.old_run.id, "--gate", "production", "--no-verify")
    with_base, without = (json.dumps(body(*ask, *more)["gate"]) for more in (("--against", cli.new), ()))
    assert "difference +" in with_base
    assert "difference +" not in without
