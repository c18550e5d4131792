from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from lockgate.errors import Corrupt, NotFound, Unavailable, UserError
from lockgate.store.objects import ObjectStore


def test_gives_back_what_was_put_under_its_hash(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    name = store.put(b"manifest")
    assert name == hashlib.sha256(b"manifest").hexdigest()
    assert store.get(name) == b"manifest"
    assert store.has(name)
    assert (tmp_path / name[:2] / name[2:]).is_file()


def test_putting_the_same_bytes_again_writes_nothing(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    name = store.put(b"x")
    before = (tmp_path / name[:2] / name[2:]).stat().st_mtime_ns
    assert store.put(b"x") == name
    assert (tmp_path / name[:2] / name[2:]).stat().st_mtime_ns == before


def test_a_damaged_object_is_reported_and_repaired_by_putting_it_again(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    name = store.put(b"x")
    (tmp_path / name[:2] / name[2:]).write_bytes(b"y")
    with pytest.raises(Corrupt, match=name[2:]):
        store.get(name)
    store.put(b"x")
    assert store.get(name) == b"x"


def test_a_missing_object_is_not_found(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    assert not store.has("0" * 64)
    with pytest.raises(NotFound):
        store.get("0" * 64)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "٠" * 64])
def test_refuses_what_is_not_the_name_of_an_object(tmp_path: Path, name: str) -> None:
    store = ObjectStore(tmp_path)
    for action in (store.get, store.has):
        with pytest.raises(UserError, match="64 hexadecimal digits"):
            action(name)


def test_many_writers_of_one_object_leave_one_whole_object(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    data = b"z" * 100_000
    threads = [threading.Thread(target=store.put, args=(data,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    name = hashlib.sha256(data).hexdigest()
    assert store.get(name) == data
    assert [path.name for path in (tmp_path / name[:2]).iterdir()] == [name[2:]]


def test_a_folder_that_cannot_be_written_is_unavailable() -> None:
    with pytest.raises((Unavailable, OSError)):
        ObjectStore(Path("/proc/objects")).put(b"x")
