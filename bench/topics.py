"""Which likeness to an example means "about this topic", for the project's embedder, and how well that tells topics.

    python -m bench.topics [--examples N]

The ten topics in bench/data/topics.jsonl have six example sentences and eight other texts each, and there are texts on
no topic. Every topic in turn is the one looked for: the first five give the cosine, the last five the figures. Floor:
the share of a text's words that the nearest example has.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune.grounding.figures import auroc
from guardrails.checks.toxicity_features import words
from lockgate.models.catalogue import load_catalogue
from lockgate.models.embedder import load_embedder
from lockgate.settings import Settings

DATA = Path(__file__).parent / "data" / "topics.jsonl"
Array = NDArray[np.float64]
Labels = NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=6)
    given = parser.parse_args()
    settings = Settings()
    embedder = load_embedder(settings, load_catalogue(settings.project_dir).get(settings.embedder, "embedder"))
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    texts = [(row["topic"], text) for row in rows for text in row["texts"]]
    vectors = embedder.embed([text for _, text in texts])
    likeness: list[Array] = []
    lexical: list[Array] = []
    about: list[Labels] = []
    topics = [row for row in rows if row["examples"]]
    for row in topics:
        examples = row["examples"][: given.examples]
        likeness.append((vectors @ embedder.embed(examples).T).max(axis=1).astype(float))
        shared = [max(_shared(text, example) for example in examples) for _, text in texts]
        lexical.append(np.array(shared))
        about.append(np.array([topic == row["topic"] for topic, _ in texts]))
    half = len(topics) // 2
    threshold = _balanced(*_joined(likeness[:half], about[:half]))
    lexical_threshold = _balanced(*_joined(lexical[:half], about[:half]))
    # Three topics allowed at a time: what is on none of them is off topic.
    trios = [(half, half + 1, half + 2), (half + 1, half + 2, half + 3), (half + 2, half + 3, half + 4)]
    of_three = [np.max([likeness[each] for each in trio], axis=0) for trio in trios]
    on_three = [np.any([about[each] for each in trio], axis=0) for trio in trios]
    print(f"embedder {embedder.digest}, {given.examples} examples a topic, {len(topics)} topics, {len(texts)} texts")
    print(f"cosine at which as many are missed as wrongly taken: {threshold:.3f}")
    for name, values, truth, at in (
        ("one topic", likeness[half:], about[half:], threshold),
        ("one of three topics", of_three, on_three, threshold),
        ("floor: shared words", lexical[half:], about[half:], lexical_threshold),
    ):
        scores, labels = _joined(values, truth)
        found, wrong = (scores >= at)[labels].mean(), (scores >= at)[~labels].mean()
        area = auroc(labels.astype(float), scores)
        print(f"{name:<22} AUROC {area:.3f}  found {found:.3f}  others taken for it {wrong:.3f}")


def _joined(values: Sequence[Array], truth: Sequence[Labels]) -> tuple[Array, Labels]:
    return np.concatenate(values).astype(float), np.concatenate(truth)


def _shared(text: str, example: str) -> float:
    own = set(words(text))
    return len(own & set(words(example))) / max(1, len(own))


def _balanced(scores: Array, labels: Labels) -> float:
    """The threshold whose misses and false alarms are the nearest to each other."""
    grid = np.unique(scores)
    gaps = [abs((scores[labels] < at).mean() - (scores[~labels] >= at).mean()) for at in grid]
    return float(grid[int(np.argmin(gaps))])


if __name__ == "__main__":
    main()
