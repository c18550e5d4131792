from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import delete

from lockgate.errors import Corrupt, NotFound, UserError
from lockgate.store.database import Database, open_database
from lockgate.store.objects import ObjectStore
from lockgate.store.releases import MAX_LISTED, ReleaseStore
from lockgate.store.tables import Release
from tests.lockgate.samples import PROVENANCE, sample_manifest


@pytest.fixture
def store(db: Database, tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(db, ObjectStore(tmp_path / "objects"))


def object_file(store: ReleaseStore, name: str) -> Path:
    return store.objects.path / name[:2] / name[2:]


def test_what_was_written_comes_back(store: ReleaseStore) -> None:
    manifest = sample_manifest()
    record = store.write(manifest, PROVENANCE)
    assert (record.id, record.chain, record.snapshot) == (manifest.id, "docs", manifest.snapshot.id)
    assert store.find(record.id) == record
    assert store.manifest(record.id) == manifest
    assert store.list() == [record]


def test_writing_again_changes_nothing(store: ReleaseStore) -> None:
    first = store.write(sample_manifest(), PROVENANCE)
    second = store.write(sample_manifest(), {"body": {"builder": "mallory"}})
    assert second == first
    assert store.find(first.id).provenance == PROVENANCE


def test_many_writers_of_one_release_all_succeed(store: ReleaseStore) -> None:
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []
    ids: list[str] = []

    def write(number: int) -> None:
        barrier.wait()
        try:
            ids.append(store.write(sample_manifest(), {"body": {"builder": str(number)}}).id)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(ids) == {sample_manifest().id}
    assert len(store.list()) == 1


def test_a_release_is_found_by_the_first_characters_of_its_id(store: ReleaseStore) -> None:
    record = store.write(sample_manifest(), PROVENANCE)
    for name in (record.id[:6], record.id[:40], f"  {record.id[:12].upper()}\n"):
        assert store.find(name) == record


def test_characters_that_fit_two_releases_are_refused(store: ReleaseStore, db: Database) -> None:
    record = store.write(sample_manifest(), PROVENANCE)
    twin = record.id[:10] + ("0" if record.id[10] != "0" else "1") + record.id[11:]
    with db.session() as session:
        session.add(
            Release(id=twin, chain="docs", snapshot="s", provenance={}, created_at=record.created_at),
        )
    with pytest.raises(UserError, match="fits several releases"):
        store.find(record.id[:10])
    assert store.find(record.id[:11]) == record


@pytest.mark.parametrize("name", ["", "abc", "%" * 8, "_" * 8, "xyzxyz", "../../etc", "0" * 65, "a\0bcdef", "٠" * 8])
def test_what_cannot_be_an_id_is_refused(store: ReleaseStore, name: str) -> None:
    store.write(sample_manifest(), PROVENANCE)
    with pytest.raises(UserError, match="lockgate release list"):
        store.find(name)


def test_an_unknown_id_is_not_found(store: ReleaseStore) -> None:
    with pytest.raises(NotFound, match=r"no release 000000000000\. .*lockgate release list"):
        store.find("0" * 64)


def test_a_touched_manifest_is_corrupt_at_any_byte(store: ReleaseStore) -> None:
    record = store.write(sample_manifest(), PROVENANCE)
    file = object_file(store, record.id)
    data = file.read_bytes()
    for place in (0, len(data) // 3, len(data) // 2, len(data) - 1):
        touched = bytearray(data)
        touched[place] ^= 1
        file.write_bytes(bytes(touched))
        with pytest.raises(Corrupt, match=record.id[2:]):
            store.manifest(record.id)
    file.write_bytes(data[:-1])
    with pytest.raises(Corrupt):
        store.manifest(record.id)
    file.write_bytes(sample_manifest(answer="Another.").canonical())
    with pytest.raises(Corrupt):
        store.manifest(record.id)


def test_writing_again_repairs_a_touched_manifest(store: ReleaseStore) -> None:
    record = store.write(sample_manifest(), PROVENANCE)
    object_file(store, record.id).write_bytes(b"{}")
    assert store.write(sample_manifest(), PROVENANCE) == record
    assert store.manifest(record.id) == sample_manifest()


def test_an_object_that_is_no_manifest_is_corrupt(store: ReleaseStore) -> None:
    for data in (b"{}", b"not json", b"[" * 5000):
        with pytest.raises(Corrupt, match="Release"):
            store.manifest(store.objects.put(data))


def test_a_manifest_that_is_gone_says_what_to_do(store: ReleaseStore) -> None:
    record = store.write(sample_manifest(), PROVENANCE)
    object_file(store, record.id).unlink()
    with pytest.raises(NotFound, match=r"manifest of release .* is gone .*build it again"):
        store.manifest(record.id)
    assert store.find(record.id) == record


def test_lists_newest_first_and_by_chain(store: ReleaseStore) -> None:
    records = [store.write(sample_manifest(answer=f"Answer {n}."), PROVENANCE) for n in range(3)]
    other = store.write(sample_manifest(name="support"), PROVENANCE)
    assert store.list() == [other, *reversed(records)]
    assert store.list(chain="support") == [other]
    assert store.list(limit=1) == [other]
    assert store.list(chain="nothing") == []


@pytest.mark.parametrize("limit", [0, -1, MAX_LISTED + 1])
def test_a_limit_out_of_range_is_refused(store: ReleaseStore, limit: int) -> None:
    with pytest.raises(UserError, match="limit"):
        store.list(limit=limit)


KILLED = """
import os, signal, sys
from pathlib import Path
from lockgate.store.database import Database, open_database
from lockgate.store.objects import ObjectStore
from lockgate.store.releases import ReleaseStore
from tests.lockgate.samples import PROVENANCE, sample_manifest
state, moment = Path(sys.argv[1]), sys.argv[2]
db = open_database(f"sqlite:///{state / 'lockgate.db'}")
store = ReleaseStore(db, ObjectStore(state / "objects"))
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
if moment == "before the object":
    store.objects.put = die
elif moment == "before the row":
    Database.session = die
else:
    from sqlalchemy import event
    event.listen(db._engine, "commit", die)
store.write(sample_manifest(), PROVENANCE)
"""


@pytest.mark.parametrize("moment", ["before the object", "before the row", "before the commit"])
def test_a_killed_write_leaves_nothing_that_points_nowhere(tmp_path: Path, moment: str) -> None:
    open_database(f"sqlite:///{tmp_path / 'lockgate.db'}").close()
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment], cwd=Path.cwd(), check=False)
    assert done.returncode == -signal.SIGKILL
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as db:
        store = ReleaseStore(db, ObjectStore(tmp_path / "objects"))
        assert store.list() == []
        assert store.objects.has(sample_manifest().id) is (moment != "before the object")
        record = store.write(sample_manifest(), PROVENANCE)
        assert store.manifest(record.id) == sample_manifest()


def test_a_manifest_without_its_row_is_no_release(store: ReleaseStore, db: Database) -> None:
    record = store.write(sample_manifest(), PROVENANCE)
    with db.session() as session:
        session.execute(delete(Release))
    with pytest.raises(NotFound):
        store.find(record.id)
