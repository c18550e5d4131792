"""What the kill test runs in processes of its own: one sync, and one look at what the syncs before left."""

from __future__ import annotations

import json
from pathlib import Path

import ingestion.sync
from ingestion.index import point_id
from lockgate.store.database import open_database
from lockgate.store.snapshots import current_snapshot, pages_at
from tests.ingestion.fakes import WordEmbedder, open_service, quiet, settings_for


def sync_once(project: Path, bm25_first: bool) -> None:
    """Sync ``project/docs``; with ``bm25_first`` a BM25-only snapshot comes before the hybrid one."""
    if bm25_first:
        ingestion.sync.BM25_FIRST_SECONDS = 0.0
        ingestion.sync._PROBE_SECONDS = 0.0
    with open_database(settings_for(project).database) as db, open_service(project, db, WordEmbedder()) as service:
        service.sync(project / "docs", quiet)


def inspect(project: Path, report: Path) -> None:
    """Write what the index and the store say of the current snapshot, chunk by chunk."""
    with open_database(settings_for(project).database) as db, open_service(project, db, WordEmbedder()) as service:
        record = current_snapshot(db)
        if record is None:
            report.write_text(json.dumps({"snapshot": None}))
            return
        opened = service.current()
        pages = pages_at(db, record.seq)
        wanted = [chunk_id for page in pages for chunk_id in page.chunk_ids]
        points = [point_id(chunk_id, page.first) for page in pages for chunk_id in page.chunk_ids]
        body = {
            "snapshot": record.id,
            "kind": record.kind,
            "paths": [page.path for page in pages],
            "wanted": len(wanted),
            "distinct": len(set(wanted)),
            "counted": opened.index.count(record.seq),
            "found": len(opened.index.neighbours(record.seq, wanted)),
            "points": len(opened.index.term_ids(points)),
            "bare": len(opened.index.missing_dense(record.seq)),
            "lexicon": opened.lexicon.chunks,
        }
        report.write_text(json.dumps(body))
