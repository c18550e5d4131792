"""How often a rollout is stopped though nothing is wrong, and how soon when something is.

    python -m bench.rollout [--runs 200] [--requests 500] [--every 1] [--share 10]

Simulates rollouts request by request with the default bounds and looks at them after every ``--every`` requests, which
is more often than a server does. Answers take log-normal times (sigma 0.7); 2 percent of the current release's requests
fail and 20 percent of its answers abstain.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass, field
from statistics import median

from lockgate.store.arms import ArmFigures, ArmName
from serving.rollout import BOUNDS
from serving.rollout_verdict import judge_rollout

ERRORS, ABSTENTIONS, MILLISECONDS = 0.02, 0.20, 800.0
SIGMA = 0.7


@dataclass
class Arm:
    """A release that fails, abstains and takes time at fixed rates."""

    errors: float
    abstentions: float
    milliseconds: float
    n: int = 0
    failed: int = 0
    abstained: int = 0
    times: list[float] = field(default_factory=list)

    def ask(self, rng: random.Random) -> None:
        self.n += 1
        if rng.random() < self.errors:
            self.failed += 1
            return
        self.abstained += rng.random() < self.abstentions
        self.times.append(rng.lognormvariate(math.log(self.milliseconds), SIGMA))

    def figures(self) -> ArmFigures:
        return ArmFigures(self.n, self.failed, self.abstained, tuple(self.times))


SCENES: dict[str, tuple[float, float, float]] = {
    "equal": (ERRORS, ABSTENTIONS, MILLISECONDS),
    "exactly at the error bound": (ERRORS + BOUNDS["error_rate"], ABSTENTIONS, MILLISECONDS),
    "exactly at the abstention bound": (ERRORS, ABSTENTIONS + BOUNDS["abstention_rate"], MILLISECONDS),
    "exactly at the latency bound": (ERRORS, ABSTENTIONS, MILLISECONDS * BOUNDS["latency_ratio"]),
    "errors + 20 points": (ERRORS + 0.20, ABSTENTIONS, MILLISECONDS),
    "abstentions + 40 points": (ERRORS, ABSTENTIONS + 0.40, MILLISECONDS),
    "three times as slow": (ERRORS, ABSTENTIONS, MILLISECONDS * 3),
    "everything fails": (1.0, ABSTENTIONS, MILLISECONDS),
}


def stopped_after(
    seed: int, candidate: tuple[float, float, float], share: float, requests: int, every: int
) -> int | None:
    """The number of requests after which the rollout stopped itself; None when it did not."""
    rng = random.Random(seed)
    old, new = Arm(ERRORS, ABSTENTIONS, MILLISECONDS), Arm(*candidate)
    for count in range(1, requests + 1):
        (new if rng.random() < share else old).ask(rng)
        figures: dict[ArmName, ArmFigures] = {"current": old.figures(), "candidate": new.figures()}
        if count % every == 0 and judge_rollout(figures, BOUNDS) is not None:
            return count
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--share", type=float, default=10.0, help="percent")
    options = parser.parse_args()
    print(f"{options.runs} rollouts of {options.requests} requests, {options.share:g} %, a look every {options.every}:")
    for name, candidate in SCENES.items():
        found = [
            stopped_after(seed, candidate, options.share / 100, options.requests, options.every)
            for seed in range(options.runs)
        ]
        stops = [count for count in found if count is not None]
        after = f", in the median after {median(stops):.0f} requests" if stops else ""
        print(f"{name:<32} stopped {100 * len(stops) / len(found):5.1f} %{after}")


if __name__ == "__main__":
    main()
