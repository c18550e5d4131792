"""Trains the parts of the toxicity model. The same rows, vectors and seed give the same weights on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune.toxicity.recipe import NetworksRecipe, ToxicityRecipe, WordsRecipe
from finetune.toxicity.rows import Row
from guardrails.checks.toxicity_features import BUCKETS, counted, hashed, words
from guardrails.checks.toxicity_model import CLIP, KINDS, SCALE, Tensors
from lockgate.ports import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows as numbers: ``hashed`` and ``counts`` of the words, ``vectors``, ``labels`` (NaN: unknown), ``weights``."""

    hashed: Sequence[Sequence[int]]
    counts: Array
    vectors: Array
    labels: Array
    weights: Array
    train: Places
    folds: Places


def examples(rows: Sequence[Row], vectors: Array, recipe: ToxicityRecipe) -> Examples:
    """Written rows weigh ``written_share`` of all together; a family of them is in one fold."""
    import numpy as np

    said = [words(row.text) for row in rows]
    own = np.array([row.source == "written" for row in rows])
    train = np.array([row.split == "train" for row in rows])
    share = recipe.written_share
    weights = np.ones(len(rows), dtype=np.float32)
    weights[own] = share / (1 - share) * (~own & train).sum() / max(1, (own & train).sum())
    families = {
        name: number for number, name in enumerate(sorted({row.family for row in rows if row.source == "written"}))
    }
    folds = np.random.default_rng(recipe.seed).integers(0, recipe.words.folds, len(rows))
    for index, row in enumerate(rows):
        if row.source == "written":
            folds[index] = families[row.family] % recipe.words.folds
    return Examples(
        [hashed(each) for each in said],
        np.array([counted(row.text, each) for row, each in zip(rows, said, strict=True)], dtype=np.float32),
        vectors,
        np.array([row.labels for row in rows], dtype=np.float32),
        weights,
        np.flatnonzero(train),
        folds,
    )


def train_tensors(data: Examples, recipe: ToxicityRecipe, report: Progress) -> Tensors:
    """All weights. Training runs in one thread: more would round otherwise from run to run."""
    import numpy as np
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        by_words, said = _words(data, recipe, report)
        suspicion, suspicion_bias = _suspicion(data, said, recipe.seed)
        rows = np.hstack([data.vectors * SCALE, said, data.counts]).astype(np.float32)
        networks = []
        for number in range(recipe.networks.count):
            report("training networks", number, recipe.networks.count)
            networks.append(_network(data, rows, recipe.networks, recipe.seed + number))
        report("training networks", recipe.networks.count, recipe.networks.count)
    finally:
        torch.set_num_threads(threads)
    into, into_bias, out, out_bias = (np.stack(part) for part in zip(*networks, strict=True))
    return Tensors(by_words[0], by_words[1], suspicion, suspicion_bias, into, into_bias, out, out_bias)


def _words(data: Examples, recipe: ToxicityRecipe, report: Progress) -> tuple[tuple[Array, Array], Array]:
    """The regression on words, and what it says of each row without having seen it."""
    import numpy as np

    folds = recipe.words.folds
    said = np.zeros((len(data.hashed), len(KINDS)), dtype=np.float32)
    own = data.folds[data.train]
    for fold in range(folds):
        report("training words", fold, folds + 1)
        fitted = _fit_words(data, data.train[own != fold], recipe.words, recipe.seed)
        kept_out = data.train[own == fold]
        said[kept_out] = _say(fitted, data, kept_out)
    report("training words", folds, folds + 1)
    whole = _fit_words(data, data.train, recipe.words, recipe.seed)
    others = np.setdiff1d(np.arange(len(data.hashed)), data.train)
    said[others] = _say(whole, data, others)
    report("training words", folds + 1, folds + 1)
    return whole, said


def _say(fitted: tuple[Array, Array], data: Examples, places: Places) -> Array:
    import numpy as np

    weights, bias = fitted
    rows = [weights[list(data.hashed[at])].sum(axis=0) / max(1, len(data.hashed[at])) ** 0.5 + bias for at in places]
    return np.clip(np.array(rows, dtype=np.float32).reshape(len(places), len(KINDS)), -CLIP, CLIP)


def _fit_words(data: Examples, places: Places, recipe: WordsRecipe, seed: int) -> tuple[Array, Array]:
    import torch

    chance = torch.Generator().manual_seed(seed)
    bag = torch.nn.EmbeddingBag(BUCKETS, len(KINDS), mode="sum")
    torch.nn.init.zeros_(bag.weight)
    bias = torch.zeros(len(KINDS), requires_grad=True)
    optimiser = torch.optim.Adagrad([bag.weight, bias], lr=recipe.learning_rate)
    for _ in range(recipe.epochs):
        order = places[torch.randperm(len(places), generator=chance).numpy()]
        for start in range(0, len(order), recipe.batch):
            batch = order[start : start + recipe.batch]
            rows = [list(data.hashed[at]) or [0] for at in batch]
            sizes = torch.tensor([len(row) for row in rows])
            flat = torch.tensor([place for row in rows for place in row])
            out = bag(flat, sizes.cumsum(0) - sizes) / sizes.sqrt()[:, None] + bias
            loss = _loss(out, data, batch) + 1e-4 * (bag.weight[flat] ** 2).sum() / len(batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return bag.weight.detach().numpy(), bias.detach().numpy()


def _suspicion(data: Examples, said: Array, seed: int) -> tuple[Array, Array]:
    """Weights of a regression of "any kind" on what words say, without the vector."""
    import numpy as np
    import torch

    torch.manual_seed(seed)
    rows = torch.tensor(np.hstack([said, data.counts])[data.train])
    bad = torch.tensor(np.nanmax(data.labels[data.train], axis=1))
    weights = torch.tensor(data.weights[data.train])
    layer = torch.nn.Linear(rows.shape[1], 1)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=0.05, weight_decay=0.001)
    for _ in range(300):
        odds = layer(rows)[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(odds, bad, weight=weights)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return layer.weight.detach().numpy()[0], layer.bias.detach().numpy()


def _network(data: Examples, rows: Array, recipe: NetworksRecipe, seed: int) -> tuple[Array, Array, Array, Array]:
    import torch

    torch.manual_seed(seed)
    into, out = torch.nn.Linear(rows.shape[1], recipe.hidden), torch.nn.Linear(recipe.hidden, len(KINDS))
    net = torch.nn.Sequential(torch.nn.Dropout(0.1), into, torch.nn.ReLU(), torch.nn.Dropout(recipe.dropout), out)
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.decay)
    steps = recipe.epochs * max(1, len(data.train) // recipe.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(recipe.epochs):
        order = data.train[torch.randperm(len(data.train)).numpy()]
        for start in range(0, max(1, len(order) - recipe.batch + 1), recipe.batch):
            batch = order[start : start + recipe.batch]
            loss = _loss(net(torch.tensor(rows[batch])), data, batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    parts = (into.weight.T, into.bias, out.weight.T, out.bias)
    return tuple(each.detach().numpy().copy() for each in parts)  # type: ignore[return-value]


def _loss(out: Any, data: Examples, batch: Places) -> Any:
    import torch

    labels = torch.tensor(data.labels[batch])
    known = ~torch.isnan(labels)
    each = torch.nn.functional.binary_cross_entropy_with_logits(out, labels.nan_to_num(0.0), reduction="none") * known
    return (each.sum(1) * torch.tensor(data.weights[batch])).mean()
