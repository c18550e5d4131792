"""Weights that cannot be negative, and the figures that thresholds are chosen by."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.grounding.figures import auroc, balanced_accuracy, best_balanced_threshold, best_f1_threshold, f1
from finetune.grounding.regression import fit, logits


def test_finds_the_feature_that_tells_and_ignores_the_one_that_misleads() -> None:
    chance = np.random.default_rng(3)
    labels = (chance.random(800) < 0.4).astype(float)
    values = np.column_stack([labels + chance.normal(0, 0.5, 800), -labels + chance.normal(0, 0.5, 800)])
    weights = fit(("tells", "misleads"), values, labels, np.ones(800))
    assert weights.weights[0] > 0.5
    assert weights.weights[1] == 0.0
    assert auroc(labels, logits(weights, values)) > 0.9


def test_fitting_twice_gives_the_same_weights() -> None:
    chance = np.random.default_rng(5)
    values, labels = chance.random((200, 3)), (chance.random(200) < 0.5).astype(float)
    assert fit(("a", "b", "c"), values, labels, np.ones(200)) == fit(("a", "b", "c"), values, labels, np.ones(200))


def test_a_feature_that_never_changes_does_no_harm() -> None:
    values = np.column_stack([np.zeros(50), np.arange(50.0)])
    labels = (np.arange(50) > 25).astype(float)
    assert np.isfinite(logits(fit(("same", "grows"), values, labels, np.ones(50)), values)).all()


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [([0, 0, 1, 1], [1, 2, 3, 4], 1.0), ([1, 1, 0, 0], [1, 2, 3, 4], 0.0), ([0, 1, 0, 1], [1, 1, 1, 1], 0.5),
     ([0, 1, 1, 0], [1, 2, 2, 2], 0.75)],
)  # fmt: skip
def test_auroc_counts_ties_half(labels: list[float], scores: list[float], expected: float) -> None:
    assert auroc(np.array(labels, dtype=float), np.array(scores, dtype=float)) == pytest.approx(expected)


def test_thresholds_split_what_can_be_split() -> None:
    labels = np.array([0.0] * 50 + [1.0] * 50)
    scores = np.concatenate([np.linspace(0, 1, 50), np.linspace(3, 4, 50)])
    for threshold in (best_f1_threshold(labels, scores), best_balanced_threshold(labels, scores)):
        assert f1(labels, scores >= threshold) > 0.93
        assert balanced_accuracy(labels, scores >= threshold) > 0.93
