"""From features and the encoder's scores to one number: for a sentence, and for a whole answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guardrails.grounding.evidence import Window
from guardrails.grounding.features import FEATURES, Measured
from lockgate.ports import PairScorer
from lockgate.types import PairScore

HELD = 0.8
"""A window that supports a claim this much leaves the claim's other windows unread."""

_WEIGHT = FEATURES.index("missing_weight")
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Reading:
    """What the encoder saw: ``window`` is the place of the window that supports most, ``values`` are LEARNED."""

    window: int
    score: PairScore
    values: tuple[float, float, float]


def read_claims(scorer: PairScorer, claims: Sequence[tuple[str, Sequence[Window]]]) -> list[Reading]:
    """A reading of each claim, which has at least one window; the first windows of all are read together."""
    first = scorer.score([(claim, windows[0].text) for claim, windows in claims])
    scores = [[score] for score in first]
    more = [
        (place, (claim, window.text))
        for place, (claim, windows) in enumerate(claims)
        for window in windows[1:]
        if first[place].supported < HELD
    ]
    for (place, _), score in zip(more, scorer.score([pair for _, pair in more]) if more else [], strict=True):
        scores[place].append(score)
    return [_reading(found) for found in scores]


def _reading(scores: Sequence[PairScore]) -> Reading:
    """The least "unsupported" of a claim's windows: what one window holds, no other can take away."""
    window = min(range(len(scores)), key=lambda place: (-scores[place].supported, place))
    best = scores[window]
    marked = max((mark.score for mark in best.marks), default=0.0)
    return Reading(window, best, (log_odds(1.0 - best.supported), best.contradicted, marked))


def answer_values(
    logits: Sequence[float], measured: Sequence[Measured], aside: Sequence[Measured] = ()
) -> tuple[float, float, float]:
    """The values of ANSWER for sentences with these log-odds of being unsupported; ``aside`` claim nothing."""
    highest = max(logits)
    joined = highest + math.log(sum(math.exp(logit - highest) for logit in logits))
    every = (*measured, *aside)
    share = sum(item.unheld for item in every) / max(1, sum(item.size for item in every))
    return joined, max(item.values[_WEIGHT] for item in measured), share


def likelihood(logit: float) -> float:
    """Log-odds as a likelihood in (0, 1)."""
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit))))


def log_odds(share: float) -> float:
    share = max(_LEAST, min(1.0 - _LEAST, share))
    return math.log(share / (1.0 - share))
