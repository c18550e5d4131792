"""The rows of a recipe, built from the published sets: the same for the same files, code and seed."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune.grounding.recipe import GroundingRecipe
from finetune.grounding.rows import Row, Shares
from finetune.grounding.sources import READERS, corruptions
from finetune.grounding.training import Pair, pairs_of
from guardrails.grounding.words import words
from lockgate.errors import NotFound
from lockgate.ports import Progress

FEWEST_PASSAGES = 3
COMMON = 1.0
"""The rarity of a word that the training passages do not hold: as rare as a word can be."""


@dataclass(frozen=True, slots=True)
class Data:
    """``hashes`` maps a file below the data folder to its SHA-256."""

    rows: tuple[Row, ...]
    hashes: dict[str, str]


def build_data(recipe: GroundingRecipe, folder: Path, report: Progress) -> Data:
    """Read every source of ``recipe``. Raises NotFound for a missing one, UserError naming file and line."""
    rows: list[Row] = []
    hashes: dict[str, str] = {}
    for done, source in enumerate(recipe.sources):
        report("reading sets", done, len(recipe.sources) + 1)
        place = folder / source.folder
        if not place.is_dir():
            raise NotFound(f"{place}: no such folder.", hint=f"{source.name} of the recipe {recipe.name} lies there.")
        for path in sorted(place.glob("*.json*")):
            hashes[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        chance = random.Random(f"{recipe.seed}-{source.name}")  # noqa: S311 - training, no secret
        try:
            rows += READERS[source.name](place, Shares(source.dev, source.test), chance)
        except FileNotFoundError as error:
            raise NotFound(f"{error.filename}: no such file.", hint=f"The set {source.name} has it.") from None
        except KeyError as error:
            raise NotFound(f"{place}: a row has no key {error}.", hint=f"Is it {source.title} as published?") from None
    rows += corruptions(rows, random.Random(f"{recipe.seed}-made"))  # noqa: S311
    report("reading sets", len(recipe.sources) + 1, len(recipe.sources) + 1)
    return Data(tuple(rows), dict(sorted(hashes.items())))


def rarity_of(rows: Sequence[Row]) -> dict[str, float]:
    """How rare each stem is among the passages of the training rows: 0 in every one of them, 1 in one only."""
    passages = {passage for row in rows if row.split == "train" for passage in row.passages}
    counts = Counter(stem for passage in passages for stem in {word.stem for word in words(passage)})
    whole = math.log(len(passages)) if len(passages) > 1 else 1.0
    return {
        stem: round(math.log(len(passages) / count) / whole, 3)
        for stem, count in sorted(counts.items())
        if count >= FEWEST_PASSAGES
    }


def training_pairs(
    recipe: GroundingRecipe, rows: Sequence[Row], rarity: dict[str, float], report: Progress
) -> list[Pair]:
    """What to train on, in the order of training but for the sorting by length."""
    chance = random.Random(recipe.seed)  # noqa: S311
    chosen: list[Row] = []
    for source, most in recipe.train_rows.items():
        own = [row for row in rows if row.source == source and row.split == "train"]
        chosen += chance.sample(own, min(most, len(own)))
    once = list(chosen)
    for repeat in range(1, max(recipe.repeats.values(), default=1)):
        chosen += [row for row in once if recipe.repeats.get(row.source, 1) > repeat]
    # Rows of one passage together: its sentences are indexed once.
    pairs = pairs_of(sorted(chosen, key=_passages), rarity, COMMON, report, recipe.seed)
    chance.shuffle(pairs)
    return pairs


def dev_rows(recipe: GroundingRecipe, rows: Sequence[Row]) -> list[Row]:
    """The rows to calibrate on, at most ``calibration.rows`` of a source, those of one passage together."""
    chance = random.Random(recipe.seed)  # noqa: S311
    chosen: list[Row] = []
    for source in recipe.calibration.importance:
        own = [row for row in rows if row.source == source and row.split == "dev"]
        chosen += chance.sample(own, min(recipe.calibration.rows, len(own)))
    return sorted(chosen, key=_passages)


def kept_out_rows(recipe: GroundingRecipe, rows: Sequence[Row]) -> list[Row]:
    """The rows of at most ``calibration.answers`` kept out answers of each set that labels whole answers."""
    chance = random.Random(recipe.seed)  # noqa: S311
    answers: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.split == "test" and row.bad_answer is not None:
            answers.setdefault(row.source, {}).setdefault(row.answer, []).append(row)
    chosen: list[Row] = []
    for source in sorted(answers):
        own = list(answers[source].values())
        for found in chance.sample(own, min(recipe.calibration.answers, len(own))):
            chosen += found
    return sorted(chosen, key=_passages)


def _passages(row: Row) -> tuple[str, ...]:
    return row.passages
