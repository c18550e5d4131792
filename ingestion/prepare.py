"""From files to prepared pages: what is unchanged, what was read, cut and counted, what was set aside and why."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingestion.chunking import Chunking, CountTokens, chunk_document
from ingestion.parsers.registry import parse_document
from ingestion.scan import FileEntry, Rejected, read_entry, scan_folder
from ingestion.source import FolderSource
from lockgate.errors import LockgateError
from lockgate.store.snapshots import PageRecord
from lockgate.types import Chunk, Document

_RACY_NS = 2_000_000_000
"""A file as young as this when it is read may change again within the same tick of its clock."""


@dataclass(frozen=True, slots=True)
class PreparedPage:
    """A page that is new or changed, ready to index."""

    source: str
    path: str
    version: str
    title: str
    format: str
    size: int
    mtime_ns: int
    chunks: tuple[Chunk, ...]


@dataclass(slots=True)
class Preparation:
    """The outcome of reading the sources; ``rejected`` is (source, path, reason)."""

    changed: list[PreparedPage] = field(default_factory=list)
    unchanged: list[PageRecord] = field(default_factory=list)
    touched: list[PageRecord] = field(default_factory=list)  # same content, new size or time on disk
    rejected: list[tuple[str, str, str]] = field(default_factory=list)
    duplicates: int = 0

    def reject(self, source: str, path: str, reason: str) -> None:
        """Set a file aside. Reasons may name the file, which stands beside them already."""
        self.rejected.append((source, path, reason.removeprefix(f"{path}: ")))


def content_version(data: bytes) -> str:
    """The version of a page that no version control names: the start of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:12]


def prepare(
    source: FolderSource,
    root: Path,
    known: Mapping[str, PageRecord],
    *,
    chunking: Chunking,
    count_tokens: CountTokens,
    max_bytes: int,
    into: Preparation,
    progress: Callable[[int], None],
) -> None:
    """Read one source. ``known`` are the pages of the snapshot before, by path; ``progress`` gets files done.

    A file whose size and time are those of last time is not opened; one that was young when it was read keeps no time,
    and is read once more. A file that cannot be read or parsed is set aside
    with its reason; the others go on. Raises NotFound or UserError when the folder itself is missing or empty.
    """
    versions: dict[str, str] = {page.version: page.path for page in known.values()}
    for done, item in enumerate(_scan(source, root, max_bytes), start=1):
        if isinstance(item, Rejected):
            into.reject(source.name, item.path, item.reason)
        else:
            _prepare_file(item, source, root, known.get(item.path), chunking, count_tokens, max_bytes, into, versions)
        progress(done)


def _scan(source: FolderSource, root: Path, max_bytes: int) -> Iterator[FileEntry | Rejected]:
    return scan_folder(root, include=source.include, exclude=source.exclude, max_bytes=max_bytes)


def _prepare_file(
    entry: FileEntry,
    source: FolderSource,
    root: Path,
    before: PageRecord | None,
    chunking: Chunking,
    count_tokens: CountTokens,
    max_bytes: int,
    into: Preparation,
    versions: dict[str, str],
) -> None:
    if before and (before.size, before.mtime_ns) == (entry.size, entry.mtime_ns):
        into.unchanged.append(before)
        return
    try:
        data = read_entry(root, entry, max_bytes=max_bytes)
        version = content_version(data)
        if before and before.version == version:
            into.unchanged.append(before)
            into.touched.append(replace(before, size=entry.size, mtime_ns=_trusted_time(entry)))
            return
        document = parse_document(data, source=source.name, path=entry.path, version=version)
        chunks = chunk_document(document, chunking, count_tokens)
    except LockgateError as error:
        into.reject(source.name, entry.path, error.message)
        return
    if not chunks:
        into.reject(source.name, entry.path, "holds no text.")
        return
    if versions.setdefault(version, entry.path) != entry.path:
        into.duplicates += 1
    into.changed.append(_page(document, entry, chunks))


def _page(document: Document, entry: FileEntry, chunks: list[Chunk]) -> PreparedPage:
    return PreparedPage(
        source=document.source,
        path=document.path,
        version=document.version,
        title=document.title,
        format=document.format,
        size=entry.size,
        mtime_ns=_trusted_time(entry),
        chunks=tuple(chunks),
    )


def _trusted_time(entry: FileEntry) -> int:
    """The file's time, or 0, which no file has, when a later change could leave the same time."""
    return 0 if time.time_ns() - entry.mtime_ns < _RACY_NS else entry.mtime_ns
