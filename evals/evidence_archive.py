"""Evidence as one file: out of the installation that measured, such as a CI job, into one that judges.

A file is taken in whole or not at all. Whether evidence counts is not decided here: it is asked anew by every
judgement, so that a key which is not trusted any more takes its evidence with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from chains.archive_file import ArchiveKind, ArchiveReader, Listing, read_archive, write_archive
from evals.aggregate import summarise
from evals.evidence import Evidence, evidence_rows, objects_of, parse_evidence, parse_rows, read_evidence
from evals.metrics.catalogue import resolve_metric
from evals.trusted_keys import load_trust
from lockgate.errors import Corrupt, NotFound
from lockgate.ports import Progress
from lockgate.release import Sha256
from lockgate.signing import own_key_fingerprint
from lockgate.store.eval_runs import EvalRunRecord, get_eval_run, write_eval_run
from lockgate.store.evidence import EvidenceRecord, evidence_named, write_evidence

if TYPE_CHECKING:
    from evals.runs.row import Row
    from lockgate.settings import Settings
    from lockgate.store.database import Database

LISTING = "lockgate-evidence.json"
MOST = 1000
"""Pieces of evidence in one file."""


class EvidenceListing(Listing):
    evidence: tuple[Sha256, ...] = Field(min_length=1, max_length=MOST)


EVIDENCE_ARCHIVE = ArchiveKind(LISTING, EvidenceListing, "an evidence archive", "lockgate evals evidence export")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """``fingerprint`` is that of the key that signed the file."""

    evidence: tuple[str, ...]
    path: str
    bytes: int
    sha256: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Taken:
    """One piece of evidence that is here now. ``key`` is the fingerprint of the key that signed it; ``new`` is False
    for one that was here already."""

    evidence: str
    release: str
    suite: str
    suite_version: str
    run: str
    key: str
    trusted: bool
    whose: str
    new: bool


def export_evidence(settings: Settings, ids: Sequence[str], path: Path, progress: Progress) -> ExportReport:
    """Write the evidence with its rows to ``path``; the same ids in the same order give the same bytes.

    Raises NotFound and Corrupt for evidence that is not whole here.
    """
    objects = objects_of(settings)
    wanted = tuple(dict.fromkeys(ids))
    with write_archive(path, EVIDENCE_ARCHIVE) as writer:
        names: dict[str, None] = {}
        for evidence_id in wanted:
            evidence = read_evidence(objects, evidence_id)
            evidence_rows(objects, evidence)
            names |= {evidence_id: None, evidence.body.rows: None}
        for name in names:
            writer.add(f"objects/{name}", objects.get(name))
        written = writer.finish({"evidence": wanted}, settings.state_dir, progress)
    mark = own_key_fingerprint(settings.state_dir) or ""
    return ExportReport(wanted, str(path), written.bytes, written.sha256, mark)


def import_evidence(settings: Settings, db: Database, path: Path, progress: Progress) -> list[Taken]:
    """Take in what is in ``path``. Every byte is checked before anything is kept; importing again changes nothing.

    A run whose key is trusted is listed among the runs too, so that it can be compared and reported.
    """
    trust, objects = load_trust(settings), objects_of(settings)
    with read_archive(path, EVIDENCE_ARCHIVE) as archive:
        archive.check(progress)
        if len(set(archive.listing.evidence)) != len(archive.listing.evidence):
            raise Corrupt(f"{path}: lists a piece of evidence twice.")
        found = [
            parse_evidence(_object(archive, path, evidence_id), evidence_id, trust)
            for evidence_id in archive.listing.evidence
        ]
        names = dict.fromkeys(name for each in found for name in (each.id, each.body.rows))
        if [member.name for member in archive.listing.members] != [f"objects/{name}" for name in names]:
            raise Corrupt(f"{path}: does not hold exactly the evidence that it lists, and its rows.")
        rows = [parse_rows(_object(archive, path, evidence.body.rows), evidence) for evidence in found]
        for name in names:
            objects.put(archive.read(f"objects/{name}"))
    return [_keep(db, evidence, its_rows) for evidence, its_rows in zip(found, rows, strict=True)]


def _object(archive: ArchiveReader[EvidenceListing], path: Path, name: str) -> bytes:
    data = archive.read(f"objects/{name}")
    if hashlib.sha256(data).hexdigest() != name:
        raise Corrupt(f"{path}: the member 'objects/{name}' is not the object of that name.")
    return data


def _keep(db: Database, evidence: Evidence, rows: Sequence[Row]) -> Taken:
    body = evidence.body
    known = _is_known(db, evidence.id)
    if evidence.trusted:
        _keep_run(db, evidence, rows)
    record = EvidenceRecord(
        id=evidence.id,
        release=body.release,
        suite=body.suite,
        suite_version=body.suite_version,
        suite_hash=body.suite_hash,
        run=body.run,
        created_at=datetime.now(UTC),
    )
    write_evidence(db, record)  # last, so that evidence which is listed has what belongs to it
    return Taken(
        evidence=evidence.id,
        release=body.release,
        suite=body.suite,
        suite_version=body.suite_version,
        run=body.run,
        key=evidence.fingerprint,
        trusted=evidence.trusted,
        whose=evidence.whose,
        new=not known,
    )


def _keep_run(db: Database, evidence: Evidence, rows: Sequence[Row]) -> None:
    """The run's record as far as evidence and rows tell it. A run of that id that is here already stays as it is, and
    one of metrics that this version does not have is not listed.

    Without an answer score, it does not decide which mode answers here.
    """
    body = evidence.body
    try:
        get_eval_run(db, body.run)
        return
    except NotFound:
        pass
    try:
        metrics = [resolve_metric(name) for name in body.aggregates]
    except ValueError:
        return
    environment = dict(body.environment)
    model = str(environment.pop("model", ""))
    facts = {
        "chain": body.chain,
        "model": model,
        "release": body.release,
        "lockgate": environment.pop("lockgate", ""),
        "environment": environment,
        "split": body.split,
        "limit": body.limit,
        "repeats": body.repeats,
        "tier": body.tier,
        "evidence": evidence.id,
        "imported": True,
    }
    write_eval_run(
        db,
        EvalRunRecord(
            id=body.run,
            suite=body.suite,
            suite_version=body.suite_version,
            suite_hash=body.suite_hash,
            chain=body.chain,
            mode=body.mode,
            model="" if body.mode == "extractive" else model,
            release=body.release,
            snapshot=body.snapshot,
            started_at=body.started_at,
            finished_at=body.finished_at,
            aggregates={**summarise(metrics, rows), "complete": body.complete, "answer_score": None},
            rows_hash=body.rows,
            metadata={**facts, "judge": dict(body.judge)} if body.judge else facts,
        ),
    )


def _is_known(db: Database, evidence_id: str) -> bool:
    try:
        return evidence_named(db, evidence_id).id == evidence_id
    except NotFound:
        return False
