from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lockgate.errors import NotFound, UserError
from lockgate.store.database import Database
from lockgate.store.evidence import EvidenceRecord, evidence_named, list_evidence, write_evidence


def record(first: str, release: str = "r1", suite: str = "tiny") -> EvidenceRecord:
    return EvidenceRecord(first * 64, release, suite, "3", "h" * 64, f"run-{first}", datetime.now(UTC))


def test_the_newest_comes_first_and_only_that_of_the_release_and_suite(db: Database) -> None:
    records = [record("a"), record("b"), record("c", release="r2"), record("d", suite="other")]
    for each in records:
        write_evidence(db, each)
    assert list_evidence(db) == records[::-1]
    assert list_evidence(db, release="r1", suite="tiny") == [records[1], records[0]]


def test_the_same_evidence_is_kept_once(db: Database) -> None:
    write_evidence(db, record("a"))
    write_evidence(db, record("a"))
    assert len(list_evidence(db)) == 1


def test_it_is_named_by_the_first_characters_of_its_id(db: Database) -> None:
    write_evidence(db, record("a"))
    assert evidence_named(db, "aaaaaa").run == "run-a"
    for wrong in ("aaa", "A" * 64, "", "aaaaaa%"):
        with pytest.raises(UserError, match="does not name evidence"):
            evidence_named(db, wrong)
    with pytest.raises(NotFound):
        evidence_named(db, "bbbbbb")


def test_no_list_is_without_a_limit(db: Database) -> None:
    with pytest.raises(UserError, match="limit"):
        list_evidence(db, limit=0)
