from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from evals.compare_commands import compare_command, plan_command, read_margins
from evals.comparing.compare import Comparison, MetricComparison, Side, compare_rows
from evals.comparing.compare_table import render
from evals.metrics.catalogue import resolve_metric
from evals.runs.row import Row
from lockgate.errors import NotFound, UserError
from lockgate.store.database import open_database
from lockgate.store.eval_runs import EvalRunRecord, write_eval_run
from lockgate.store.objects import ObjectStore
from tests.evals.compared import row
from tests.evals.conftest import WriteSuite

NAMES = ("token_f1", "exact_match")


def compare(old: Sequence[Row], new: Sequence[Row], names: Sequence[str] = NAMES, **options: Any) -> Comparison:
    metrics = [resolve_metric(name) for name in names]
    sides = Side("run-a", "a" * 64), Side("run-b", "b" * 64)
    return compare_rows(old, new, metrics, sides=sides, suite=("tiny", "3", "h"), **options)


def rows(f1: Sequence[float], right: Sequence[float], **changes: Any) -> list[Row]:
    """One row a case."""
    return [
        row(f"c{n}", {"token_f1": pair[0], "exact_match": pair[1]}, **changes)
        for n, pair in enumerate(zip(f1, right, strict=True))
    ]


def of(comparison: Comparison, name: str) -> MetricComparison:
    return next(each for each in comparison.metrics if each.metric == name)


def test_compares_case_by_case_and_lists_the_largest_changes_first() -> None:
    old = rows([0.5] * 20, [1.0] * 20)
    new = rows([0.5] * 17 + [0.1, 0.3, 0.9], [1.0] * 19 + [0.0], answer="other")
    found = compare(old, new)
    f1 = of(found, "token_f1")
    assert f1.difference.value == pytest.approx(-0.01)
    assert [each.case for each in f1.worse] == ["c17", "c18"]
    assert [each.case for each in f1.better] == ["c19"]
    assert f1.better[0].change == pytest.approx(0.4)
    assert (f1.worse[0].old_answer, f1.worse[0].new_answer) == ("same", "other")
    right = of(found, "exact_match")
    assert right.mcnemar is not None
    assert (right.mcnemar.better, right.mcnemar.worse, right.p) == (0, 1, 1.0)
    assert f1.mcnemar is None
    assert (found.cases, found.identical, found.verdict) == (20, 0, None)


def test_holm_corrects_over_the_metrics_that_have_a_margin() -> None:
    old, new = rows([0.5, 0.7] * 10, [1.0] * 20), rows([0.4, 0.7] * 10, [1.0] * 15 + [0.0] * 5, answer="other")
    every = compare(old, new)
    p = {each.metric: each.p or 0.0 for each in every.metrics}
    assert of(every, "token_f1").p_adjusted == pytest.approx(2 * p["token_f1"])
    one = compare(old, new, margins={"exact_match": 0.1})
    assert of(one, "exact_match").p_adjusted == p["exact_match"]
    assert of(one, "token_f1").p_adjusted is None
    assert of(one, "token_f1").decision is None


def test_judges_against_margins_over_all_of_them() -> None:
    old = rows([0.8] * 40, [1.0] * 40)
    good = compare(old, rows([0.8] * 40, [1.0] * 40, answer="other"), margins={"token_f1": 0.15, "exact_match": 0.15})
    assert good.verdict == "PASS"
    bad = compare(old, rows([0.2] * 40, [1.0] * 40, answer="other"), margins={"token_f1": 0.15, "exact_match": 0.15})
    assert bad.verdict == "FAIL"


def test_a_run_against_the_same_outputs_passes_any_margin() -> None:
    found = compare(rows([0.5] * 4, [1.0] * 4), rows([0.5] * 4, [1.0] * 4), margins={"token_f1": 0.001})
    assert found.identical == 4
    assert found.verdict == "PASS"
    assert of(found, "token_f1").detectable is None


def test_a_case_that_one_run_lacks_is_unscored_and_counts_against_the_new_one() -> None:
    old = rows([0.8] * 40, [1.0] * 40)
    found = compare(old, rows([0.8] * 40, [1.0] * 40)[:30], margins={"token_f1": 0.1})
    assert found.missing == 10
    assert (of(found, "token_f1").difference.n, of(found, "token_f1").difference.dropped) == (30, 10)
    assert found.verdict == "FAIL"


def test_a_case_without_all_its_repeats_is_unscored() -> None:
    old = [
        each for n in range(12) for each in (row(f"c{n}", {"token_f1": 0.5}), row(f"c{n}", {"token_f1": 0.7}, repeat=1))
    ]
    found = of(compare(old, old[:-1], ["token_f1"]), "token_f1")
    assert (found.difference.n, found.difference.dropped) == (11, 1)
    assert found.old.value == pytest.approx(0.6)


def test_counts_cases_that_a_metric_applies_to_in_one_run_only() -> None:
    old = [*rows([0.5] * 9, [1.0] * 9), row("na", {}, not_applicable={"token_f1": "abstained"})]
    new = [*rows([0.5] * 9, [1.0] * 9), row("na", {"token_f1": 0.2})]
    found = of(compare(old, new, ["token_f1"]), "token_f1")
    assert (found.lonely, found.difference.n, found.difference.dropped) == (1, 9, 0)


def test_clusters_by_page_and_reports_each_slice() -> None:
    def run(score: float) -> list[Row]:
        return [
            row(f"c{n}", {"token_f1": score + 0.01 * (n % 3)}, cluster=f"p{n // 2}", slices={"kind": "ab"[n % 2]})
            for n in range(20)
        ]

    found = compare(run(0.5), run(0.6), ["token_f1"])
    assert (found.cases, found.clusters) == (20, 10)
    parts = {(each.name, each.value): each.difference for each in of(found, "token_f1").slices}
    assert parts["kind", "a"].n == parts["kind", "b"].n == 10
    assert parts["kind", "a"].value == pytest.approx(0.1)


def test_a_balanced_metric_weighs_both_halves_alike() -> None:
    def run(answerable: float, unanswerable: float) -> list[Row]:
        return [
            row(f"c{n}", {"abstention_balanced": unanswerable if n < 5 else answerable}, answerable=n >= 5)
            for n in range(20)
        ]

    found = of(compare(run(1.0, 1.0), run(1.0, 0.0), ["abstention_balanced"]), "abstention_balanced")
    assert found.difference.value == pytest.approx(-0.5)
    assert found.new.value == pytest.approx(0.5)


def test_renders_what_it_could_find_first_and_no_control_characters() -> None:
    old = rows([0.5, 0.7] * 20, [1.0] * 40)
    new = rows([0.4, 0.75] * 20, [1.0] * 38 + [0.0] * 2, answer="other")
    hostile = [*old, row("evil\x1b[31m", {"token_f1": 0.9, "exact_match": 1.0}, slices={"kind\x1b": "\x1b[2J"})]
    worse = [*new, row("evil\x1b[31m", {"token_f1": 0.1, "exact_match": 0.0}, slices={"kind\x1b": "\x1b[2J"})]
    console = Console(record=True, width=200, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        render(compare(hostile, worse, margins={"token_f1": 0.15}), console)
    text = capture.get()
    assert text.index("finds in 80 %") < text.index("positive is better")
    assert "\x1b" not in text
    assert "INCONCLUSIVE" in text or "PASS" in text
    assert "worse: evil" in text


def test_parameters_in_a_metric_s_name_are_no_markup() -> None:
    run = [row(f"c{n}", {"rouge_l[beta=2.0]": 0.5}, slices={"kind": "[red]a[/red]"}) for n in range(3)]
    console = Console(record=True, width=200)
    with console.capture() as capture:
        render(compare(run, run, ["rouge_l[beta=2.0]"]), console)
    assert "rouge_l[beta=2.0]" in capture.get()
    assert "kind [red]a[/red]" in capture.get()


@pytest.mark.parametrize(
    ("margins", "words"),
    [({"recall@5": 0.1}, "is not compared"), ({"token_f1": 1.5}, "below 1"), ({"token_f1": -0.1}, "from 0")],
)
def test_refuses_margins_that_are_none(margins: Mapping[str, float], words: str) -> None:
    run = rows([0.5] * 4, [1.0] * 4)
    with pytest.raises(UserError, match=words):
        compare(run, run, margins=margins)


def test_refuses_nothing_to_compare() -> None:
    with pytest.raises(UserError, match="without rows"):
        compare([], rows([0.5], [1.0]))
    with pytest.raises(UserError, match="no metric"):
        compare(rows([0.5], [1.0]), rows([0.5], [1.0]), [])


def test_reads_margins_for_one_metric_or_for_all_from_0_to_1() -> None:
    names = ["token_f1", "latency_seconds"]
    assert read_margins(["0.1"], names) == {"token_f1": 0.1}
    assert read_margins(["0.1", "latency_seconds=2", "token_f1=0.2"], names) == {
        "token_f1": 0.2,
        "latency_seconds": 2.0,
    }
    for bad in ("x", "nan", "-1", "token_f1=", "other=0.1"):
        with pytest.raises(UserError):
            read_margins([bad], names)


@pytest.fixture
def cli(write_suite: WriteSuite, monkeypatch: pytest.MonkeyPatch) -> tuple[typer.Typer, Path]:
    project = write_suite()
    monkeypatch.setenv("LOCKGATE_PROJECT", str(project))
    app = typer.Typer()
    app.command("compare")(compare_command)
    app.command("plan")(plan_command)
    return app, project


def keep(
    project: Path, run: str, found: Sequence[Row], *, release: str = "", suite_hash: str = "h", **changes: Any
) -> None:
    state = project / ".lockgate"
    data = json.dumps([each.as_json() for each in found]).encode()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    names: dict[str, dict[str, Any]] = {name: {} for each in found for name in each.scores}
    record = {
        "id": run,
        "suite": "tiny",
        "suite_version": "3",
        "suite_hash": suite_hash,
        "chain": "docs",
        "mode": "extractive",
        "model": "",
        "release": release,
        "snapshot": "s",
        "started_at": now,
        "finished_at": now,
        "aggregates": {"metrics": names},
        "rows_hash": ObjectStore(state / "objects").put(data),
        "metadata": {"split": "all", "limit": None, "repeats": 1},
        **changes,
    }
    with open_database(f"sqlite:///{state / 'lockgate.db'}") as db:
        write_eval_run(db, EvalRunRecord(**record))


def test_compares_two_runs_by_id_and_exits_by_the_verdict(cli: tuple[typer.Typer, Path]) -> None:
    app, project = cli
    keep(project, "run-a", rows([0.8] * 40, [1.0] * 40))
    keep(project, "run-b", rows([0.1] * 40, [1.0] * 40, answer="other"))
    plain = CliRunner().invoke(app, ["compare", "run-a", "run-b"], catch_exceptions=False)
    assert plain.exit_code == 0
    assert "B minus A" in plain.stdout
    failed = CliRunner().invoke(
        app, ["compare", "run-a", "run-b", "--margin", "0.15", "--json"], catch_exceptions=False
    )
    assert failed.exit_code == 1
    body = json.loads(failed.stdout)
    assert body["verdict"] == "FAIL"
    assert body["metrics"][0]["decision"]["reason"].startswith("token_f1: it is worse")
    passed = CliRunner().invoke(app, ["compare", "run-b", "run-a", "--margin", "token_f1=0.15"], catch_exceptions=False)
    assert passed.exit_code == 0


def test_exits_with_3_when_there_is_too_little_to_tell(cli: tuple[typer.Typer, Path]) -> None:
    app, project = cli
    keep(project, "run-a", rows([0.8, 0.2] * 4, [1.0] * 8))
    keep(project, "run-b", rows([0.7, 0.3] * 4, [1.0] * 8, answer="other"))
    found = CliRunner().invoke(app, ["compare", "run-a", "run-b", "--margin", "token_f1=0.05"], catch_exceptions=False)
    assert found.exit_code == 3
    assert "more cases would decide it" in found.stdout


@pytest.mark.parametrize(
    "change", [{"suite_hash": "other"}, {"metadata": {"split": "dev", "limit": None, "repeats": 1}}]
)
def test_refuses_runs_that_asked_something_else(cli: tuple[typer.Typer, Path], change: Mapping[str, Any]) -> None:
    app, project = cli
    keep(project, "run-a", rows([0.8], [1.0]))
    keep(project, "run-b", rows([0.8], [1.0]), **change)
    with pytest.raises(UserError, match="no two runs") as refused:
        CliRunner().invoke(app, ["compare", "run-a", "run-b"], catch_exceptions=False)
    assert "run-a (tiny v3" in refused.value.hint


def test_refuses_one_run_against_itself_and_unknown_names(cli: tuple[typer.Typer, Path]) -> None:
    app, project = cli
    keep(project, "run-a", rows([0.8], [1.0]))
    with pytest.raises(UserError, match="the same run"):
        CliRunner().invoke(app, ["compare", "run-a", "run-a"], catch_exceptions=False)
    with pytest.raises(NotFound):
        CliRunner().invoke(app, ["compare", "run-a", "abcdef123"], catch_exceptions=False)


def test_does_not_compare_the_scores_of_two_judges(cli: tuple[typer.Typer, Path]) -> None:
    app, project = cli
    for name in ("a", "b"):
        judged = [row(f"c{n}", {"token_f1": 0.5, "faithfulness": 0.5}) for n in range(9)]
        metadata = {"split": "all", "limit": None, "repeats": 1, "judge": {"model": name}}
        keep(project, f"run-{name}", judged, metadata=metadata)
    found = CliRunner().invoke(app, ["compare", "run-a", "run-b", "--json"], catch_exceptions=False)
    assert [each["metric"] for each in json.loads(found.stdout)["metrics"]] == ["token_f1"]
    assert "faithfulness is not compared: the runs had different judges." in found.stderr


def test_plans_a_gate_from_the_rows_of_a_run(cli: tuple[typer.Typer, Path]) -> None:
    from evals.suite import load_suite

    app, project = cli
    gates = project / "evals" / "gates"
    gates.mkdir(parents=True)
    (gates / "production.yaml").write_text(
        "channel: production\nrules:\n- rule: suite\n  floors: {token_f1: 0.2}\n  max_drop: {token_f1: 0.15}\n"
    )
    assumed = CliRunner().invoke(app, ["plan", "tiny"], catch_exceptions=False)
    assert "can be planned only from a run" in assumed.stdout
    suite = load_suite(project, "tiny")
    keep(project, "run-a", rows([0.5, 0.9] * 20, [1.0] * 40), suite_hash=suite.hash)
    measured = CliRunner().invoke(app, ["plan", "tiny", "--json"], catch_exceptions=False)
    body = json.loads(measured.stdout)
    assert body["cases"] == 4
    assert body["needed"] > 4
    assert [each["bound"]["kind"] for each in body["assumed"]] == ["floor", "drop"]
    given = CliRunner().invoke(app, ["plan", "tiny", "--sd", "token_f1=0.3", "--json"], catch_exceptions=False)
    assert json.loads(given.stdout)["assumed"][1]["source"] == "given"
    with pytest.raises(UserError, match="METRIC=NUMBER"):
        CliRunner().invoke(app, ["plan", "tiny", "--sd", "recall@5=0.3"], catch_exceptions=False)
    with pytest.raises(UserError, match="no rule about the suite"):
        (gates / "production.yaml").write_text("channel: production\nrules:\n- rule: verify\n")
        CliRunner().invoke(app, ["plan", "tiny"], catch_exceptions=False)
