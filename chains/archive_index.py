"""A snapshot's points inside a release archive: pages and chunks as JSON lines, vectors as NumPy files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from chains.archive_file import ArchiveReader, ArchiveWriter, IndexShape, ReleaseListing
from ingestion.transfer import Incoming, PointBatch, export_pages, export_points, import_snapshot
from lockgate.errors import Corrupt
from lockgate.ports import Progress
from lockgate.release import Manifest, canonical_json
from lockgate.store.database import Database
from lockgate.store.snapshots import PageRecord
from lockgate.types import Chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingestion.service import IndexService

PAGES = "index/pages.jsonl"


def index_members(shape: IndexShape) -> list[str]:
    """The names of the members, in their order."""
    names = [PAGES]
    for number in range(shape.batches):
        names += [_chunks(number), _vectors(number)] if shape.dimension else [_chunks(number)]
    return names


def _chunks(number: int) -> str:
    return f"index/chunks-{number:05}.jsonl"


def _vectors(number: int) -> str:
    return f"index/vectors-{number:05}.npy"


def add_index(
    writer: ArchiveWriter[ReleaseListing], db: Database, service: IndexService, manifest: Manifest, progress: Progress
) -> IndexShape:
    """Write the points of the release's snapshot, a batch in memory at a time."""
    opened = service.open_snapshot(manifest.snapshot.id)
    pages = export_pages(db, opened)
    writer.add(PAGES, _lines(_page_line(page) for page in pages))
    chunks = batches = dimension = 0
    for batch in export_points(opened, pages):
        writer.add(_chunks(batches), _lines(asdict(chunk) for chunk in batch.chunks))
        if batch.vectors is not None:
            dimension = batch.vectors.shape[1]
            writer.add(_vectors(batches), _npy_head(*batch.vectors.shape) + batch.vectors.astype("<f4").tobytes())
        chunks += len(batch.chunks)
        batches += 1
        progress("export", chunks, manifest.snapshot.chunks)
    return IndexShape(pages=len(pages), chunks=chunks, batches=batches, dimension=dimension)


def import_index(
    service: IndexService,
    archive: ArchiveReader[ReleaseListing],
    manifest: Manifest,
    shape: IndexShape,
    progress: Progress,
) -> bool:
    """Take in the snapshot; False says that it was here already."""

    def batches() -> Iterator[PointBatch]:
        for number in range(shape.batches):
            chunks = [_chunk(line, _chunks(number)) for line in _rows(archive, _chunks(number))]
            vectors = _read_vectors(archive, number, len(chunks), shape.dimension) if shape.dimension else None
            yield PointBatch(chunks, vectors)

    pages = [_page(row) for row in _rows(archive, PAGES)]
    _, new = import_snapshot(service, Incoming(manifest.snapshot, pages, batches), progress)
    return new


def _read_vectors(
    archive: ArchiveReader[ReleaseListing], number: int, rows: int, dimension: int
) -> NDArray[np.float32]:
    """The head is compared, not read: NumPy would make an array of whatever shape it claims."""
    data, head = archive.read(_vectors(number)), _npy_head(rows, dimension)
    if not data.startswith(head) or len(data) != len(head) + 4 * rows * dimension:
        raise Corrupt(f"The member {_vectors(number)!r} does not hold {rows} vectors of {dimension} numbers.")
    return np.frombuffer(data, dtype="<f4", offset=len(head)).reshape(rows, dimension).astype(np.float32)


def _npy_head(rows: int, dimension: int) -> bytes:
    """The head of NumPy's file format, version 1.0, for float32 in rows."""
    described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}".encode()
    described += b" " * (-(10 + len(described) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(described).to_bytes(2, "little") + described


def _lines(rows: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(canonical_json(row) + b"\n" for row in rows)


def _rows(archive: ArchiveReader[ReleaseListing], name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(io.BytesIO(archive.read(name)), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise Corrupt(f"The member {name!r}, line {number}, is not a JSON object.")
        yield row


def _page_line(page: PageRecord) -> dict[str, Any]:
    """Without the file's time and the number of its snapshot, which are this machine's."""
    return {
        "source": page.source,
        "path": page.path,
        "version": page.version,
        "title": page.title,
        "format": page.format,
        "size": page.size,
        "chunks": list(page.chunk_ids),
    }


def _page(row: dict[str, Any]) -> PageRecord:
    try:
        texts = {name: _text(row[name]) for name in ("source", "path", "version", "title", "format")}
        chunk_ids = tuple(_text(name) for name in row["chunks"])
        return PageRecord(**texts, size=_number(row["size"]), mtime_ns=0, chunk_ids=chunk_ids, first=0)
    except (KeyError, TypeError) as error:
        raise Corrupt(f"The member {PAGES!r} has a line that is no page ({error}).") from None


def _chunk(row: dict[str, Any], name: str) -> Chunk:
    try:
        texts = {key: _text(row[key]) for key in ("id", "source", "path", "title", "version", "text", "anchor")}
        return Chunk(
            **texts,
            heading=tuple(_text(part) for part in row["heading"]),
            position=_number(row["position"]),
            tokens=_number(row["tokens"]),
            page=None if row["page"] is None else _number(row["page"]),
        )
    except (KeyError, TypeError) as error:
        raise Corrupt(f"The member {name!r} has a line that is no chunk ({error}).") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!r} is no text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise TypeError(f"{str(value)[:40]!r} is no number")
    return value
