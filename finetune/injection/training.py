"""One hidden layer, trained with torch on rows that are embedded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from finetune.injection.recipe import HeadRecipe
from guardrails.checks.injection_classifier import Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

BATCH = 512
DROPPED = 0.15
"""The share of a row's values that a step does not see."""
Report = Callable[[str, int, int], None]


def train_layer(
    rows: Array, bad: Array, weight: Array, recipe: HeadRecipe, *, seed: int, report: Report, name: str
) -> Layer:
    """The layer of the least weighted log loss with decay; rows are given to it in an order that the seed decides."""
    import numpy as np
    import torch

    torch.manual_seed(seed)
    size = rows.shape[1]
    model = torch.nn.Sequential(
        torch.nn.Linear(size, recipe.hidden), torch.nn.Tanh(), torch.nn.Linear(recipe.hidden, 1)
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.decay)
    total = recipe.epochs * ((len(rows) + BATCH - 1) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=total)
    given, labels, weights = (
        torch.from_numpy(np.ascontiguousarray(each, dtype=np.float32)) for each in (rows, bad, weight)
    )
    for epoch in range(recipe.epochs):
        report(f"training {name}", epoch, recipe.epochs)
        order = torch.randperm(len(rows))
        for start in range(0, len(rows), BATCH):
            at = order[start : start + BATCH]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model(torch.nn.functional.dropout(given[at], DROPPED)).squeeze(1), labels[at], weight=weights[at]
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    report(f"training {name}", recipe.epochs, recipe.epochs)
    into, bias, out, last = (_half(each.detach().numpy()) for each in model.parameters())
    return Layer(np.ascontiguousarray(into.T), bias, out[0], float(last[0]))


def _half(values: Array) -> Array:
    """As it is written down: 16 bits a value."""
    import numpy as np

    return values.astype(np.float16).astype(np.float32)


def balanced(bad: Sequence[bool], share: float = 0.5) -> Array:
    """Weights by which the bad rows count ``share`` of all; 1 on average."""
    import numpy as np

    labels = np.asarray(bad, dtype=bool)
    weight = np.where(labels, share / max(1, labels.sum()), (1 - share) / max(1, (~labels).sum()))
    result: Array = (weight * len(labels)).astype(np.float32)
    return result
