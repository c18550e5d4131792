"""A release as one file: out of one installation, into another that may have no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chains.archive_file import RELEASE_ARCHIVE, ArchiveReader, ReleaseListing, read_archive, write_archive
from chains.archive_index import add_index, import_index, index_members
from chains.provenance import ProvenanceCheck, verify_provenance
from lockgate.errors import Corrupt, LockgateError, NotFound, UserError
from lockgate.ports import Progress
from lockgate.release import Manifest, canonical_json, manifest_from
from lockgate.settings import Settings
from lockgate.signing import own_key_fingerprint
from lockgate.store.database import Database
from lockgate.store.objects import ObjectStore
from lockgate.store.releases import open_releases

if TYPE_CHECKING:
    from ingestion.service import IndexService

MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"

IndexState = Literal["none", "left out", "imported", "here already"]
OpenIndex = Callable[[Manifest], AbstractContextManager["IndexService"]]
"""Opens the index with the embedder that a manifest pins, to itself for as long as the block lasts."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """``fingerprint`` is that of the key that signed the file; ``pages`` and ``chunks`` are 0 without the index."""

    release: str
    path: str
    bytes: int
    sha256: str
    fingerprint: str
    index: bool
    pages: int
    chunks: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """``builder`` signed the provenance, ``exporter`` the file: fingerprints; ``own_*`` says that it is this
    installation's key. ``new`` is False for a release that was here already."""

    release: str
    chain: str
    new: bool
    builder: str
    own_builder: bool
    exporter: str
    own_exporter: bool
    snapshot: str
    index: IndexState
    pages: int
    chunks: int


def export_release(
    settings: Settings,
    db: Database,
    release_id: str,
    path: Path,
    *,
    index: IndexService | None = None,
    progress: Progress,
) -> ExportReport:
    """Write the release to ``path``, with its snapshot's points when ``index`` is given.

    Exporting again gives the same bytes. Raises NotFound or Corrupt for what the release pins and is not here.
    """
    store = open_releases(settings, db)
    record, manifest = store.find(release_id), store.manifest(release_id)
    check = verify_provenance(record.provenance, record.id, state_dir=settings.state_dir)
    if not check.ok:
        raise Corrupt(f"Release {record.id[:12]}: {check.problem}.", hint="Build or import the release again.")
    with write_archive(path, RELEASE_ARCHIVE) as writer:
        writer.add(MANIFEST, manifest.canonical())
        writer.add(PROVENANCE, canonical_json(dict(record.provenance)))
        for name in _object_names(manifest):
            writer.add(f"objects/{name}", _object(store.objects, name, manifest))
        shape = add_index(writer, db, index, manifest, progress) if index is not None else None
        written = writer.finish({"release": record.id, "index": shape}, settings.state_dir, progress)
    return ExportReport(
        release=record.id,
        path=str(path),
        bytes=written.bytes,
        sha256=written.sha256,
        fingerprint=own_key_fingerprint(settings.state_dir) or "",
        index=shape is not None,
        pages=shape.pages if shape else 0,
        chunks=shape.chunks if shape else 0,
    )


def import_release(
    settings: Settings,
    db: Database,
    path: Path,
    *,
    open_index: OpenIndex | None,
    require_keys: Collection[str] = (),
    progress: Progress,
) -> ImportReport:
    """Take in the release at ``path``; with ``open_index`` also its snapshot, where the file has one.

    Every byte is checked before anything is kept. With ``require_keys`` whoever built the release and whoever wrote the
    file must have signed with one of these keys (fingerprints). Importing again changes nothing.
    """
    with read_archive(path, RELEASE_ARCHIVE) as archive:
        archive.check(progress)
        manifest, provenance, builder = _checked(settings, archive, path)
        exporter = archive.signer.fingerprint
        _require({"built": builder.fingerprint, "written": exporter}, require_keys, path)
        store = open_releases(settings, db)
        for name in (MANIFEST, *(f"objects/{name}" for name in _object_names(manifest))):
            store.objects.put(archive.read(name))
        shape = archive.listing.index
        state: IndexState = "none" if shape is None else "left out"
        if shape is not None and open_index is not None:
            with open_index(manifest) as service:
                state = "imported" if import_index(service, archive, manifest, shape, progress) else "here already"
        known = _is_known(store.find, manifest.id)
        # Last, so that a release that is listed has what came with it.
        store.write(manifest, provenance)
    return ImportReport(
        release=manifest.id,
        chain=manifest.name,
        new=not known,
        builder=builder.fingerprint,
        own_builder=builder.own,
        exporter=exporter,
        own_exporter=exporter == own_key_fingerprint(settings.state_dir),
        snapshot=manifest.snapshot.id,
        index=state,
        pages=shape.pages if shape else 0,
        chunks=shape.chunks if shape else 0,
    )


def _is_known(find: Callable[[str], object], release_id: str) -> bool:
    try:
        find(release_id)
    except NotFound:
        return False
    return True


def _checked(
    settings: Settings, archive: ArchiveReader[ReleaseListing], path: Path
) -> tuple[Manifest, dict[str, Any], ProvenanceCheck]:
    """What the archive holds, found to be one whole: hashes, signature, and exactly the members that must be there."""
    manifest = manifest_from(archive.read(MANIFEST), where=f"{path}: the member {MANIFEST!r}")
    if manifest.id != archive.listing.release:
        raise Corrupt(f"{path}: the member {MANIFEST!r} is of another release than the one that is listed.")
    names = [member.name for member in archive.listing.members]
    shape = archive.listing.index
    wanted = [MANIFEST, PROVENANCE, *(f"objects/{name}" for name in _object_names(manifest))]
    if names != wanted + (index_members(shape) if shape else []):
        raise Corrupt(f"{path}: does not hold exactly the members of release {manifest.id[:12]}.")
    pinned = manifest.snapshot
    if shape is not None and (shape.pages, shape.chunks) != (pinned.documents, pinned.chunks):
        raise Corrupt(f"{path}: its index is not that of release {manifest.id[:12]}.")
    if pinned.id != pinned.manifest:
        raise Corrupt(f"{path}: the member {MANIFEST!r} names a snapshot by another hash than its page list's.")
    hashes = {member.name: member.sha256 for member in archive.listing.members}
    for name in _object_names(manifest):
        if hashes[f"objects/{name}"] != name:
            raise Corrupt(f"{path}: the member 'objects/{name}' is not the object of that name.")
    provenance = _provenance(archive.read(PROVENANCE), path)
    check = verify_provenance(provenance, manifest.id, state_dir=settings.state_dir)
    if not check.ok:
        raise Corrupt(f"{path}: the member {PROVENANCE!r}: {check.problem}.")
    return manifest, provenance, check


def _provenance(data: bytes, path: Path) -> dict[str, Any]:
    try:
        block = json.loads(data)
        if isinstance(block, dict) and canonical_json(block) == data:
            return block
    except (ValueError, RecursionError):
        pass
    raise Corrupt(f"{path}: the member {PROVENANCE!r} is not a provenance.")


def _require(signers: dict[str, str], keys: Collection[str], path: Path) -> None:
    wanted = {key.strip().lower() for key in keys}
    for what, key in signers.items():
        if wanted and key not in wanted:
            raise UserError(
                f"{path}: was {what} by the holder of key {key}, which is not one that you require.",
                hint="Require that key too, if you know whose it is: --require-key",
            )


def _object_names(manifest: Manifest) -> list[str]:
    return list(dict.fromkeys((manifest.snapshot.manifest, manifest.snapshot.lexicon)))


def _object(objects: ObjectStore, name: str, manifest: Manifest) -> bytes:
    try:
        return objects.get(name)
    except LockgateError as error:
        raise Corrupt(
            f"Snapshot {manifest.snapshot.id[:12]} is not whole here: {error.message}", hint="Restore it from a backup."
        ) from None
