"""From the published set and the written texts to the folder of a model: rows, vectors, training, thresholds, card."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.toxicity.artefact import CARD, Figures, card, write_model
from finetune.toxicity.recipe import ToxicityRecipe
from finetune.toxicity.rows import DAVIDSON, GROUPS, SQUAD, WRITTEN, Row, davidson, encyclopaedia, hashes_of, written
from finetune.toxicity.training import examples, train_tensors
from guardrails.checks.toxicity_features import VERSION
from guardrails.checks.toxicity_model import KINDS, Kind, Manifest, ToxicityModel, open_model
from lockgate.atomic import write_atomic
from lockgate.ports import Embedder, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

BATCH = 2048
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Trained:
    model: ToxicityModel
    figures: dict[str, Figures]


def make_model(recipe: ToxicityRecipe, data: Path, embedder: Embedder, out: Path, report: Progress) -> Trained:
    """Write the model into ``out``, with its card, and measure it on the dev parts."""
    rows = build_rows(recipe, data)
    vectors = _embedded([row.text for row in rows], embedder, report)
    tensors = train_tensors(examples(rows, vectors, recipe), recipe, report)
    open_ended = Manifest(
        name=recipe.name,
        version=recipe.version,
        features=VERSION,
        embedder=embedder.digest,
        dimension=embedder.dimension,
        weights="0" * 64,
        thresholds=dict.fromkeys(KINDS, 0.0),
        unread=-1000.0,
        read=-1000.0,
    )
    write_model(out, open_ended, tensors)
    # Thresholds are those of the weights as they were written, which are rounded.
    dev = [index for index, row in enumerate(rows) if row.split == "dev"]
    own, own_vectors = [rows[index] for index in dev], vectors[dev]
    thresholds = _thresholds(open_model(out), own, own_vectors, recipe.false_alarms)
    found = _found(open_model(out), own, own_vectors, thresholds)
    levels = {"unread": _level(found, recipe.unread), "read": _level(found, recipe.hardly_suspicious)}
    write_model(out, open_ended.model_copy(update={"thresholds": thresholds, **levels}), tensors)
    model = open_model(out)
    figures = measure(model, own, own_vectors)
    files = hashes_of(
        [data / recipe.davidson.folder / DAVIDSON, data / recipe.encyclopaedia.folder / SQUAD, WRITTEN, GROUPS]
    )
    write_atomic(out / CARD, card(recipe, model.manifest, rows, figures, files).encode())
    return Trained(model, figures)


def build_rows(recipe: ToxicityRecipe, data: Path) -> list[Row]:
    chance = random.Random(recipe.seed)  # noqa: S311 - training, no secret
    return [
        *davidson(data / recipe.davidson.folder, recipe.davidson.dev),
        *encyclopaedia(
            data / recipe.encyclopaedia.folder, recipe.encyclopaedia.dev, recipe.encyclopaedia_windows, chance
        ),
        *(row for row in written(recipe.groups_each, chance) if not _left_out(row, recipe.leave_out)),
    ]


def _left_out(row: Row, families: Sequence[str]) -> bool:
    return row.split == "train" and row.family.partition("/")[2] in families


def _embedded(texts: Sequence[str], embedder: Embedder, report: Progress) -> Array:
    import numpy as np

    parts = []
    for start in range(0, len(texts), BATCH):
        report("embedding", start, len(texts))
        parts.append(embedder.embed(texts[start : start + BATCH]))
    report("embedding", len(texts), len(texts))
    return np.vstack(parts)


def _thresholds(model: ToxicityModel, rows: Sequence[Row], vectors: Array, rate: float) -> dict[Kind, float]:
    """For each kind, the lowest log-odds that at most ``rate`` of every harmless part reach."""
    logits = model.logits(vectors, model.read([row.text for row in rows]).values)
    harmless: dict[str, list[int]] = {part_of(row): [] for row in rows if _is_harmless(row)}
    for index, row in enumerate(rows):
        if _is_harmless(row):
            harmless[part_of(row)].append(index)
    thresholds: dict[Kind, float] = {}
    for column, kind in enumerate(KINDS):
        each = [_highest(sorted(logits[places, column]), rate) for places in harmless.values()]
        thresholds[kind] = round(max(each), DIGITS)
    return thresholds


def _highest(values: Sequence[float], rate: float) -> float:
    """Just above the value that all but ``rate`` of ``values`` (in order) stay under."""
    return float(values[-1 - int(rate * len(values))]) + 0.1**DIGITS


def _found(model: ToxicityModel, rows: Sequence[Row], vectors: Array, thresholds: dict[Kind, float]) -> list[float]:
    """The suspicion, in order, of those hateful and threatening texts that the networks find."""
    read = model.read([row.text for row in rows])
    logits = model.logits(vectors, read.values)
    return sorted(
        float(read.suspicion[index])
        for index, row in enumerate(rows)
        if row.family.startswith(("hate", "threat"))
        and any(logits[index, column] >= thresholds[kind] for column, kind in enumerate(KINDS[:2]))
    )


def _level(suspicion: Sequence[float], share: float) -> float:
    """Just under the suspicion that all but ``share`` of the texts reach."""
    return round(suspicion[int(share * len(suspicion))] - 0.1**DIGITS, DIGITS) if suspicion else -1000.0


def part_of(row: Row) -> str:
    """What a row's figures are given under."""
    return (
        f"{row.source}, {row.family}" if row.source == "davidson" else f"{row.source}, {row.family.partition('/')[0]}"
    )


def _is_harmless(row: Row) -> bool:
    return row.family in ("neither", "encyclopaedia") or row.family.startswith("none/")


def measure(model: ToxicityModel, rows: Sequence[Row], vectors: Array) -> dict[str, Figures]:
    """For each part: how many rows, the share that each kind finds, and the share of which the words were not read."""
    import numpy as np

    read = model.read([row.text for row in rows])
    scores = np.array(model.scores(vectors, read.values, KINDS))
    skipped = read.suspicion < model.manifest.unread
    scores[skipped] = 0.0
    figures: dict[str, Figures] = {}
    for part in dict.fromkeys(map(part_of, rows)):
        places = [index for index, row in enumerate(rows) if part_of(row) == part]
        hits = scores[places] >= 0.5
        found = {kind: float(hits[:, column].mean()) for column, kind in enumerate(KINDS)}
        either = float(hits[:, [KINDS.index("hate"), KINDS.index("threat")]].any(axis=1).mean())
        figures[part] = Figures(len(places), found, either, float(skipped[places].mean()))
    return figures
