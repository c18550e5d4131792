"""Releases as this installation keeps them: the manifest in the object folder, what was said of it in the database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from lockgate.errors import Conflict, NotFound, UserError
from lockgate.release import Manifest, manifest_from
from lockgate.settings import Settings
from lockgate.store.database import Database
from lockgate.store.objects import ObjectStore
from lockgate.store.tables import Channel, Release

MAX_LISTED = 1000
SHORTEST = 6
"""So many first characters of an id may name a release."""

_ID = re.compile(r"[0-9a-f]{6,64}\Z")


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """``provenance`` is the signed block: body, key, signature; see ``chains.provenance``. ``purpose`` says what a
    release was made for that nobody means to serve, such as a comparison; "" for the others."""

    id: str
    chain: str
    snapshot: str
    created_at: datetime
    provenance: Mapping[str, Any]
    purpose: str = ""


class ReleaseStore:
    """Writes once, never changes. Safe for many processes at once."""

    def __init__(self, db: Database, objects: ObjectStore) -> None:
        self._db = db
        self.objects = objects

    def write(self, manifest: Manifest, provenance: Mapping[str, Any], *, purpose: str = "") -> ReleaseRecord:
        """Keep ``manifest``; one that is here already stays as it is, with the provenance that came first. One that was
        made for a purpose and is now built to be served becomes the latter.

        The object is on disk before the row that names it, so a kill in between leaves nothing that points nowhere.
        """
        name = self.objects.put(manifest.canonical())
        try:
            with self._db.session() as session:
                row = session.get(Release, name)
                if row is None:
                    row = Release(
                        id=name,
                        chain=manifest.name,
                        snapshot=manifest.snapshot.id,
                        provenance=dict(provenance),
                        purpose=purpose,
                        created_at=datetime.now(UTC),
                    )
                    session.add(row)
                elif row.purpose and not purpose:
                    row.provenance, row.purpose, row.created_at = dict(provenance), "", datetime.now(UTC)
            return _record(row)
        except Conflict:  # PostgreSQL lets two writers both see no row
            return self.find(name)

    def find(self, name: str) -> ReleaseRecord:
        """By id, or at least six first characters of one. Raises NotFound, UserError for one that fits several."""
        name = name.strip().lower()
        if not _ID.match(name):
            raise UserError(
                f"{name[:80]!r} is not the id of a release: {SHORTEST} to 64 hexadecimal digits.",
                hint="See: lockgate release list",
            )
        query = select(Release).where(Release.id.startswith(name, autoescape=True)).limit(2)
        with self._db.reading() as session:
            rows = session.scalars(query).all()
        if not rows:
            raise NotFound(f"There is no release {name[:12]}.", hint="See: lockgate release list")
        if len(rows) > 1:
            raise UserError(f"{name!r} fits several releases: give more characters.", hint="See: lockgate release list")
        return _record(rows[0])

    def manifest(self, release_id: str) -> Manifest:
        """Raises NotFound when the manifest is gone, Corrupt when a byte of it was touched."""
        try:
            data = self.objects.get(release_id)
        except NotFound as error:
            raise NotFound(
                f"The manifest of release {release_id[:12]} is gone ({error.message})",
                hint="Restore it from a backup, import the release again, or build it again.",
            ) from None
        return manifest_from(data, where=f"Release {release_id[:12]}")

    def list(self, *, chain: str | None = None, limit: int = 100, all_of_them: bool = False) -> list[ReleaseRecord]:
        """Newest first; those that were made for a purpose only with ``all_of_them``."""
        if not 1 <= limit <= MAX_LISTED:
            raise UserError(f"limit: {limit} is not between 1 and {MAX_LISTED}.")
        query = select(Release).order_by(Release.created_at.desc(), Release.id).limit(limit)
        if chain is not None:
            query = query.where(Release.chain == chain)
        if not all_of_them:
            query = query.where(Release.purpose == "")
        with self._db.reading() as session:
            return [_record(row) for row in session.scalars(query)]


def stale_channels(db: Database, snapshot: str) -> list[str]:
    """The channels, such as "staging of docs", whose release answers from another snapshot than ``snapshot``."""
    query = (
        select(Channel.channel, Channel.chain)
        .join(Release, Release.id == Channel.release)
        .where(Release.snapshot != snapshot)
        .order_by(Channel.channel, Channel.chain)
    )
    with db.reading() as session:
        return [f"{channel} of {chain}" for channel, chain in session.execute(query)]


def open_releases(settings: Settings, db: Database) -> ReleaseStore:
    return ReleaseStore(db, ObjectStore(settings.state_dir / "objects"))


def _record(row: Release) -> ReleaseRecord:
    provenance = row.provenance if isinstance(row.provenance, dict) else {}
    return ReleaseRecord(row.id, row.chain, row.snapshot, row.created_at, provenance, row.purpose)
