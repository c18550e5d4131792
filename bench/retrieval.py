"""Page-level retrieval quality of a snapshot on questions with one gold page each.

    python -m bench.retrieval --state DIR --qa FILE [--weights 0,0.1,...] [--json FILE]

``--state`` is a state folder that bench.indexing kept. Each line of ``--qa`` has "question" and "source", the gold
page's path. For each dense weight: nDCG@10 (Järvelin and Kekäläinen 2002; with one relevant page 1 / log2(1 + rank)),
recall@1 and @10, and the paired differences of nDCG to BM25 alone (weight 0) and to plain BM25 over whole pages, with
95 % intervals over questions.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evals.statistics.difference import Difference, paired_difference
from evals.statistics.pairs import MetricShape, Pair
from ingestion.embedding import open_embedder
from ingestion.options import RetrievalOptions
from ingestion.retriever import SnapshotRetriever
from ingestion.service import IndexService
from ingestion.terms import Lexicon, passage_weights
from lockgate.settings import load_settings
from lockgate.store.database import Database, open_database
from lockgate.store.snapshots import pages_at

BATCH = 5000
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
        pages = _plain_gains(service, db, rows)
        print(f"plain BM25 over whole pages: nDCG@10 {np.mean(pages):.3f}")
        words: list[float] = []
        for weight in [float(part) for part in options.weights.split(",")]:
            retriever = SnapshotRetriever(service, RetrievalOptions(dense_weight=weight), service.current)
            ranks = [_rank(retriever, row["question"], row["source"]) for row in rows]
            gains = [_gain(rank) for rank in ranks]
            words = words or gains
            to_words, to_pages = _difference(gains, words), _difference(gains, pages)
            result = {
                "dense_weight": weight,
                "ndcg@10": float(np.mean(gains)),
                "recall@1": float(np.mean([rank <= 1 for rank in ranks])),
                "recall@10": float(np.mean([rank <= 10 for rank in ranks])),
                "difference": to_words.value,
                "interval": [to_words.low, to_words.high],
                "difference_to_plain": to_pages.value,
                "interval_to_plain": [to_pages.low, to_pages.high],
            }
            results.append(result)
            print(
                f"weight {weight:.2f}  nDCG@10 {result['ndcg@10']:.3f}  R@1 {result['recall@1']:.3f}  "
                f"R@10 {result['recall@10']:.3f}  "
                f"to weight 0: {_text(to_words)}  to plain BM25: {_text(to_pages)}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


def _gain(rank: int) -> float:
    return 1 / math.log2(1 + rank) if rank <= 10 else 0.0


def _difference(new: list[float], old: list[float]) -> Difference:
    shape = MetricShape("ndcg@10", (0.0, 1.0), "higher")
    pairs = [Pair(str(row), "", {}, *gains) for row, gains in enumerate(zip(new, old, strict=True))]
    return paired_difference(pairs, shape)


def _text(found: Difference) -> str:
    numbers = [float("nan") if each is None else each for each in (found.value, found.low, found.high)]
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*numbers)


def _plain_gains(service: IndexService, db: Database, rows: Sequence[dict[str, str]]) -> list[float]:
    """nDCG@10 of BM25 over whole pages, titles and headings left out: what one gets without any of this."""
    opened = service.current()
    pages = pages_at(db, opened.record.seq)
    ids = [chunk_id for page in pages for chunk_id in page.chunk_ids]
    texts: dict[str, str] = {}
    for start in range(0, len(ids), BATCH):
        for chunk in opened.index.neighbours(opened.record.seq, ids[start : start + BATCH]):
            texts[chunk.id] = chunk.text
    names = [page.path for page in pages]
    counted = [service.terms.count("\n".join(texts[i] for i in page.chunk_ids)) for page in pages]
    average = round(float(np.mean([terms.length for terms in counted])))
    weights = [dict(zip(t.ids.tolist(), passage_weights(t, average).tolist(), strict=True)) for t in counted]
    lexicon = Lexicon.empty().updated([terms.ids for terms in counted], [])
    gains = []
    for row in rows:
        asked = service.terms.count(row["question"])
        idf = dict(zip(asked.ids.tolist(), lexicon.idf(asked.ids).tolist(), strict=True))
        scores = np.array([sum(idf[term] * page.get(term, 0.0) for term in idf) for page in weights])
        order = [names[place] for place in np.argsort(-scores, kind="stable")]
        gains.append(_gain(order.index(row["source"]) + 1))
    return gains


def _rank(retriever: SnapshotRetriever, question: str, gold: str) -> int:
    """1-based rank of the gold page, a large number when it was not found."""
    found = retriever.retrieve(question, limit=DEPTH).passages
    pages = list(dict.fromkeys(passage.chunk.path for passage in found))
    return pages.index(gold) + 1 if gold in pages else 10**9


if __name__ == "__main__":
    main()
