"""The folder of a trained classifier: weights, manifest, model card."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.injection.recipe import InjectionRecipe
from finetune.injection.rows import Rows
from guardrails.checks.injection_classifier import Kind, Layer, Manifest
from guardrails.weights import MANIFEST, WEIGHTS
from lockgate.atomic import write_atomic

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Rate:
    """Of ``count`` texts, the share that scores 0.5 or more: by all, and by phrases alone."""

    count: int
    share: float
    phrases: float


def write_classifier(out: Path, manifest: Manifest, layers: Mapping[Kind, Layer]) -> None:
    """The weights first: a folder without its manifest is no classifier."""
    import numpy as np
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for kind, layer in layers.items():
        parts = {"into": layer.into, "bias": layer.bias, "out": layer.out, "last": np.array([layer.last])}
        tensors |= {f"{kind}.{name}": np.ascontiguousarray(value.astype(np.float16)) for name, value in parts.items()}
    data = save(tensors)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / WEIGHTS, data)
    manifest = manifest.model_copy(update={"weights": hashlib.sha256(data).hexdigest()})
    write_atomic(out / MANIFEST, (manifest.model_dump_json(indent=2) + "\n").encode())


def card(
    recipe: InjectionRecipe, manifest: Manifest, rows: Rows, rates: Mapping[str, Rate], files: Mapping[str, str]
) -> str:
    """What it is, what it was trained on, what it finds and what it takes for an attack."""
    sources = "\n".join(f"| {each.title} | {each.licence} | `{each.folder}` |" for each in recipe.sources)
    counted = Counter((each.family, each.kind, each.part) for each in rows.attacks)
    families = "\n".join(f"| {name} | {kind} | {part} | {count} |" for (name, kind, part), count in counted.items())
    figures = "\n".join(
        f"| {name} | {rate.count} | {rate.share:.3f} | {rate.phrases:.3f} |" for name, rate in rates.items()
    )
    hashes = "\n".join(f"| `{name}` | `{sha256}` |" for name, sha256 in files.items())
    parts = Counter((each.part, bool(each.family)) for each in rows.documents)
    return f"""# {recipe.name}, version {recipe.version}

Says of a window of about a sentence whether it gives a model instructions: typed by a user (direct), or standing in a
document (indirect). One hidden layer over the window's vector from the embedder {recipe.embedder} and
{len(manifest.cues)} marks of its words; indirect, also over the mean of the document's other windows. It reads no other
embedder's vectors. English; other languages only as far as the phrases beside it go.

It is a second layer. Every small offline detector that was tried flags over half of clean e-mails or misses most
attacks, and this one makes both errors too, at the rates below. Somebody who knows it can write an attack that it
does not see. What a model may do must not hang on it.

## Trained on

Attacks that were written for it (`finetune/injection/data`), put into documents by seed {recipe.seed}. Families whose
part is dev are not trained on.

| family | kind | part | attacks |
|---|---|---|---|
{families}

Harmless texts: questions and mails written for it, and parts of these sets. Requests and questions of the sets also
stand in other documents as things that do not belong there.

| set | licence | folder |
|---|---|---|
{sources}

Documents: {parts["train", False]} harmless and {parts["train", True]} attacked to train on, {parts["dev", False]} and
{parts["dev", True]} for dev. {recipe.measured.title} ({recipe.measured.licence}) are measured only.

## Figures

Share of texts that score 0.5 or more, on dev parts. The thresholds were chosen on the harmless ones: at most
{recipe.direct.false_alarms:.1%} of each group of questions and {recipe.indirect.false_alarms:.1%} of each kind of
document. The floor is what the phrases find without the classifier. docs/guardrails-injection.md has the figures on
sets that are only measured on; they are worse, as what people write is more mixed than these texts.

| texts | count | scored 0.5 or more | by phrases alone |
|---|---|---|---|
{figures}

## Files

| file | SHA-256 |
|---|---|
| `{WEIGHTS}` | `{manifest.weights}` |

Training data:

| file | SHA-256 |
|---|---|
{hashes}

To train it again: `lockgate finetune injection --data FOLDER --out DIR`. Another processor rounds otherwise, so hashes
may differ.
"""
