from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from evals.comparing.plan import Assumed, GateBound, GatePlan, bounds_of, plan_gate
from evals.comparing.plan_table import render
from evals.rules.definitions import SuiteRule
from evals.runs.row import Row
from evals.statistics.decision import floor
from evals.statistics.pairs import MetricShape, Value
from evals.statistics.power import PlannedRule
from lockgate.errors import UserError
from tests.evals.compared import row

DROP = GateBound("token_f1", "drop", 0.15)
FLOOR = GateBound("token_f1", "floor", 0.4)


def run(shift: float = 0.0, *, size: int = 1) -> list[Row]:
    """Scores of 60 cases, in clusters of ``size`` that score alike."""
    return [
        row(f"c{n}", {"token_f1": 0.45 + 0.1 * (n // size % 5) + shift * (-1) ** n}, cluster=f"p{n // size}")
        for n in range(60)
    ]


def only(plan: GatePlan) -> Assumed:
    (found,) = plan.assumed
    return found


def test_reads_every_bound_of_a_rule() -> None:
    rule = SuiteRule.model_validate(
        {
            "rule": "suite",
            "floors": {"token_f1": 0.3},
            "max_drop": {"recall@5": 0.1},
            "slices": {"kind": {"how-to": {"token_f1": 0.2}}},
        }
    )
    assert [each.label for each in bounds_of(rule)] == [
        "token_f1 floor",
        "token_f1 floor, kind how-to",
        "recall@5 drop",
    ]


def test_never_states_fewer_cases_than_the_gate_wants_scored() -> None:
    keys = {"rule": "suite", "max_drop": {"token_f1": 0.45}}
    stated = [
        plan_gate(bounds_of(SuiteRule.model_validate({**keys, "min_n": least})), 60, sds={"token_f1": 0.1})
        for least in (30, 90)
    ]
    assert [each.needed for each in stated] == [40, 90]
    assert [each.here is not None and each.here.joint > 0.99 for each in stated] == [True, False]


def test_without_rows_it_states_what_it_assumes() -> None:
    plan = plan_gate([DROP, FLOOR, GateBound("exact_match", "drop", 0.15)], 40)
    drop, floor, binary = plan.assumed
    assert drop.rule is not None and drop.rule.sd == 0.3
    assert drop.source == "assumed"
    assert floor.rule is None
    assert "only from a run" in floor.problem
    assert binary.rule is not None and binary.rule.sd == pytest.approx(math.sqrt(0.15))
    assert plan.needed is not None and plan.needed > 40


def test_about_fifteen_points_are_what_forty_cases_can_tell() -> None:
    plan = plan_gate([DROP], 40)
    assert plan.here is not None
    (margin,) = plan.here.margins
    assert margin is not None
    assert 0.13 <= margin <= 0.17


def test_the_drop_table_is_the_one_of_the_docs() -> None:
    assert [(n, round(100 * chance)) for n, chance in plan_gate([DROP], 40).drops] == [
        (50, 12),
        (100, 28),
        (200, 51),
        (400, 80),
        (800, 98),
    ]


def test_two_runs_measure_how_releases_differ() -> None:
    measured = only(plan_gate([DROP], 60, run(), run(0.05)))
    assert measured.rule is not None
    assert measured.rule.sd == pytest.approx(0.05, abs=0.001)
    assert "two runs" in measured.source
    one = only(plan_gate([DROP], 60, run()))
    assert one.rule is not None and one.rule.sd > measured.rule.sd
    given = only(plan_gate([DROP], 60, run(), run(0.05), sds={"token_f1": 0.2}))
    assert given.rule is not None and (given.rule.sd, given.source) == (0.2, "given")


def test_a_floor_is_planned_from_the_mean_of_a_run() -> None:
    found = only(plan_gate([FLOOR], 60, run()))
    assert found.rule is not None
    assert found.rule.margin == pytest.approx(0.25)
    above = only(plan_gate([GateBound("token_f1", "floor", 0.7)], 60, run()))
    assert above.rule is None
    assert "no n makes such a release pass" in above.problem


def test_shared_pages_widen_the_variance() -> None:
    alone, paged = (only(plan_gate([FLOOR], 60, run(size=size))).rule for size in (1, 4))
    assert alone is not None and paged is not None
    assert alone.design_effect < 1.1
    assert paged.design_effect > 2
    assert paged.cluster_size == 4


def test_a_slice_sees_its_share_of_the_cases() -> None:
    rows = [row(f"c{n}", {"token_f1": 0.5 + 0.1 * (n % 3)}, slices={"kind": "ab"[n % 2]}) for n in range(60)]
    whole = plan_gate([GateBound("token_f1", "floor", 0.5)], 60, rows)
    part = plan_gate([GateBound("token_f1", "floor", 0.5, ("kind", "a"))], 60, rows)
    assert only(part).share == 0.5
    assert part.needed is not None and whole.needed is not None
    assert part.needed == pytest.approx(2 * whole.needed, abs=2)


def test_a_gate_without_bounds_has_no_plan() -> None:
    with pytest.raises(UserError, match="nothing to plan"):
        plan_gate([], 40)


def test_renders_also_what_cannot_be_planned() -> None:
    for bounds in ([DROP, FLOOR], [FLOOR]):
        console = Console(width=200)
        with console.capture() as capture:
            render(plan_gate(bounds, 40), console)
        assert "only from a run" in capture.get()
        assert "12 %" in capture.get()


def test_a_low_floor_asks_for_no_release_that_is_worse_than_the_scale_goes() -> None:
    rule = PlannedRule("token_f1 floor", "floor", margin=0.13, sd=0.29, expected=0.28)
    assert rule.worse_mean == pytest.approx(0.02)
    lower = replace(rule, margin=0.2)
    assert lower.worse_mean == 0.0
    assert lower.sd_of_dropped == 0.0
    assert lower.fails(10) == 0.0
    assert lower.fails(40) == 1.0  # every score would be the worst there is
    assert 0.0 < rule.fails(100) < 1.0


def test_the_planned_fail_of_a_floor_is_that_of_simulated_scores() -> None:
    generator = np.random.default_rng(11)
    shape = MetricShape("token_f1", (0.0, 1.0), "higher")
    rule = PlannedRule("token_f1 floor", "floor", margin=0.13, sd=0.3, expected=0.33)
    for n in (60, 120, 200):
        worse = generator.random((400, n)) < (rule.worse_mean or 0)
        failed = sum(
            floor([Value(str(i), "", float(score)) for i, score in enumerate(row)], shape, 0.2).verdict == "FAIL"
            for row in worse
        )
        assert failed / 400 >= rule.fails(n) - 0.1
