"""From a folder of published sets to a detector's folder, step by step; a run that was cut off goes on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from finetune.grounding.artefact import CARD, card, manifest_of, write_manifest, write_rarity
from finetune.grounding.calibration import Composition, Signals, calibrate, calibrate_words, measured_of, signals_of
from finetune.grounding.data import COMMON, build_data, dev_rows, kept_out_rows, rarity_of, training_pairs
from finetune.grounding.export import export
from finetune.grounding.measuring import Figures, answers_scored, claims_scored, figures, of_source
from finetune.grounding.recipe import GroundingRecipe
from finetune.grounding.rows import counted
from finetune.grounding.training import Schedule, train
from guardrails.grounding.detector import Detector, Manifest, open_detector
from guardrails.grounding.signals import log_odds
from lockgate.atomic import write_atomic
from lockgate.models.pair_scorer import MODEL_FILE, TOKENIZER_FILE, open_pair_scorer
from lockgate.ports import Progress

WORK = "work"
"""Folder below the output that holds the checkpoint; nothing in it ships."""


@dataclass(frozen=True, slots=True)
class Trained:
    detector: Detector
    figures: dict[str, Figures]


def make_detector(
    recipe: GroundingRecipe, data: Path, base: Path, out: Path, report: Progress, threads: int
) -> Trained:
    """Build the data, train, export, calibrate, measure, and write everything into ``out``."""
    built = build_data(recipe, data, report)
    rarity = rarity_of(built.rows)
    pairs = training_pairs(recipe, built.rows, rarity, report)
    schedule = Schedule(**recipe.schedule.model_dump(), seed=recipe.seed, threads=threads)
    model = train(pairs, base, out / WORK, schedule, report)
    report("exporting", 0, 1)
    export(model, base, out)
    report("exporting", 1, 1)
    write_rarity(out, rarity)
    files = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in (MODEL_FILE, TOKENIZER_FILE)}
    scorer = open_pair_scorer(out, files, max_tokens=recipe.schedule.max_tokens)
    settings = recipe.calibration
    dev = dev_rows(recipe, built.rows)
    measured = measured_of(dev, rarity, COMMON, report)
    rule = calibrate_words(dev, measured, settings.importance, settings.settled_error)
    signals = signals_of(dev, measured, rule, rarity, COMMON, scorer, report)
    composition = Composition(**settings.composition.model_dump())
    calibrated = calibrate(signals, rule, settings.importance, composition, recipe.seed)
    manifest = manifest_of(recipe, out, calibrated, COMMON)
    kept_out = kept_out_rows(recipe, built.rows)
    by_words = measured_of(kept_out, rarity, COMMON, report)
    signals += signals_of(kept_out, by_words, rule, rarity, COMMON, scorer, report)
    found = measure_parts(signals, manifest)
    write_atomic(out / CARD, card(recipe, built.hashes, counted(built.rows), found, manifest, len(pairs)).encode())
    # Last: a folder without its manifest is no detector.
    write_manifest(out, manifest)
    return Trained(open_detector(out), found)


def measure_parts(signals: list[Signals], manifest: Manifest) -> dict[str, Figures]:
    """Figures of every dev part by claim, and of every test part by answer."""
    found: dict[str, Figures] = {}
    claim_threshold, answer_threshold = log_odds(manifest.sentence_threshold), log_odds(manifest.answer_threshold)
    for source in sorted({signal.row.source for signal in signals}):
        dev, test = of_source(signals, source, "dev"), of_source(signals, source, "test")
        if len({signal.row.bad for signal in dev}) == 2:
            found[f"{source}, dev, claims"] = figures(claims_scored(dev, manifest), claim_threshold)
        if test:
            labelled = [signal for signal in dev if signal.row.bad_answer is not None]
            own = answers_scored(labelled, manifest) if labelled else None
            found[f"{source}, test, answers"] = figures(answers_scored(test, manifest), answer_threshold, own)
    return found
