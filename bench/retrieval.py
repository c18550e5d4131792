"""Page-level retrieval quality of a snapshot on questions with one gold page each.

    python -m bench.retrieval --state DIR --qa FILE [--weights 0,0.1,...] [--json FILE]

``--state`` is a state folder that bench.indexing kept. Each line of ``--qa`` has "question" and "source", the gold
page's path. For each dense weight: nDCG@10 (Järvelin and Kekäläinen 2002; with one relevant page 1 / log2(1 + rank)),
recall@1 and @10, and the paired difference of nDCG to BM25 alone (weight 0) with its 95 % interval over questions.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from evals.intervals import paired_difference
from ingestion.embedding import open_embedder
from ingestion.options import RetrievalOptions
from ingestion.retriever import SnapshotRetriever
from ingestion.service import IndexService
from lockgate.settings import load_settings
from lockgate.store.database import open_database

DEPTH = 100
"""Passages asked for; pages rank by their best passage."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--qa", type=Path, required=True)
    parser.add_argument("--weights", default="0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.qa.read_text(encoding="utf-8").splitlines() if line.strip()]
    settings = load_settings(state=options.state)
    results = []
    with open_database(settings.database) as db, IndexService(settings, db, open_embedder(settings)) as service:
        words: list[float] = []
        for weight in [float(part) for part in options.weights.split(",")]:
            retriever = SnapshotRetriever(service, RetrievalOptions(dense_weight=weight))
            ranks = [_rank(retriever, row["question"], row["source"]) for row in rows]
            gains = [1 / math.log2(1 + rank) if rank <= 10 else 0.0 for rank in ranks]
            words = words or gains
            mean, interval = paired_difference(gains, words)
            result = {
                "dense_weight": weight,
                "ndcg@10": float(np.mean(gains)),
                "recall@1": float(np.mean([rank <= 1 for rank in ranks])),
                "recall@10": float(np.mean([rank <= 10 for rank in ranks])),
                "difference": mean,
                "interval": [interval.low, interval.high],
            }
            results.append(result)
            print(
                f"weight {weight:.2f}  nDCG@10 {result['ndcg@10']:.3f}  R@1 {result['recall@1']:.3f}  "
                f"R@10 {result['recall@10']:.3f}  to weight 0: {mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


def _rank(retriever: SnapshotRetriever, question: str, gold: str) -> int:
    """1-based rank of the gold page, a large number when it was not found."""
    found = retriever.retrieve(question, limit=DEPTH).passages
    pages = list(dict.fromkeys(passage.chunk.path for passage in found))
    return pages.index(gold) + 1 if gold in pages else 10**9


if __name__ == "__main__":
    main()
