"""The folder of a trained toxicity model: weights, manifest, model card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from finetune.toxicity.recipe import ToxicityRecipe
from finetune.toxicity.rows import Row, counted
from guardrails.checks.toxicity_model import KINDS, MANIFEST, WEIGHTS, Kind, Manifest, Tensors
from lockgate.atomic import write_atomic

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of ``count`` dev texts: the share that each kind finds, that hate or threat find, and that nobody embedded."""

    count: int
    found: Mapping[Kind, float]
    either: float
    unread: float


def write_model(out: Path, manifest: Manifest, tensors: Tensors) -> None:
    """The weights first: a folder without its manifest is no model."""
    import numpy as np
    from safetensors.numpy import save

    data = save(
        {each.name: np.ascontiguousarray(getattr(tensors, each.name).astype(np.float16)) for each in fields(tensors)}
    )
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / WEIGHTS, data)
    manifest = manifest.model_copy(update={"weights": hashlib.sha256(data).hexdigest()})
    write_atomic(out / MANIFEST, (manifest.model_dump_json(indent=2) + "\n").encode())


def card(
    recipe: ToxicityRecipe,
    manifest: Manifest,
    rows: Sequence[Row],
    figures: Mapping[str, Figures],
    files: Mapping[str, str],
) -> str:
    """What it is, what it was trained on, what it finds and where it fails."""
    sources = "\n".join(
        f"| {each.title} | {each.licence} | `{each.folder}` |" for each in (recipe.davidson, recipe.encyclopaedia)
    )
    families = "\n".join(
        f"| {name} | {count} |" for name, count in counted(rows, lambda row: f"{row.source}, {row.family}, {row.split}").items()
    )
    shares = "\n".join(
        f"| {part} | {each.count} | {' | '.join(f'{each.found[kind]:.3f}' for kind in KINDS)} | {each.either:.3f} | "
        f"{each.unread:.3f} |"
        for part, each in sorted(figures.items())
    )
    hashes = "\n".join(f"| `{name}` | `{sha256}` |" for name, sha256 in files.items())
    thresholds = ", ".join(f"{kind} {manifest.thresholds[kind]}" for kind in KINDS)
    return f"""# {recipe.name}, version {recipe.version}

Says of a window of one or a few sentences whether it holds hate against people for what they are, a threat of violence,
or an insult. Made to flag or block in a question-answering bot. English only. It is no judge of people, and no ground to
punish anybody.

{recipe.networks.count} networks of {recipe.networks.hidden} hidden units, averaged, over the window's vector from the
embedder {recipe.embedder}, a regression on hashed words and letters, and counts of telling words. It reads no other
embedder's vectors. Windows whose words raise no suspicion are not embedded. Seed {recipe.seed}.

## Trained on

| set | licence | folder |
|---|---|---|
{sources}

Beside them, texts that were written for it (`finetune/toxicity/data/written.jsonl`), with groups in their slots
(`groups.jsonl`). Dev families and dev groups are not trained on. No text, template or case of HateCheck, XSTest or any
other set that is only measured on was used, and none was paraphrased. The written families are kinds of speech that a
bot meets; some of them (abuse that is reported or condemned, hate that is denied, groups named without hate) are also
kinds that HateCheck tests.

| source, family, part | texts |
|---|---|
{families}

## Figures

Thresholds (log-odds: {thresholds}) are the lowest that at most {100 * recipe.false_alarms:.0f} % of each harmless dev
part reach, so figures on harmless dev parts are optimistic. Shares of dev texts that are found; `unread` is the share
that is not embedded:

| dev part | texts | hate | threat | abuse | hate or threat | unread |
|---|---|---|---|---|---|---|
{shares}

docs/guardrails-toxicity.md has the figures on sets that are only measured on, with their command and floors.

## Known faults

- The labels of the Davidson set are biased: tweets in African American English were called offensive more often than
  others that say the same. The label "offensive" is used for the kind `abuse` only, and plain texts in that dialect stand
  beside it, which lessens the bias and does not end it.
- Irony, allusion, codes and jokes that name no group are missed; abuse that somebody quotes to condemn it is sometimes
  taken for abuse.
- Other languages are not read.

## Files

| file | SHA-256 |
|---|---|
| `{WEIGHTS}` | `{manifest.weights}` |

Training data:

| file | SHA-256 |
|---|---|
{hashes}

To train it again: `lockgate finetune toxicity --data FOLDER --out DIR`. Another processor rounds otherwise.
"""
