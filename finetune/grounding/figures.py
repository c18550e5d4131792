"""The figures of a detector: area under the ROC curve, F1 and balanced accuracy, and thresholds chosen for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]


def auroc(labels: Array, scores: Array) -> float:
    """The chance that a bad one scores higher than a good one, ties counting half. NaN without one of the two."""
    import numpy as np

    bad = int(labels.sum())
    good = len(labels) - bad
    if not bad or not good:
        return float("nan")
    order = np.argsort(scores, kind="stable")
    _, place, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2.0)[place]
    return float((ranks[labels[order] > 0].sum() - bad * (bad + 1) / 2.0) / (bad * good))


def f1(labels: Array, flagged: Flags) -> float:
    hits = float(((labels > 0) & flagged).sum())
    return 2.0 * hits / max(1.0, float(flagged.sum() + labels.sum()))


def balanced_accuracy(labels: Array, flagged: Flags) -> float:
    bad = labels > 0
    return 0.5 * (float(flagged[bad].mean()) + float((~flagged[~bad]).mean()))


def best_f1_threshold(labels: Array, scores: Array) -> float:
    """The threshold of the best F1, in the middle of its step."""
    return _best(labels, scores, f1)


def best_balanced_threshold(labels: Array, scores: Array) -> float:
    return _best(labels, scores, balanced_accuracy)


def _best(labels: Array, scores: Array, figure: Callable[[Array, Flags], float]) -> float:
    import numpy as np

    steps = np.unique(np.quantile(scores, np.linspace(0.0, 1.0, 400)))
    values = np.array([figure(labels, scores >= step) for step in steps])
    # Smoothed over its neighbours: the single best step of a sample is the luckiest one.
    smooth = np.convolve(np.pad(values, 5, mode="edge"), np.ones(11) / 11.0, mode="valid")
    return float(steps[int(smooth.argmax())])
