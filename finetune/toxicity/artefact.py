"""The folder of a trained toxicity model: weights, manifest, model card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from finetune.toxicity.recipe import ToxicityRecipe
from finetune.toxicity.rows import Row, counted
from guardrails.checks.toxicity_model import KINDS, Kind, Manifest, Tensors
from guardrails.weights import MANIFEST, WEIGHTS
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


def table(figures: Mapping[str, Figures]) -> str:
    """In Markdown, a line a dev part."""
    lines = [f"| dev part | texts | {' | '.join(KINDS)} | hate or threat | unread |", "|---" * (len(KINDS) + 4) + "|"]
    for part, each in sorted(figures.items()):
        shares = [*(each.found[kind] for kind in KINDS), each.either, each.unread]
        lines.append(f"| {part} | {each.count} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    return "\n".join(lines)


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
        f"| {name} | {count} |"
        for name, count in counted(rows, lambda row: f"{row.source}, {row.family}, {row.split}").items()
    )
    hashes = "\n".join(f"| `{name}` | `{sha256}` |" for name, sha256 in files.items())
    thresholds = ", ".join(f"{kind} {manifest.thresholds[kind]}" for kind in KINDS)
    return f"""# {recipe.name}, version {recipe.version}

Says of a window of one or a few sentences whether it holds hate against people for what they are, a threat of
violence, or an insult. Made to flag for review in a question-answering bot: it takes many harmless statements about
groups for hate, so it should not refuse people by itself. English only. It is no ground to punish anybody.

{recipe.networks.count} networks of {recipe.networks.hidden} hidden units, averaged, over the window's vector from the
embedder {recipe.embedder}, a regression on hashed words and letters, and counts of telling words. It reads no other
embedder's vectors. Windows whose words raise no suspicion are not embedded, and of those that raise little only two
of a text: a hateful sentence in mild words can hide in a long text. Seed {recipe.seed}.

## Trained on

| set | licence | folder |
|---|---|---|
{sources}

Beside them, texts that were written for it (`finetune/toxicity/data/written.jsonl`), with groups in their slots
(`groups.jsonl`). Dev families and dev groups are not trained on. No text, template or case of HateCheck, XSTest or any
other set that is only measured on was used. The written families are kinds of speech that a bot meets, and some of them
(report, solidarity, identity_statement, swearing, everyday_group, everyday_other) are also kinds that HateCheck tests.
They help there: docs/guardrails-toxicity.md has the figure of a model that was trained without them.

| source, family, part | texts |
|---|---|
{families}

## Figures

Thresholds (log-odds: {thresholds}) are the lowest that at most {100 * recipe.false_alarms:.0f} % of each harmless dev
part reach, so figures on harmless dev parts are optimistic. Shares of dev texts that are found; `unread` is the share
that is not embedded:

{table(figures)}

docs/guardrails-toxicity.md has the figures on sets that are only measured on, with their command and floors.

## Known faults

- The labels of the Davidson set are biased: tweets in African American English were called offensive more often than
  others that say the same. The label "offensive" is used for the kind `abuse` only, and plain texts in that dialect
  stand beside it, which lessens the bias and does not end it.
- Friendly and plain statements that name a group are often taken for hate, for some groups more often than for others.
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
