"""A detector measured on rows that were kept out: whole answers where the set labels them, else single claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune.grounding.calibration import Signals, sentence_logits
from finetune.grounding.figures import auroc, balanced_accuracy, best_balanced_threshold, f1
from guardrails.grounding.detector import Manifest
from guardrails.grounding.signals import answer_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_PLAIN = 2  # missing_plain: the share of words that no passage holds


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers (or claims) of one set: labels (1 is bad), the detector's score (log-odds), plain word overlap."""

    labels: Array
    scores: Array
    overlap: Array


@dataclass(frozen=True, slots=True)
class Figures:
    """``balanced`` and ``f1`` are at the shipped threshold, ``balanced_dev`` at that of the set's own dev part."""

    rows: int
    bad: int
    auroc: float
    overlap_auroc: float
    f1: float
    balanced: float
    balanced_dev: float | None = None
    overlap_balanced_dev: float | None = None


def claims_scored(signals: Sequence[Signals], manifest: Manifest) -> Scored:
    import numpy as np

    return Scored(
        np.array([float(signal.row.bad) for signal in signals]),
        sentence_logits(signals, manifest.joined),
        np.array([signal.measured.values[_PLAIN] for signal in signals]),
    )


def answers_scored(signals: Sequence[Signals], manifest: Manifest) -> Scored:
    """One entry an answer of rows that name theirs."""
    import numpy as np

    scores = sentence_logits(signals, manifest.joined)
    places: dict[str, list[int]] = {}
    for place, signal in enumerate(signals):
        places.setdefault(signal.row.answer, []).append(place)
    labels, joined, overlap = [], [], []
    for found in places.values():
        values = answer_values([float(scores[at]) for at in found], [signals[at].measured for at in found])
        labels.append(float(bool(signals[found[0]].row.bad_answer)))
        joined.append(manifest.answer.logit(values))
        overlap.append(values[2])
    return Scored(np.array(labels), np.array(joined), np.array(overlap))


def figures(scored: Scored, threshold: float, dev: Scored | None = None) -> Figures:
    """``threshold`` is a log-odds."""
    flagged = scored.scores >= threshold
    own = overlap = None
    if dev is not None and 0 < dev.labels.sum() < len(dev.labels):
        own = balanced_accuracy(scored.labels, scored.scores >= best_balanced_threshold(dev.labels, dev.scores))
        overlap = balanced_accuracy(scored.labels, scored.overlap >= best_balanced_threshold(dev.labels, dev.overlap))
    return Figures(
        rows=len(scored.labels),
        bad=int(scored.labels.sum()),
        auroc=auroc(scored.labels, scored.scores),
        overlap_auroc=auroc(scored.labels, scored.overlap),
        f1=f1(scored.labels, flagged),
        balanced=balanced_accuracy(scored.labels, flagged),
        balanced_dev=own,
        overlap_balanced_dev=overlap,
    )


def table(rows: Mapping[str, Figures]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| part | rows | unsupported | AUROC | AUROC of word overlap | F1 | balanced accuracy | the same, threshold of "
        "its dev part | of word overlap |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, item in rows.items():
        numbers = (item.auroc, item.overlap_auroc, item.f1, item.balanced, item.balanced_dev, item.overlap_balanced_dev)
        lines.append(f"| {name} | {item.rows} | {item.bad} | {' | '.join(_shown(number) for number in numbers)} |")
    return "\n".join(lines)


def of_source(signals: Iterable[Signals], source: str, split: str) -> list[Signals]:
    return [signal for signal in signals if signal.row.source == source and signal.row.split == split]


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}"
