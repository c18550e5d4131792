"""How often the gate's decision is right, over simulated releases, and how often its intervals hold the truth.

    python -m bench.gate_simulation [--runs 4000]

A release is truly worse by 0, 1 or 2 margins, and is judged by the decision that the gate uses. Binary scores: a share
of the cases changes between equal releases. Like token F1: 30 % of the scores are 0, the others beta(4, 2), and both
releases give the same answer to a share of the cases. Pages: cases come in clusters of 4 that mostly do alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from evals.statistics.difference import adjusted_limits, score_limits, t_limits
from evals.statistics.discordance import caught
from evals.statistics.power import PlannedRule, needed
from evals.statistics.simulation import Draw, binary_pairs, clustered, judge_drop, judge_gate, skewed_pairs

SIZES = (40, 100, 200, 400, 800)
MARGINS = (0.05, 0.10, 0.15)
KINDS: Mapping[str, Draw] = MappingProxyType(
    {
        "binary, 15 % change": binary_pairs(0.15),
        "binary, 4 % change": binary_pairs(0.04),
        "like token F1, 60 % alike": skewed_pairs(),
        "like token F1, 90 % alike": skewed_pairs(alike=0.9),
    }
)
PAGES: Mapping[str, Draw] = MappingProxyType(
    {
        "binary, 15 % change, pages": clustered(binary_pairs(0.15), 4, 0.6),
        "like token F1, 60 % alike, pages": clustered(skewed_pairs(), 4, 0.6),
    }
)


def verdicts(runs: int) -> None:
    print(f"P(PASS) / P(FAIL) / P(INCONCLUSIVE) in %, {runs} runs, for a true drop of")
    for name, draw in {**KINDS, **PAGES}.items():
        for margin in MARGINS:
            print(
                f"\n{name}; margin {100 * margin:g} points\n{'n':>5}{'0 margins':>24}{'1 margin':>24}{'2 margins':>24}"
            )
            for n in SIZES:
                size = 4 if name in PAGES else 1
                rates = [judge_drop(draw, n, margin, k * margin, size=size, runs=runs, seed=n) for k in (0, 1, 2)]
                cells = (f"{100 * r.passed:.1f} / {100 * r.failed:.1f} / {100 * r.inconclusive:.1f}" for r in rates)
                print(f"{n:>5}" + "".join(f"{cell:>24}" for cell in cells))


def planned(runs: int) -> None:
    print("\nAt the n that `plan` states: PASS of an equal release, its FAIL, and FAIL of one two margins worse, in %")
    for name, draw in KINDS.items():
        spread = float(draw(np.random.default_rng(1), (500, 1000), 0.0).std())
        for margin in MARGINS:
            n = needed([PlannedRule(name, "drop", margin, spread)])
            if n is not None:
                equal, twice = (judge_drop(draw, n, margin, drop, runs=runs) for drop in (0.0, 2 * margin))
                figures = f"{100 * equal.passed:6.1f}{100 * equal.failed:6.1f}{100 * twice.failed:6.1f}"
                print(f"{name:<28} margin {100 * margin:>3g} points, sd {spread:.3f}, n = {n:>4}:{figures}")


def gates(runs: int) -> None:
    print("\nA gate of several such metrics with a margin of 15 points each, at the n that `plan` states")
    draw = KINDS["like token F1, 60 % alike"]
    spread = float(draw(np.random.default_rng(1), (500, 1000), 0.0).std())
    for count in (1, 2, 3, 5):
        n = needed([PlannedRule("f1", "drop", 0.15, spread)] * count)
        if n is not None:
            equal = judge_gate([(draw, 0.15, 0.0)] * count, n, runs=runs)
            one = judge_gate([(draw, 0.15, 0.3), *[(draw, 0.15, 0.0)] * (count - 1)], n, runs=runs)
            figures = f"an equal release passes {100 * equal.passed:.1f} % and fails {100 * equal.failed:.1f} %"
            print(f"{count} metrics, n = {n}: {figures}; one metric worse by 30 points fails {100 * one.failed:.1f} %")


def coverage(runs: int) -> None:
    print("\nNominal 95 % intervals hold the truth, in %, at n = " + ", ".join(map(str, SIZES)))
    random = np.random.default_rng(4)
    for zero in (0.1, 0.4, 0.7, 0.9):
        shares = []
        for n in SIZES:
            scores = np.where(random.random((runs, n)) < zero, 0.0, random.beta(4, 2, (runs, n)))
            shares.append(_held(score_limits(scores, np.ones(n), 0.95), (1 - zero) * 4 / 6))
        _print(f"mean like token F1, {100 * zero:g} % zeros", shares)
    for share in (0.5, 0.8, 0.9):
        _print(
            f"share of {share:g}",
            [
                _held(score_limits((random.random((runs, n)) < share).astype(float), np.ones(n), 0.95), share)
                for n in SIZES
            ],
        )
    for name, draw in {**KINDS, **PAGES}.items():
        size = 4 if name in PAGES else 1
        shares = []
        for n in SIZES:
            sums, sizes = draw(random, (runs, n), 0.1), np.full(n // size, float(size))
            binary = name.startswith("binary")
            limits = adjusted_limits(sums, sizes, 0.95, 1.0) if binary else t_limits(sums, sizes, 0.95)
            shares.append(_held(limits, -0.1))
        _print(f"difference, {name}, drop of 10", shares)


def drops() -> None:
    print("\nA drop of 5 points is caught (exact McNemar, one-sided 5 %; 10 % become worse, 5 % better), in %")
    for n in (50, *SIZES[1:]):
        print(f"n = {n:>3}: {100 * caught(n, 0.05, 0.15):.1f}")


def _held(limits: tuple[np.ndarray, np.ndarray], truth: float) -> float:
    low, high = limits
    return float(np.mean((low <= truth) & (truth <= high)))


def _print(name: str, shares: list[float]) -> None:
    print(f"{name:<52}" + "".join(f"{100 * share:7.1f}" for share in shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000)
    runs = parser.parse_args().runs
    verdicts(runs)
    planned(runs)
    gates(runs)
    coverage(runs)
    drops()


if __name__ == "__main__":
    main()
