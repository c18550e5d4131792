"""The folder of a trained detector: manifest with hashes, rarity of words, encoder, tokenizer, model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from finetune.grounding.calibration import Calibrated
from finetune.grounding.measuring import Figures, table
from finetune.grounding.recipe import GroundingRecipe
from guardrails.grounding.detector import MANIFEST, RARITY, Manifest
from lockgate.atomic import write_atomic
from lockgate.models.pair_scorer import NEEDED

CARD = "README.md"


def write_rarity(out: Path, rarity: Mapping[str, float]) -> None:
    write_atomic(out / RARITY, json.dumps(rarity, sort_keys=True, separators=(",", ":")).encode())


def manifest_of(recipe: GroundingRecipe, out: Path, calibrated: Calibrated, common: float) -> Manifest:
    """The manifest of what lies in ``out``."""
    files = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in (*NEEDED, RARITY)}
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        files=files,
        max_tokens=recipe.schedule.max_tokens,
        common=common,
        words=calibrated.words.weights,
        joined=calibrated.joined,
        answer=calibrated.answer,
        settled_supported=calibrated.words.settled[0],
        settled_unsupported=calibrated.words.settled[1],
        sentence_threshold=calibrated.sentence_threshold,
        answer_threshold=calibrated.answer_threshold,
    )


def write_manifest(out: Path, manifest: Manifest) -> None:
    write_atomic(out / MANIFEST, (manifest.model_dump_json(indent=2) + "\n").encode())


def card(
    recipe: GroundingRecipe,
    hashes: Mapping[str, str],
    counts: Mapping[str, Mapping[str, int]],
    figures: Mapping[str, Figures],
    manifest: Manifest,
    pairs: int,
) -> str:
    """The model card: what it is, what it was trained on, what it reaches and where it fails."""
    seen = min(pairs, recipe.schedule.steps * recipe.schedule.batch)
    sources = "\n".join(f"| {source.title} | {source.licence} | `{source.folder}` |" for source in recipe.sources)
    files = "\n".join(f"| `{name}` | `{sha256}` |" for name, sha256 in hashes.items())
    rows = "\n".join(
        f"| {part} | {', '.join(f'{label} {count}' for label, count in labels.items())} |"
        for part, labels in counts.items()
    )
    own = "\n".join(f"| `{name}` | `{sha256}` |" for name, sha256 in manifest.files.items())
    weights = "\n".join(
        f"| {feature} | {weight:.2f} |"
        for feature, weight in zip(manifest.joined.features, manifest.joined.weights, strict=True)
    )
    return f"""# {recipe.name}, version {recipe.version}

Says of each sentence of an answer whether its passages hold it: supported, contradicted or not found. Made to flag
answers for review. An answer that it does not flag is not verified. English only.

An encoder of 22 million parameters reads a claim beside one or two windows of evidence ({recipe.schedule.max_tokens}
tokens together); a logistic regression joins its score with word overlap and exact checks; sentences that words settle
are not read. Base model: {recipe.base} (Apache-2.0). Seed {recipe.seed}, {recipe.schedule.steps} steps of
{recipe.schedule.batch} pairs: {seen} of the {pairs} pairs that the recipe gives.

## Trained on

| set | licence | folder |
|---|---|---|
{sources}

Parts of their passages are kept out of training as dev and test parts, by the hash of the passage; BEGIN's own test
split is kept out whole. `_made` rows are supported claims that rules made wrong. Rows by set, part and label:

| part | rows |
|---|---|
{rows}

## Figures

Thresholds come from dev parts. "Word overlap" is the share of words that no passage holds.

{table(figures)}

The answer threshold is {manifest.answer_threshold}, chosen on long answers put together from dev claims: one in
{1 / recipe.calibration.composition.bad_share:.0f} of them holds an unsupported sentence. The sentence threshold is
{manifest.sentence_threshold}, chosen on the sentences of those answers. docs/grounding.md has the figures on sets that
are only measured on, with their command.

Dev rows chose the weights below, so figures on dev parts are optimistic; those on test parts are not.

| signal | weight |
|---|---|
{weights}

## Files

| file | SHA-256 |
|---|---|
{own}

Training data:

| file | SHA-256 |
|---|---|
{files}

To train it again: `lockgate finetune grounding --data FOLDER --out DIR`. Another processor or another number of threads
rounds otherwise, so the hash of the encoder differs.
"""
