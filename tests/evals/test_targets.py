from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evals.metrics.catalogue import standard_metrics
from evals.targets import TRAFFIC, TargetRow, known_metrics, measure_targets, read_targets, target_lines, unmeasured
from lockgate.scope import Scope, ScopeFile, check_scope
from lockgate.store.database import Database, open_database
from lockgate.store.eval_runs import EvalRunRecord, write_eval_run
from lockgate.store.feedback import write_feedback
from lockgate.store.traces import TraceRecord, write_trace

RELEASE = "a" * 64


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as database:
        yield database


def scope_of(*targets: dict[str, Any]) -> Scope:
    file = {"owner": "me", "users": ["all"], "targets": [{"name": f"t{n}", **t} for n, t in enumerate(targets)]}
    return Scope(Path("scope.yaml"), "", ScopeFile.model_validate(file))


def quality(bound: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"kind": "quality", "metric": "token_f1", "at_least": bound, **more}


def run(
    db: Database,
    name: str,
    value: float | None,
    *,
    hours: int = 0,
    suite: str = "starter",
    mode: str = "extractive",
    release: str = RELEASE,
    complete: bool = True,
    pessimistic: float | None = None,
    unscored: int = 0,
    metric: str = "token_f1",
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    each = {"value": value, "pessimistic": value if pessimistic is None else pessimistic, "n": 4, "unscored": unscored}
    aggregates = {"metrics": {metric: each}, "complete": complete}
    write_eval_run(
        db,
        EvalRunRecord(name, suite, "1", "h", "docs", mode, "", release, "s", at, at, aggregates, "0" * 64),
    )


def trace(db: Database, name: str, *, ago: timedelta = timedelta(), **changes: Any) -> None:
    values: dict[str, Any] = {"origin": "api", "chain": "docs", "question": "?", "status": "ok", "release": RELEASE}
    write_trace(db, TraceRecord(id=name, created_at=datetime.now(UTC) - ago, **(values | changes)))


def only(rows: list[TargetRow]) -> TargetRow:
    (row,) = rows
    return row


def test_every_kind_of_target_has_metrics_and_quality_has_those_of_suites() -> None:
    known = known_metrics()
    assert set(known) == {"quality", "latency", "cost", "business"}
    assert set(known["quality"]) == set(standard_metrics())
    for kind, metrics in known.items():
        for metric in metrics:
            scope = scope_of({"kind": kind, "metric": metric, "at_least": 0.5})
            assert check_scope(scope, known) == []


def test_quality_comes_from_the_newest_complete_run_of_that_release(db: Database) -> None:
    run(db, "old", 0.9)
    run(db, "new", 0.4, hours=1)
    run(db, "part", 0.95, hours=2, complete=False)
    run(db, "foreign", 0.99, hours=3, release="b" * 64)
    run(db, "without", 1.0, hours=4, metric="mrr")
    row = only(measure_targets(db, scope_of(quality()), RELEASE))
    assert (row.measured, row.n, row.met, row.source) == (0.4, 4, False, "suite starter, run new")


def test_a_run_in_another_mode_or_of_another_suite_is_not_taken(db: Database) -> None:
    run(db, "quoted", 0.9)
    run(db, "written", 0.4, hours=1, mode="generative", suite="big")
    scope = scope_of(quality())
    assert only(measure_targets(db, scope, RELEASE, mode="extractive")).measured == 0.9
    assert only(measure_targets(db, scope_of(quality(suite="big")), RELEASE)).measured == 0.4
    row = only(measure_targets(db, scope_of(quality(suite="big")), RELEASE, mode="extractive"))
    assert (row.measured, row.met, row.source) == (None, None, "no complete run of the suite big on this release")


def test_cases_that_failed_do_not_help_to_reach_a_target(db: Database) -> None:
    run(db, "r", 1.0, pessimistic=0.25, unscored=12)
    row = only(measure_targets(db, scope_of(quality()), RELEASE))
    assert (row.measured, row.n, row.met) == (0.25, 16, False)
    assert row.source == "suite starter, run r, 12 unscored count as worst"


def test_a_run_that_scored_nothing_measures_nothing(db: Database) -> None:
    run(db, "r", None)
    row = only(measure_targets(db, scope_of(quality(0.0)), RELEASE))
    assert (row.measured, row.met) == (None, None)


def test_what_was_not_measured_is_never_met(db: Database) -> None:
    scope = scope_of(
        quality(0.0),
        *({"kind": kind, "metric": name, "at_least": 0} for kind, names in TRAFFIC.items() for name in names),
        {"kind": "cost", "metric": "cost_per_answer", "at_most": 1},
    )
    for rows in (measure_targets(db, scope, RELEASE), unmeasured(scope, "no release")):
        assert {(row.measured, row.met, row.n) for row in rows} == {(None, None, 0)}
        assert "not measured" in target_lines(rows)[1]
    assert measure_targets(db, scope, RELEASE)[-1].source == "no such metric; see lockgate scope lint"


def test_latency_cost_and_business_come_from_the_requests_of_users(db: Database) -> None:
    for second in range(1, 21):
        trace(db, f"t{second}", timings={"total": second * 1000.0}, prompt_tokens=second, completion_tokens=7)
    trace(db, "own", origin="eval", timings={"total": 1e6}, prompt_tokens=10**6, abstained=True)
    trace(db, "broke", status="error")
    trace(db, "quiet", abstained=True, prompt_tokens=11, completion_tokens=7)
    for vote, name in (("up", "t1"), ("up", "t2"), ("down", "t3")):
        write_feedback(db, name, vote)
    expected = {
        "answer_seconds_p50": (10.0, 20),
        "answer_seconds_p95": (19.0, 20),
        "first_token_seconds_p95": (19.0, 20),
        "prompt_tokens_mean": (pytest.approx(221 / 21), 21),
        "completion_tokens_mean": (7.0, 21),
        "thumbs_up_share": (pytest.approx(2 / 3), 3),
        "abstention_rate": (pytest.approx(1 / 21), 21),
        "answers_per_day": (pytest.approx(21.0), 21),
    }
    targets = [{"kind": kind, "metric": name, "at_most": 9} for kind, names in TRAFFIC.items() for name in names]
    rows = measure_targets(db, scope_of(*targets), RELEASE)
    assert {row.metric: (row.measured, row.n) for row in rows} == expected
    assert {row.metric for row in rows if row.met is False} == {
        "answer_seconds_p50",
        "answer_seconds_p95",
        "first_token_seconds_p95",
        "prompt_tokens_mean",
        "answers_per_day",
    }
    assert rows[0].source == "requests to this release; 1 failed requests left out"


def test_answers_per_day_goes_by_the_days_since_the_oldest(db: Database) -> None:
    trace(db, "old", ago=timedelta(days=4))
    trace(db, "new")
    row = only(measure_targets(db, scope_of({"kind": "business", "metric": "answers_per_day", "at_least": 1}), RELEASE))
    assert row.measured == pytest.approx(0.5, rel=0.01)
    assert row.met is False


@pytest.mark.parametrize(("answers", "half", "most"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (21, 11, 20), (100, 50, 95)])
def test_a_percentile_is_the_value_at_the_nearest_rank(db: Database, answers: int, half: int, most: int) -> None:
    for second in range(1, answers + 1):
        trace(db, f"t{second}", timings={"total": second * 1000.0})
    targets = [{"kind": "latency", "metric": f"answer_seconds_{p}", "at_most": 1} for p in ("p50", "p95")]
    assert [row.measured for row in measure_targets(db, scope_of(*targets), RELEASE)] == [half, most]


def test_one_slow_answer_of_one_is_its_own_percentile(db: Database) -> None:
    trace(db, "t", timings={"total": 4000.0})
    scope = scope_of({"kind": "latency", "metric": "answer_seconds_p95", "at_most": 4})
    assert only(measure_targets(db, scope, RELEASE)).met is True


def test_a_broken_scope_is_told_and_hides_nothing_else(db: Database, tmp_path: Path) -> None:
    assert read_targets(db, tmp_path, RELEASE).rows == ()
    (tmp_path / "scope.yaml").write_text("users: []\n")
    table = read_targets(db, tmp_path, RELEASE)
    assert table.rows == ()
    assert "scope.yaml:1: key 'owner' is missing." in table.problem
    (tmp_path / "scope.yaml").write_text(
        "owner: me\nusers: [all]\ntargets: [{name: a, kind: quality, metric: token_f1, at_least: 0}]\n"
    )
    assert [row.name for row in read_targets(db, tmp_path, RELEASE).rows] == ["a"]


def test_the_table_lines_up_and_says_met_or_missed() -> None:
    def row(name: str, measured: float | None, met: bool | None) -> TargetRow:
        return TargetRow(name, "quality", "mrr", "at least 0.5", measured, 3, met, "x")

    lines = target_lines([row("a", 0.25, False), row("long name", 0.75, True), row("c", None, None)])
    assert [line.split()[-2] for line in lines[1:]] == ["MISSED", "met", "-"]
    assert len({line.index("mrr") for line in lines[1:]}) == 1
    assert target_lines([]) == []
