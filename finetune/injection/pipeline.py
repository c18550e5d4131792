"""From published sets and own texts to the folder of a classifier: rows, vectors, training, thresholds, card."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.injection.artefact import CARD, Rate, card, write_classifier
from finetune.injection.documents import read_sources
from finetune.injection.giskard import read_giskard
from finetune.injection.recipe import InjectionRecipe
from finetune.injection.rows import Prompt, Rows, Windowed, build_rows, window_prompts
from finetune.injection.texts import ATTACKS, BENIGN
from finetune.injection.training import balanced, train_layer
from guardrails.check import GuardTools
from guardrails.checks.injection_classifier import (
    Classifier,
    Head,
    Kind,
    Layer,
    Manifest,
    direct_rows,
    indirect_rows,
    open_classifier,
)
from guardrails.checks.injection_scan import Scan, Scanner, ScanSettings, Text
from guardrails.checks.injection_windows import CUES, cues
from lockgate.atomic import write_atomic
from lockgate.ports import Embedder, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

BATCH = 2048
SMALLEST_GROUP = 80
"""Harmless dev texts of a group that a rate is read off."""


@dataclass(frozen=True, slots=True)
class Trained:
    classifier: Classifier
    rates: dict[str, Rate]


class Vectors:
    """Embeds each text once."""

    def __init__(self, embedder: Embedder, report: Progress) -> None:
        self._embedder = embedder
        self._report = report
        self._known: dict[str, Array] = {}

    def learn(self, texts: Sequence[str]) -> None:
        new = [each for each in dict.fromkeys(texts) if each not in self._known]
        for start in range(0, len(new), BATCH):
            self._report("embedding", start, len(new))
            batch = new[start : start + BATCH]
            self._known |= dict(zip(batch, self._embedder.embed(batch), strict=True))
        self._report("embedding", len(new), len(new))

    def __call__(self, texts: Sequence[str]) -> Array:
        import numpy as np

        missing = [each for each in texts if each not in self._known]
        if missing:
            self._known |= dict(zip(missing, self._embedder.embed(missing), strict=True))
        return np.stack([self._known[each] for each in texts])

    def tools(self) -> GuardTools:
        return GuardTools(embed=self, embedder=lambda: self._embedder.digest)


def make_classifier(recipe: InjectionRecipe, data: Path, embedder: Embedder, out: Path, report: Progress) -> Trained:
    """Write the classifier into ``out``, with its model card, and measure it on the dev part."""
    rows = build_rows(
        read_sources(data), recipe.attacks_each, {"train": recipe.documents, "dev": recipe.dev_documents}, recipe.seed
    )
    vectors = Vectors(embedder, report)
    vectors.learn([each.text for each in rows.prompts] + [text for each in rows.documents for text in each.windows])
    layers: dict[Kind, Layer] = {
        "direct": _direct(recipe, rows, vectors, report),
        "indirect": _indirect(recipe, rows, vectors, report),
    }
    open_heads: dict[Kind, Head] = {kind: Head(threshold=0.0, false_alarms=0.0) for kind in layers}
    manifest = Manifest(
        name=recipe.name,
        version=recipe.version,
        embedder=embedder.digest,
        dimension=embedder.dimension,
        cues=CUES,
        weights="0" * 64,
        heads=open_heads,
    )
    write_classifier(out, manifest, layers)
    prompts = [(each.family, each.text) for each in _good(rows.prompts)]
    pages = [(each.kind, each.text) for each in _clean(rows.documents)]
    heads: dict[Kind, Head] = {
        "direct": _head("direct", prompts, recipe.direct.false_alarms, vectors, out, report),
        "indirect": _head("indirect", pages, recipe.indirect.false_alarms, vectors, out, report),
    }
    write_classifier(out, manifest.model_copy(update={"heads": heads}), layers)
    rates = measure(rows, data / recipe.measured.folder, vectors, out, report)
    files = {
        str(file.relative_to(data)): hashlib.sha256(file.read_bytes()).hexdigest()
        for source in (*recipe.sources, recipe.measured)
        for file in sorted((data / source.folder).iterdir())
        if file.suffix in (".json", ".jsonl", ".csv")
    }
    files |= {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (ATTACKS, BENIGN)}
    classifier = open_classifier(out)
    write_atomic(out / CARD, card(recipe, classifier.manifest, rows, rates, files).encode())
    return Trained(classifier, rates)


def _good(prompts: Sequence[Prompt]) -> list[Prompt]:
    return [each for each in prompts if each.part == "dev" and not each.bad]


def _clean(documents: Sequence[Windowed]) -> list[Windowed]:
    return [each for each in documents if each.part == "dev" and not each.family]


def _direct(recipe: InjectionRecipe, rows: Rows, vectors: Vectors, report: Progress) -> Layer:
    import numpy as np

    own = [each for each in rows.prompts if each.part == "train"]
    own += window_prompts(own)
    bad = [each.bad for each in own]
    values = direct_rows(vectors([each.text for each in own]), [cues(each.text) for each in own])
    return train_layer(
        values,
        np.asarray(bad, np.float32),
        balanced(bad, 0.4),
        recipe.direct,
        seed=recipe.seed,
        report=report,
        name="direct",
    )


def _indirect(recipe: InjectionRecipe, rows: Rows, vectors: Vectors, report: Progress) -> Layer:
    import numpy as np

    values, bad = [], []
    for each in rows.documents:
        if each.part != "train" or not each.windows:
            continue
        own = indirect_rows(vectors(each.windows), [cues(text) for text in each.windows])
        kept = [at for at, label in enumerate(each.bad) if label is not None]
        values.append(own[kept].astype(np.float16))  # a third of a million rows
        bad += [bool(each.bad[at]) for at in kept]
    return train_layer(
        np.vstack(values),
        np.asarray(bad, np.float32),
        balanced(bad, 0.3),
        recipe.indirect,
        seed=recipe.seed,
        report=report,
        name="indirect",
    )


def _head(
    kind: Kind, texts: Sequence[tuple[str, str]], rate: float, vectors: Vectors, out: Path, report: Progress
) -> Head:
    """The threshold that at most ``rate`` of each group of the harmless ``texts`` (group, text) reach: what people ask
    and write is mixed otherwise than these are."""
    scanned = scans(kind, [text for _, text in texts], vectors.tools(), out, report)
    groups: dict[str, list[float]] = {}
    for (group, _), each in zip(texts, scanned, strict=True):
        groups.setdefault(group, []).append(each.score)
    large = [scores for scores in groups.values() if len(scores) >= SMALLEST_GROUP]
    threshold = max(threshold_at(scores, rate) for scores in [*large, [each.score for each in scanned]])
    logit = math.log(threshold / (1 - threshold))
    reached = sum(each.score >= threshold for each in scanned) / len(scanned)
    return Head(threshold=round(logit, 5), false_alarms=round(reached, 5))


def threshold_at(scores: Sequence[float], rate: float) -> float:
    """The lowest threshold, of at most 0.9995, that no more than ``rate`` of ``scores`` reach."""
    ordered = sorted(scores, reverse=True)
    allowed = int(rate * len(ordered))
    if allowed >= len(ordered):
        return 0.0005
    return min(0.9995, max(0.0005, ordered[allowed] + 1e-5))


def scans(
    kind: Kind, texts: Sequence[str], tools: GuardTools, folder: Path, report: Progress, *, classifier: bool = True
) -> list[Scan]:
    scanner = Scanner(tools, ScanSettings(kind, classifier), folder=folder)
    found: list[Scan] = []
    for start in range(0, len(texts), 64):
        report(f"scanning {kind}", start, len(texts))
        found += scanner.scan_many([Text(each) for each in texts[start : start + 64]])
    report(f"scanning {kind}", len(texts), len(texts))
    return found


def measure(rows: Rows, giskard: Path, vectors: Vectors, out: Path, report: Progress) -> dict[str, Rate]:
    """Recall of dev families and of Giskard's groups, none of them trained on; false alarms of harmless dev texts."""
    groups: dict[tuple[Kind, str], list[str]] = {}

    def add(kind: Kind, name: str, text: str) -> None:
        groups.setdefault((kind, name), []).append(text)

    for prompt in rows.prompts:
        if prompt.part == "dev":
            add("direct", f"{'attack' if prompt.bad else 'harmless'}: {prompt.family}", prompt.text)
    for document in rows.documents:
        if document.part == "dev":
            add(
                "indirect",
                f"attack: {document.family}" if document.family else f"harmless: {document.kind}",
                document.text,
            )
    for name, text in read_giskard(giskard):
        add("direct", f"attack: Giskard, {name}", text)
    found: dict[str, Rate] = {}
    quiet: Callable[[str, int, int], None] = lambda *_: None  # noqa: E731
    for (kind, name), texts in sorted(groups.items()):
        report("measuring", len(found), len(groups))
        both = [scans(kind, texts, vectors.tools(), out, quiet, classifier=by) for by in (True, False)]
        share, phrases = (sum(each.score >= 0.5 for each in scanned) / len(texts) for scanned in both)
        found[f"{kind}, {name}"] = Rate(len(texts), share, phrases)
    report("measuring", len(groups), len(groups))
    return found
