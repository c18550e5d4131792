"""Joining the signals on the dev parts: weights for a sentence, weights for a whole answer, and the thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune.grounding.figures import best_balanced_threshold, best_f1_threshold
from finetune.grounding.regression import fit, logits
from finetune.grounding.rows import Row
from guardrails.grounding.claims import Claim
from guardrails.grounding.detector import ANSWER, LEARNED, Weights
from guardrails.grounding.evidence import Evidence
from guardrails.grounding.features import FEATURES, Measured, measure
from guardrails.grounding.signals import answer_values, read_claims
from guardrails.grounding.words import words
from lockgate.ports import PairScorer, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Signals:
    """A row with everything that is measured of it; ``learned`` are the values of LEARNED."""

    row: Row
    measured: Measured
    learned: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Composition:
    """How long answers are made of dev claims: the share of bad answers, and where claims come from."""

    answers: int
    bad_share: float
    good: Mapping[str, float]
    bad: Mapping[str, float]
    sentences: tuple[float, float] = (6.0, 2.5)  # mean and deviation
    two_bad: float = 0.35


@dataclass(frozen=True, slots=True)
class Calibrated:
    words: Weights
    joined: Weights
    answer: Weights
    settled: tuple[float, float]
    sentence_threshold: float
    answer_threshold: float


def signals_of(
    rows: Sequence[Row], rarity: Mapping[str, float], common: float, scorer: PairScorer, report: Progress
) -> list[Signals]:
    """Features and encoder scores of each row, as the grounder would have them."""
    found = []
    held: tuple[tuple[str, ...], Evidence] | None = None
    for done, row in enumerate(rows, start=1):
        if held is None or held[0] != row.passages:
            held = (row.passages, Evidence(row.passages, rarity, common))
        evidence = held[1]
        claim = Claim(0, len(row.claim), row.claim, row.claim)
        measured = measure(claim, evidence, frozenset(word.stem for word in words(row.question)))
        windows = evidence.windows(measured.stems)
        learned = read_claims(scorer, [(row.claim, windows)])[0].values if windows else (13.8, 0.0, 1.0)
        found.append(Signals(row, measured, learned))
        report("reading", done, len(rows))
    return found


def calibrate(
    signals: Sequence[Signals],
    importance: Mapping[str, float],
    composition: Composition,
    seed: int,
    settled_error: float,
) -> Calibrated:
    import numpy as np

    labels = np.array([float(signal.row.bad) for signal in signals])
    by_words = np.array([signal.measured.values for signal in signals])
    with_read = np.array([(*signal.measured.values, *signal.learned) for signal in signals])
    share = _importance(signals, importance)
    word_weights = fit(FEATURES, by_words, labels, share)
    joined = fit((*FEATURES, *LEARNED), with_read, labels, share)
    settled = _settled(logits(word_weights, by_words), labels, share, settled_error)
    joined_logits = _after_settling(logits(word_weights, by_words), logits(joined, with_read), settled)
    values, bad = compose(signals, joined_logits, composition, seed)
    answer = fit(ANSWER, values, bad, np.ones(len(bad)), penalty=0.005)
    scores = logits(answer, values)
    threshold = best_f1_threshold(bad, scores)
    sentence = best_balanced_threshold(labels, joined_logits)
    return Calibrated(word_weights, joined, answer, settled, _share(sentence), _share(threshold))


def compose(
    signals: Sequence[Signals], sentence_logits: Array, composition: Composition, seed: int
) -> tuple[Array, Array]:
    """(values of ANSWER, labels) of answers put together from dev claims, each with its own passages."""
    import numpy as np

    chance = np.random.default_rng(seed)
    sources = np.array([signal.row.source for signal in signals])
    bad = np.array([signal.row.bad for signal in signals])
    pools = {
        (kind, source): np.flatnonzero((sources == source) & (bad == kind))
        for kind, shares in ((False, composition.good), (True, composition.bad))
        for source in shares
    }
    values, labels = [], []
    for _ in range(composition.answers):
        size = int(np.clip(chance.normal(*composition.sentences), 1, 14))
        is_bad = chance.random() < composition.bad_share
        wrong = (1 + int(chance.random() < composition.two_bad)) if is_bad else 0
        chosen = []
        for place in range(max(size, wrong)):
            shares = composition.bad if place < wrong else composition.good
            names = [name for name in shares if len(pools[place < wrong, name])]
            odds = np.array([shares[name] for name in names])
            pool = pools[place < wrong, names[int(chance.choice(len(names), p=odds / odds.sum()))]]
            chosen.append(int(pool[int(chance.integers(len(pool)))]))
        values.append(
            answer_values([float(sentence_logits[at]) for at in chosen], [signals[at].measured for at in chosen])
        )
        labels.append(float(is_bad))
    return np.array(values), np.array(labels)


def _after_settling(by_words: Array, joined: Array, settled: tuple[float, float]) -> Array:
    import numpy as np

    result: Array = np.where((by_words < settled[0]) | (by_words > settled[1]), by_words, joined)
    return result


def _settled(scores: Array, labels: Array, share: Array, error: float) -> tuple[float, float]:
    """The log-odds under which at most ``error`` of the sentences are bad, and over which at most that are good."""
    import numpy as np

    order = np.argsort(scores)
    weight, wrong = share[order], (share * labels)[order]
    below = np.cumsum(wrong) / np.cumsum(weight)
    above = np.cumsum((weight - wrong)[::-1]) / np.cumsum(weight[::-1])
    low = np.flatnonzero(below <= error)
    high = np.flatnonzero(above <= error)
    ranked = scores[order]
    lowest = float(ranked[low[-1]]) if len(low) else float(ranked[0]) - 1.0
    highest = float(ranked[::-1][high[-1]]) if len(high) else float(ranked[-1]) + 1.0
    return round(min(lowest, highest), 4), round(max(lowest, highest), 4)


def _importance(signals: Sequence[Signals], importance: Mapping[str, float]) -> Array:
    """Each source weighs what ``importance`` says (nothing where it says nothing), half on either label."""
    import numpy as np

    keys = [(signal.row.source, signal.row.bad) for signal in signals]
    counts = {key: keys.count(key) for key in set(keys)}
    return np.array([importance.get(source, 0.0) / counts[source, bad] for source, bad in keys])


def _share(logit: float) -> float:
    import math

    return round(1.0 / (1.0 + math.exp(-logit)), 5)
