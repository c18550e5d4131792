"""Index a corpus, and compare with SentenceTransformer.encode alone on the same chunks in the same run.

    python -m bench.indexing --corpus DIR [--pages N] [--sample N] [--state DIR]

Prints chunks/s of the whole sync (read, parse, cut, count, embed, index, commit) over chunks/s of the peer, which then
embeds a random sample of those very chunks with its defaults.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ingestion.embedding import open_embedder
from ingestion.service import IndexService
from ingestion.source import FolderSource, folder_source
from lockgate.models.catalogue import load_catalogue
from lockgate.models.fetch import local_path
from lockgate.settings import Settings, load_settings
from lockgate.store.database import open_database
from lockgate.store.snapshots import pages_at
from lockgate.terminal import progress_bars


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=0, help="only the first N pages of a fixed shuffle; 0: all")
    parser.add_argument("--sample", type=int, default=2000, help="chunks that the peer embeds")
    parser.add_argument("--state", type=Path, default=None, help="keep the index here, for bench.retrieval")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        settings = load_settings(state=options.state or Path(scratch))
        with open_database(settings.database) as db, IndexService(settings, db, open_embedder(settings)) as service:
            service.embedder.load()
            with progress_bars() as progress:
                report = service.sync_sources([_source(options.corpus, options.pages)], progress)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            record = service.current().record
            ids = [chunk_id for page in pages_at(db, record.seq) for chunk_id in page.chunk_ids]
            chosen = random.Random(0).sample(ids, min(options.sample, len(ids)))
            texts = [chunk.embed_text for chunk in service.current().index.neighbours(record.seq, chosen)]
        peer = _peer_rate(settings, texts)
    rate = report.chunks / report.seconds
    result = {
        "pages": report.pages,
        "chunks": report.chunks,
        "seconds": report.seconds,
        "chunks_per_s": round(rate, 2),
        "peer_chunks_per_s": round(peer, 2),
        "ratio": round(rate / peer, 3),
        "peak_memory_mb": round(peak),
    }
    print(json.dumps(result, indent=2))


def _source(corpus: Path, pages: int) -> FolderSource:
    source = folder_source(corpus)
    if not pages:
        return source
    names = sorted(str(path.relative_to(corpus)) for path in corpus.rglob("*.md"))
    return source.model_copy(update={"include": random.Random(0).sample(names, min(pages, len(names)))})


def _peer_rate(settings: Settings, texts: Sequence[str]) -> float:
    """Chunks a second of sentence-transformers' own encode, its defaults, at our maximum length."""
    from sentence_transformers import SentenceTransformer

    entry = load_catalogue(settings.project_dir).get(settings.embedder)
    model = SentenceTransformer(str(local_path(entry, settings.models_path)), device="cpu")
    model.max_seq_length = entry.max_tokens
    model.encode(list(texts[:32]))
    start = time.perf_counter()
    model.encode(list(texts), show_progress_bar=False)
    return len(texts) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
