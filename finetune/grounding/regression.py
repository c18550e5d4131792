"""Logistic regression with weights that cannot be negative: more missing never speaks for support."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from guardrails.grounding.detector import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

ROUNDS = 3000
DIGITS = 5


def fit(features: Sequence[str], values: Array, labels: Array, importance: Array, *, penalty: float = 0.02) -> Weights:
    """The weights of the least penalised log loss, by accelerated projected gradient descent; no randomness.

    ``values`` has a row an example and a column a feature, ``labels`` are 0 or 1, ``importance`` weighs examples.
    """
    import numpy as np

    mean, deviation = values.mean(axis=0), values.std(axis=0)
    deviation = np.where(deviation < 1e-6, 1.0, deviation)
    scaled = (values - mean) / deviation
    share = importance / importance.sum()
    weights, bias = np.zeros(values.shape[1]), 0.0
    ahead, ahead_bias, momentum = weights.copy(), bias, 1.0
    # The loss curves no more than a quarter of the largest weighted square of a row, and the penalty.
    step = 1.0 / (0.25 * float((share * ((scaled**2).sum(axis=1) + 1.0)).sum()) + 2.0 * penalty)
    for _ in range(ROUNDS):
        odds = 1.0 / (1.0 + np.exp(-np.clip(scaled @ ahead + ahead_bias, -30, 30)))
        error = share * (odds - labels)
        new = np.maximum(0.0, ahead - step * (scaled.T @ error + 2.0 * penalty * ahead))
        new_bias = ahead_bias - step * float(error.sum())
        faster = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = new + (momentum - 1.0) / faster * (new - weights)
        ahead_bias = new_bias + (momentum - 1.0) / faster * (new_bias - bias)
        weights, bias, momentum = new, new_bias, faster
    return Weights(
        features=tuple(features),
        mean=tuple(round(float(x), DIGITS) for x in mean),
        deviation=tuple(max(10**-DIGITS, round(float(x), DIGITS)) for x in deviation),
        weights=tuple(round(float(x), DIGITS) for x in weights),
        bias=round(bias, DIGITS),
    )


def logits(weights: Weights, values: Array) -> Array:
    import numpy as np

    scaled = (values - np.array(weights.mean)) / np.array(weights.deviation)
    result: Array = scaled @ np.array(weights.weights) + weights.bias
    return result
