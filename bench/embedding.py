"""Chunks per second of Lockgate's embedder against SentenceTransformer.encode, on the same texts in the same run.

python -m bench.embedding [--corpus DIR] [--texts N] [--rounds R] needs the model: lockgate models pull all-minilm-l6-v2
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from lockgate.models.catalogue import load_catalogue
from lockgate.models.embedder import load_embedder
from lockgate.models.fetch import local_path
from lockgate.settings import load_settings

NAME = "all-minilm-l6-v2"
WORDS = ("index", "release", "channel", "gate", "evidence", "snapshot", "prompt", "policy", "adapter", "trace", "model")


def corpus_texts(folder: Path, limit: int, rng: random.Random) -> list[str]:
    """Pieces of 20 to 160 words from the Markdown and text files under ``folder``."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".md", ".txt", ".rst", ".html"})
    rng.shuffle(files)
    texts: list[str] = []
    for path in files:
        words = path.read_text(errors="replace").split()
        while words and len(texts) < limit:
            size = rng.randint(20, 160)
            texts.append(" ".join(words[:size]))
            words = words[size:]
    return texts


def generated_texts(limit: int, rng: random.Random) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=rng.randint(20, 160))) for _ in range(limit)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rng = random.Random(0)
    texts = corpus_texts(options.corpus, options.texts, rng) if options.corpus else generated_texts(options.texts, rng)

    settings = load_settings()
    entry = load_catalogue(settings.project_dir).get(NAME)
    ours = load_embedder(settings, entry)
    theirs = SentenceTransformer(str(local_path(entry, settings.models_path)), local_files_only=True)
    theirs.max_seq_length = ours.max_tokens
    tokens = sum(ours.count_tokens(texts))
    gap = np.abs(ours.embed(texts[:64]) - theirs.encode(texts[:64])).max()
    print(f"{len(texts)} texts, {tokens} tokens; largest difference of a vector component: {gap:.1e}")

    ratios = []
    for number in range(options.rounds):
        arms = {"ours": lambda: ours.embed(texts), "encode": lambda: theirs.encode(texts, batch_size=32)}
        order = list(arms) if number % 2 == 0 else list(reversed(arms))
        took = {arm: seconds(arms[arm]) for arm in order}
        ratios.append(took["encode"] / took["ours"])
        rates = ", ".join(f"{arm} {len(texts) / took[arm]:.1f} texts/s" for arm in sorted(took))
        print(f"round {number + 1}: {rates}, ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} (above 1: Lockgate's embedder is faster)")


if __name__ == "__main__":
    main()
