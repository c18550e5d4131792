"""How often the decision is right and how often wrong, over simulated releases. The figures are printed (pytest -s)."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from evals.statistics.power import PlannedRule, joint_chance, needed, power_at, supported_margin
from evals.statistics.simulation import Draw, binary_pairs, clustered, judge_drop, judge_gate, skewed_pairs

SIZES = (40, 100, 200, 400, 800)
RUNS = 2000
MANY = 10_000  # a standard error of 0.4 points at 80 %: the bounds are held as they stand, without any slack

KINDS: dict[str, Draw] = {
    "binary": binary_pairs(0.15),
    "binary, few change": binary_pairs(0.04),
    "like token F1": skewed_pairs(),
    "like token F1, most alike": skewed_pairs(alike=0.9),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0.05, 0.15])
def test_a_drop_at_the_margin_passes_at_most_once_in_twenty(kind: str, margin: float) -> None:
    sys.stdout.write(f"\n{kind}, margin {margin:g}: P(PASS) / P(FAIL) / P(INCONCLUSIVE) in %" + "\n")
    for n in SIZES:
        rates = {times: judge_drop(KINDS[kind], n, margin, times * margin, runs=RUNS, seed=n) for times in (0, 1, 2)}
        cells = (f"{100 * r.passed:5.1f} /{100 * r.failed:5.1f} /{100 * r.inconclusive:5.1f}" for r in rates.values())
        sys.stdout.write(f"  n = {n:3}: drop of 0, 1, 2 margins   " + "   ".join(cells) + "\n")
        assert rates[0].failed <= 0.05
        assert rates[1].passed <= 0.05
        assert rates[2].passed <= 0.05


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("kind", ["binary", "like token F1"])
def test_cases_that_share_a_page_do_not_make_it_pass(kind: str, size: int) -> None:
    draw = clustered(KINDS[kind], size, 0.6)
    for n in SIZES:
        equal, dropped = (judge_drop(draw, n, 0.1, drop, size=size, runs=RUNS, seed=n) for drop in (0.0, 0.1))
        assert equal.failed <= 0.05
        assert dropped.passed <= 0.05


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0.05, 0.1, 0.15, 0.2])
def test_the_n_that_plan_states_decides(kind: str, margin: float) -> None:
    draw = KINDS[kind]
    rule = PlannedRule(kind, "drop", margin, spread(draw))
    n = needed([rule])
    assert n is not None
    equal, twice = (judge_drop(draw, n, margin, drop, runs=MANY) for drop in (0.0, 2 * margin))
    sys.stdout.write(
        f"\n{kind}, margin {margin:g}, n = {n}: PASS of an equal one {equal.passed:.3f}, FAIL {twice.failed:.3f}" + "\n"
    )
    assert equal.passed >= 0.8
    assert equal.failed <= 0.05
    assert twice.failed >= 0.8
    assert twice.passed <= 0.01


def test_a_gate_of_several_metrics_decides_at_the_n_that_plan_states() -> None:
    margins = {"binary": 0.15, "like token F1": 0.1, "like token F1, most alike": 0.05}
    rules = [PlannedRule(kind, "drop", margin, spread(KINDS[kind])) for kind, margin in margins.items()]
    n = needed(rules)
    assert n is not None

    def judged(times: dict[str, float]) -> tuple[float, float]:
        metrics = [(KINDS[kind], margin, times.get(kind, 0.0) * margin) for kind, margin in margins.items()]
        rates = judge_gate(metrics, n, runs=RUNS)
        return rates.passed, rates.failed

    passed, failed = judged({})
    sys.stdout.write(f"\nthree metrics, n = {n}: an equal release passes {passed:.3f} and fails {failed:.3f}" + "\n")
    assert passed >= 0.8
    assert failed <= 0.05
    for kind in margins:
        passed, failed = judged({kind: 2.0})
        assert passed <= 0.05
        assert failed >= 0.8
        assert judged({kind: 1.0})[0] <= 0.05


def test_more_cases_support_a_smaller_margin() -> None:
    rule = PlannedRule("token_f1", "drop", 0.1, 0.3)
    margins = [supported_margin(rule, n) for n in SIZES]
    assert all(margin is not None for margin in margins)
    assert margins == sorted(margins, key=lambda each: -(each or 0))
    assert supported_margin(rule, 3) is None
    needed_n = needed([rule])
    assert needed_n is not None
    assert supported_margin(rule, needed_n) == pytest.approx(0.1, abs=0.002)


def test_clusters_and_more_rules_need_more_cases() -> None:
    rule = PlannedRule("token_f1", "drop", 0.1, 0.3)
    paged = PlannedRule("token_f1", "drop", 0.1, 0.3, design_effect=1.8, cluster_size=2.0)
    one, three, clustered_n = needed([rule]), needed([rule] * 3), needed([paged])
    assert one is not None and three is not None and clustered_n is not None
    assert one < three
    assert one < clustered_n
    assert needed([PlannedRule("token_f1", "drop", 0.3, 0.1)]) == 40
    assert power_at([rule], one).joint >= 0.8 > power_at([rule], one - 3).joint


def test_a_margin_that_no_n_supports_is_none() -> None:
    assert needed([PlannedRule("token_f1", "drop", 0.0005, 0.4)]) is None
    with pytest.raises(ValueError, match="without rules"):
        needed([])
    with pytest.raises(ValueError, match="margin above 0"):
        PlannedRule("token_f1", "drop", 0.0, 0.4)


def test_the_joint_chance_without_a_correlation_holds_for_any() -> None:
    chances = [0.9, 0.95, 0.85]
    bound = joint_chance(chances)
    assert bound == pytest.approx(0.7)
    assert joint_chance(chances, 0.0) == pytest.approx(0.9 * 0.95 * 0.85, abs=1e-6)
    assert bound < joint_chance(chances, 0.0) < joint_chance(chances, 0.7) < 0.85


def spread(draw: Draw) -> float:
    return float(draw(np.random.default_rng(1), (500, 1000), 0.0).std())


def test_a_plan_counts_what_the_gate_needs_before_it_judges_at_all() -> None:
    rule = PlannedRule("token_f1", "drop", 0.3, 0.1, share=0.5, min_n=60)
    assert needed([rule]) == 120
    assert power_at([rule], 119).joint == 0.0
    assert power_at([rule], 120).joint > 0.99
    assert supported_margin(rule, 119) is None
