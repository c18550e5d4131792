"""The grounding detector on sets that it was not trained on, beside word overlap; and its time.

    python -m bench.grounding --data FOLDER [--limit N] [--only ragtruth|begin|summedits|speed]

FOLDER holds `ragtruth_qa_test`, `begin` and `summedits` as published. RAGTruth is only measured on: no weight and no
threshold comes from it. Of BEGIN the test split counts, of SummEdits the part that the recipe keeps out of training.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune.grounding.figures import auroc, balanced_accuracy, best_balanced_threshold, f1
from finetune.grounding.recipe import load_recipe
from finetune.grounding.rows import Shares, group_of, split_of
from finetune.grounding.sources import read_lines
from guardrails.grounding.detector import SHIPPED, open_detector
from guardrails.grounding.grounder import Grounder
from lockgate.grounding import GroundingReport

Array = NDArray[np.float64]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Item:
    question: str
    answer: str
    passages: tuple[str, ...]
    bad: bool
    spans: tuple[tuple[int, int], ...] | None = None
    part: str = "test"
    kind: str = ""


def ragtruth(folder: Path) -> Iterator[Item]:
    for row in read_lines(folder / "ragtruth_qa_test" / "ragtruth_qa_test.jsonl"):
        passages = tuple(text.strip() for text in re.split(r"passage \d+:", row["context"]) if text.strip())
        spans = tuple((label["start"], label["end"]) for label in row["labels"])
        yield Item(row["question"], row["response"], passages, row["hallucinated"], spans, kind=row["model"])


def begin(folder: Path) -> Iterator[Item]:
    for row in read_lines(folder / "begin" / "begin.jsonl"):
        if row["split"] == "test" and row["begin_label"] != "Generic":
            bad = row["begin_label"] != "Fully attributable"
            yield Item("", row["response"], (row["knowledge"],), bad, kind=row["model_name"])


def summedits(folder: Path) -> Iterator[Item]:
    recipe = next(source for source in load_recipe().sources if source.name == "summedits")
    for row in read_lines(folder / "summedits" / "summedits.jsonl"):
        part = split_of(group_of(row["doc"]), Shares(recipe.dev, recipe.test))
        if part != "train":
            passages = tuple(row["doc"].split("\n"))
            yield Item("", row["summary"], passages, row["label"] == 0, part=part, kind=row["domain"])


SETS = {"ragtruth": ragtruth, "begin": begin, "summedits": summedits}


def overlap(item: Item) -> float:
    """The lexical floor: the share of the answer's words that no passage holds."""
    held = set(_WORD.findall(" ".join(item.passages).lower()))
    said = _WORD.findall(item.answer.lower())
    return sum(word not in held for word in said) / max(1, len(said))


def measure(name: str, items: Sequence[Item], grounder: Grounder) -> None:
    reports = []
    for done, item in enumerate(items, start=1):
        reports.append(grounder.check(item.question, item.answer, item.passages))
        if done % 100 == 0 or done == len(items):
            print(f"{name}: {done} of {len(items)}", file=sys.stderr)
    test = [place for place, item in enumerate(items) if item.part == "test"]
    dev = [place for place, item in enumerate(items) if item.part == "dev"]
    labels = np.array([float(item.bad) for item in items])
    scores = np.array([report.score for report in reports])
    floor = np.array([overlap(item) for item in items])
    length = np.array([float(len(item.answer)) for item in items])
    flagged = np.array([report.flagged for report in reports])
    print(f"\n## {name}: {len(test)} answers, {int(labels[test].sum())} unsupported")
    print(
        f"AUROC {auroc(labels[test], scores[test]):.3f}; word overlap {auroc(labels[test], floor[test]):.3f}; ", end=""
    )
    print(f"length {auroc(labels[test], length[test]):.3f}")
    print(f"at the shipped threshold: F1 {f1(labels[test], flagged[test]):.3f}, ", end="")
    print(f"balanced accuracy {balanced_accuracy(labels[test], flagged[test]):.3f}, flagged {flagged[test].mean():.2f}")
    print(f"F1 with every answer flagged {f1(labels[test], np.ones(len(test), dtype=bool)):.3f}, ", end="")
    print(f"best F1 of word overlap, its threshold chosen on this very set {_best_f1(labels[test], floor[test]):.3f}")
    if dev:
        for what, values in (("detector", scores), ("word overlap", floor)):
            threshold = best_balanced_threshold(labels[dev], values[dev])
            reached = balanced_accuracy(labels[test], values[test] >= threshold)
            print(f"balanced accuracy, threshold of the dev part, {what}: {reached:.3f}")
    print(f"sentences settled without the encoder: {_settled([reports[place] for place in test]):.2f}")
    _by_kind([items[place] for place in test], scores[test], floor[test])
    if items[0].spans is not None:
        _sentences(items, reports)


def _by_kind(items: Sequence[Item], scores: Array, floor: Array) -> None:
    print("| part | answers | unsupported | AUROC | word overlap |\n|---|---|---|---|---|")
    for kind in sorted({item.kind for item in items}):
        own = np.array([item.kind == kind for item in items])
        labels = np.array([float(item.bad) for item in items])[own]
        if 0 < labels.sum() < len(labels):
            row = f"{auroc(labels, scores[own]):.3f} | {auroc(labels, floor[own]):.3f}"
            print(f"| {kind} | {len(labels)} | {int(labels.sum())} | {row} |")


def _sentences(items: Sequence[Item], reports: Sequence[GroundingReport]) -> None:
    labels, scores, flagged, floor = [], [], [], []
    for item, report in zip(items, reports, strict=True):
        for sentence in report.sentences:
            labels.append(float(any(a < sentence.end and b > sentence.start for a, b in item.spans or ())))
            scores.append(sentence.score)
            flagged.append(sentence.status != "supported")
            text = item.answer[sentence.start : sentence.end]
            floor.append(overlap(Item("", text, item.passages, bad=False)))
    truth, marks = np.array(labels), np.array(flagged)
    hits = float(((truth > 0) & marks).sum())
    print(
        f"per sentence: {len(truth)}, {int(truth.sum())} unsupported; AUROC {auroc(truth, np.array(scores)):.3f}, ",
        end="",
    )
    print(f"word overlap {auroc(truth, np.array(floor)):.3f}; precision {hits / max(1, marks.sum()):.3f}, ", end="")
    print(f"recall {hits / max(1.0, truth.sum()):.3f}, F1 {f1(truth, marks):.3f}")


def speed(items: Sequence[Item], grounder: Grounder) -> None:
    """Answers of five sentences with five passages, put together from the answers of one question's set."""
    chance = random.Random(7)
    pool = [item for item in items if len(item.passages) >= 3]
    timed, settled = [], []
    for _ in range(60):
        item, other = chance.sample(pool, 2)
        passages = (*item.passages, *other.passages)[:5]
        sentences = re.split(r"(?<=[.!?])\s+", f"{item.answer} {other.answer}")[:5]
        start = time.perf_counter()
        report = grounder.check(item.question, " ".join(sentences), passages)
        timed.append(1000 * (time.perf_counter() - start))
        settled.append(report.settled_share)
    timed.sort()
    size = statistics.mean(len(passage.split()) for item in pool for passage in item.passages)
    print(f"\n## speed: 5 sentences, 5 passages of {size:.0f} words")
    print(f"p50 {timed[30]:.0f} ms, p95 {timed[56]:.0f} ms; settled {statistics.mean(settled):.2f}")


def _settled(reports: Sequence[GroundingReport]) -> float:
    sentences = [sentence for report in reports for sentence in report.sentences]
    return sum(not sentence.read for sentence in sentences) / max(1, len(sentences))


def _best_f1(labels: Array, scores: Array) -> float:
    return max(f1(labels, scores >= threshold) for threshold in np.unique(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", type=Path, default=SHIPPED)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--only", choices=[*SETS, "speed"], default=None)
    arguments = parser.parse_args()
    grounder = Grounder(open_detector(arguments.detector))
    print(f"detector {grounder.detector.name}")
    for name, read in SETS.items():
        if arguments.only in (None, name):
            items = list(read(arguments.data))
            if arguments.limit:
                items = random.Random(7).sample(items, min(arguments.limit, len(items)))
            measure(name, items, grounder)
    if arguments.only in (None, "speed"):
        speed(list(ragtruth(arguments.data)), grounder)


if __name__ == "__main__":
    main()
