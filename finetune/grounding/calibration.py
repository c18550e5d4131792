"""Joining the signals on the dev parts: weights for a sentence, weights for a whole answer, and the thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune.grounding.figures import best_f1_threshold
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
    """A row with what is measured of it. ``learned`` are the values of LEARNED, None where words settle the row."""

    row: Row
    measured: Measured
    by_words: float
    learned: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class WordRule:
    """The score of words alone, and the log-odds under and over which it settles a sentence."""

    weights: Weights
    settled: tuple[float, float]

    def settles(self, logit: float) -> bool:
        return not self.settled[0] <= logit <= self.settled[1]


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
    words: WordRule
    joined: Weights
    answer: Weights
    sentence_threshold: float
    answer_threshold: float


def measured_of(rows: Sequence[Row], rarity: Mapping[str, float], common: float, report: Progress) -> list[Measured]:
    """The features of each row, as the grounder would have them."""
    found = []
    held: tuple[tuple[str, ...], Evidence] | None = None
    for done, row in enumerate(rows, start=1):
        if held is None or held[0] != row.passages:
            held = (row.passages, Evidence(row.passages, rarity, common))
        claim = Claim(0, len(row.claim), row.claim, row.claim)
        found.append(measure(claim, held[1], frozenset(word.stem for word in words(row.question))))
        report("measuring words", done, len(rows))
    return found


def calibrate_words(
    rows: Sequence[Row], measured: Sequence[Measured], importance: Mapping[str, float], error: float
) -> WordRule:
    """Weights for words alone; what they settle is wrong in at most ``error`` of the cases."""
    import numpy as np

    labels = np.array([float(row.bad) for row in rows])
    values = np.array([item.values for item in measured])
    share = _importance(rows, importance)
    weights = fit(FEATURES, values, labels, share)
    return WordRule(weights, _settled(logits(weights, values), labels, share, error))


def signals_of(
    rows: Sequence[Row],
    measured: Sequence[Measured],
    rule: WordRule,
    rarity: Mapping[str, float],
    common: float,
    scorer: PairScorer,
    report: Progress,
) -> list[Signals]:
    """Every row with the encoder's scores where words leave it open."""
    found = []
    held: tuple[tuple[str, ...], Evidence] | None = None
    for done, (row, item) in enumerate(zip(rows, measured, strict=True), start=1):
        by_words = rule.weights.logit(item.values)
        learned = None
        if not rule.settles(by_words):
            if held is None or held[0] != row.passages:
                held = (row.passages, Evidence(row.passages, rarity, common))
            windows = held[1].windows(item.stems)
            learned = read_claims(scorer, [(row.claim, windows)])[0].values if windows else None
        found.append(Signals(row, item, by_words, learned))
        report("reading", done, len(rows))
    return found


def calibrate(
    signals: Sequence[Signals], rule: WordRule, importance: Mapping[str, float], composition: Composition, seed: int
) -> Calibrated:
    """Weights for sentences that the encoder reads, weights for answers, and the thresholds."""
    import numpy as np

    read = [signal for signal in signals if signal.learned is not None]
    labels = np.array([float(signal.row.bad) for signal in signals])
    joined = fit(
        (*FEATURES, *LEARNED),
        np.array([(*signal.measured.values, *(signal.learned or ())) for signal in read]),
        np.array([float(signal.row.bad) for signal in read]),
        _importance([signal.row for signal in read], importance),
    )
    scores = sentence_logits(signals, joined)
    values, bad, places = compose(signals, scores, composition, seed)
    answer = fit(ANSWER, values, bad, np.ones(len(bad)), penalty=0.005)
    threshold = best_f1_threshold(bad, logits(answer, values))
    # Sentences as answers have them: few are bad.
    sentence = best_f1_threshold(labels[places], scores[places])
    return Calibrated(rule, joined, answer, _share(sentence), _share(threshold))


def sentence_logits(signals: Sequence[Signals], joined: Weights) -> Array:
    """Log-odds as the grounder has them: of the words alone where they settle it."""
    import numpy as np

    return np.array(
        [
            signal.by_words if signal.learned is None else joined.logit((*signal.measured.values, *signal.learned))
            for signal in signals
        ]
    )


def compose(
    signals: Sequence[Signals], sentence_logits: Array, composition: Composition, seed: int
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Answers put together from dev claims, each with its own passages.

    (values of ANSWER, labels, places in ``signals`` of all their claims)
    """
    import numpy as np

    chance = np.random.default_rng(seed)
    sources = np.array([signal.row.source for signal in signals])
    bad = np.array([signal.row.bad for signal in signals])
    pools = {
        (kind, source): np.flatnonzero((sources == source) & (bad == kind))
        for kind, shares in ((False, composition.good), (True, composition.bad))
        for source in shares
    }
    values, labels, places = [], [], list[int]()
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
        places += chosen
    return np.array(values), np.array(labels), np.array(places)


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


def _importance(rows: Sequence[Row], importance: Mapping[str, float]) -> Array:
    """Each source weighs what ``importance`` says (nothing where it says nothing), half on either label."""
    import numpy as np

    keys = [(row.source, row.bad) for row in rows]
    counts = Counter(keys)
    return np.array([importance.get(source, 0.0) / counts[source, bad] for source, bad in keys])


def _share(logit: float) -> float:
    import math

    return round(1.0 / (1.0 + math.exp(-logit)), 5)
