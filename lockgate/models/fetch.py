"""Model files on this machine: fetched once, checked against the catalogue, visible only when whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from lockgate.atomic import disk_errors, fsync_directory
from lockgate.errors import Corrupt, LockgateError, NotFound, Unavailable
from lockgate.file_lock import wait_for_lock
from lockgate.models.catalogue import MEGABYTE, ModelEntry, ModelFiles, disk_bytes, download_bytes
from lockgate.models.sources import Parcel, open_source
from lockgate.ports import Progress

MANIFEST = "lockgate.json"
"""Written with every model folder: the SHA-256 of what lies in it and where it came from."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """``problems`` says what is wrong, one file a line; ``bytes`` is the size of the files that were checked."""

    name: str
    path: str
    status: Literal["ok", "missing", "corrupt"]
    problems: tuple[str, ...] = ()
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """``files`` are the SHA-256 of what lies in the folder, ``origin`` those of what was downloaded."""

    name: str
    source: str
    files: dict[str, str]
    origin: dict[str, str]
    converted_with: dict[str, str]


def model_folder(entry: ModelFiles, models_path: Path) -> Path:
    """Where ``entry`` lies, fetched or not. Another file, hash or conversion in the catalogue is another folder."""
    return models_path / f"{entry.name}-{entry.fingerprint[:12]}"


def local_path(entry: ModelFiles, models_path: Path) -> Path:
    """The folder of a fetched model, not checked again. Raises NotFound saying how to fetch it."""
    folder = model_folder(entry, models_path)
    if not (folder / MANIFEST).is_file():
        raise NotFound(
            f"The model {entry.name} is not on this machine ({folder}).",
            hint=f"Run: lockgate models pull {entry.name}",
        )
    return folder


def read_manifest(folder: Path) -> Manifest:
    """Raises Corrupt when it is missing or broken."""
    try:
        return Manifest(**json.loads((folder / MANIFEST).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise Corrupt(f"{folder / MANIFEST}: cannot be read ({error}).", hint="Run: lockgate models pull") from None


def verify(entry: ModelFiles, models_path: Path) -> VerifyResult:
    """Hash every file of ``entry`` again and compare."""
    folder = model_folder(entry, models_path)
    if not folder.is_dir():
        return VerifyResult(entry.name, str(folder), "missing", ("not fetched",))
    try:
        manifest = read_manifest(folder)
    except Corrupt as error:
        return VerifyResult(entry.name, str(folder), "corrupt", (error.message,))
    expected = manifest.files if entry.gguf else entry.files
    problems, size = _compare(folder, expected)
    if manifest.origin != entry.files:
        problems.append(f"{MANIFEST}: was made from files other than the catalogue's")
    problems += _unexpected(folder, expected)
    return VerifyResult(entry.name, str(folder), "corrupt" if problems else "ok", tuple(problems), size)


def checked_path(entry: ModelFiles, models_path: Path) -> Path:
    """The folder of a fetched model after its hashes were checked. Raises NotFound or Corrupt."""
    folder = local_path(entry, models_path)
    result = verify(entry, models_path)
    if result.status != "ok":
        raise Corrupt(
            f"The model {entry.name} does not match the catalogue: {'; '.join(result.problems)}.",
            hint=f"Run: lockgate models pull {entry.name} (it replaces the damaged files).",
        )
    return folder


def ensure(entry: ModelEntry, models_path: Path, *, progress: Progress | None = None) -> Path:
    """The verified folder of ``entry``, fetched from the first source that has it when it is not here or damaged.

    A second call for the same model, in this process or another, waits for the first. Raises Corrupt, NotFound or
    Unavailable; nothing half-written is left behind.
    """
    report: Progress = progress or (lambda _stage, _done, _total: None)
    if verify(entry, models_path).status == "ok":
        return model_folder(entry, models_path)
    _make_folder(models_path)
    with _locked(entry, models_path, report):
        # Whoever held the lock may have fetched it meanwhile.
        if verify(entry, models_path).status != "ok":
            _remove_leftovers(entry, models_path)
            _require_space(entry, models_path)
            _fetch(entry, models_path, report)
    return model_folder(entry, models_path)


def _make_folder(path: Path) -> None:
    try:
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise Unavailable(f"{path}: a file is in the way.", hint="Set LOCKGATE_MODELS_DIR to a folder.") from None


def _fetch(entry: ModelEntry, models_path: Path, report: Progress) -> None:
    failures: list[LockgateError] = []
    for source in entry.sources:
        with _workspace(entry, models_path) as work:
            stage = f"{entry.name}: downloading ({source.label})"
            report(stage, 0, download_bytes(entry))
            counter = _byte_counter(report, stage, total=download_bytes(entry))
            try:
                with disk_errors(work), open_source(source, entry, work, counter) as parcel:
                    raw = _unpack(entry, parcel, work / "files", report)
            except LockgateError as error:
                if isinstance(error.__cause__, OSError):  # a full or read-only disk: no other source helps
                    raise
                failures.append(error)
                continue
            # From here on the bytes are the right ones: another source could not do better.
            _publish(entry, source.label, raw, models_path=models_path, work=work, report=report)
            return
    raise _all_failed(entry, failures)


def _byte_counter(report: Progress, stage: str, *, start: int = 0, total: int = 0) -> Callable[[int], None]:
    def count(done: int) -> None:
        # pip keeps a second copy for a moment; a bar beyond its end would only confuse.
        report(stage, min(start + done, total) if total else start + done, total)

    return count


def _unpack(entry: ModelEntry, parcel: Parcel, folder: Path, report: Progress) -> Path:
    """Copy the listed files, hashing them on the way. Raises Corrupt at the first that does not match."""
    stage, done = f"{entry.name}: unpacking and checking SHA-256", 0
    for path, expected in entry.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        counter, limit = _byte_counter(report, stage, start=done), disk_bytes(entry) - done
        with parcel.open(path) as source, target.open("wb") as out:
            try:
                actual, size = _copy_hashed(source, out, limit, counter)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise Corrupt(f"{parcel.label}: {path} is damaged or was cut off ({error}).") from None
        if actual != expected:
            raise Corrupt(f"{parcel.label}: {path} has SHA-256 {actual}, the catalogue says {expected}.")
        done += size
    return folder


def _copy_hashed(source: IO[bytes], out: IO[bytes], limit: int, report: Callable[[int], None]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        size += len(block)
        if size > limit:
            raise Corrupt(f"More than {limit / MEGABYTE:.0f} MB came out, more than the catalogue's disk_mb allows.")
        digest.update(block)
        out.write(block)
        report(size)
    out.flush()
    os.fsync(out.fileno())
    return digest.hexdigest(), size


def _publish(entry: ModelEntry, source: str, raw: Path, *, models_path: Path, work: Path, report: Progress) -> None:
    """Convert where the catalogue says so, write the manifest, and move the folder into place with one rename."""
    folder, files, versions = raw, dict(entry.files), dict[str, str]()
    if entry.gguf:
        from lockgate.models.gguf import convert

        folder, gguf = work / "converted", raw / entry.gguf.file
        versions = convert(gguf, folder, dtype=entry.gguf.dtype, work=work, name=entry.name, progress=report)
        files = _hash_folder(folder, _byte_counter(report, f"{entry.name}: hashing"))
    with disk_errors(work):
        manifest = Manifest(entry.name, source, files, dict(entry.files), versions)
        with (folder / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(asdict(manifest), file, indent=2, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        for parent in {(folder / path).parent for path in files} | {folder}:
            fsync_directory(parent)
        target = model_folder(entry, models_path)
        if target.exists():
            # Only a damaged folder gets here; whoever has its files open keeps them.
            target.rename(work / "damaged")
        folder.rename(target)
        fsync_directory(models_path)


def _hash_folder(folder: Path, report: Callable[[int], None]) -> dict[str, str]:
    files, done = {}, 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        files[path.relative_to(folder).as_posix()] = _sha256(path)
        done += path.stat().st_size
        report(done)
    return files


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare(folder: Path, expected: Mapping[str, str]) -> tuple[list[str], int]:
    problems, size = [], 0
    for path, sha256 in expected.items():
        try:
            actual = _sha256(folder / path)
            size += (folder / path).stat().st_size
        except OSError as error:
            problems.append(f"{path}: {(error.strerror or str(error)).lower()}")
            continue
        if actual != sha256:
            problems.append(f"{path}: SHA-256 is {actual}, not {sha256}")
    return problems, size


def _unexpected(folder: Path, expected: Mapping[str, str]) -> list[str]:
    """Files that nobody vouched for: a loader might prefer them to ours."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return [f"{path}: is not one of this model's files" for path in sorted(found - set(expected) - {MANIFEST})]


@contextlib.contextmanager
def _locked(entry: ModelEntry, models_path: Path, report: Progress) -> Iterator[None]:
    path = models_path / f".{model_folder(entry, models_path).name}.lock"
    with disk_errors(path), path.open("a") as file:
        wait_for_lock(file.fileno(), waiting=lambda: report(f"{entry.name}: waiting for another pull of it", 0, 0))
        yield


@contextlib.contextmanager
def _workspace(entry: ModelEntry, models_path: Path) -> Iterator[Path]:
    """A folder beside the target, so that the last step can be a rename; gone afterwards, whatever happened."""
    with disk_errors(models_path):
        work = Path(tempfile.mkdtemp(dir=models_path, prefix=_work_prefix(entry)))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_leftovers(entry: ModelEntry, models_path: Path) -> None:
    """What a killed pull left behind; the lock is held, so nobody is using it."""
    for path in models_path.glob(f"{_work_prefix(entry)}*"):
        shutil.rmtree(path, ignore_errors=True)


def _work_prefix(entry: ModelEntry) -> str:
    return f".{entry.name}-{entry.fingerprint[:12]}.part-"


def _require_space(entry: ModelEntry, models_path: Path) -> None:
    free = shutil.disk_usage(models_path).free
    if free < disk_bytes(entry):
        raise Unavailable(
            f"{models_path}: {free // MEGABYTE} MB are free, but {entry.name} needs up to {entry.disk_mb} MB.",
            hint="Free some space, or point LOCKGATE_MODELS_DIR at a larger disk.",
        )


def _all_failed(entry: ModelEntry, errors: list[LockgateError]) -> LockgateError:
    """One error that tells every source's failure; its kind is the most serious one."""
    lines = "".join(f"\n  {error}" for error in errors)
    message = f"The model {entry.name} could not be fetched; nothing was kept.{lines}\n"
    if any(isinstance(error, Corrupt) for error in errors):
        return Corrupt(
            message,
            hint="A download that was cut off is cured by trying again. If the SHA-256 differs again, the source has "
            "changed: do not use it.",
        )
    if all(isinstance(error, NotFound) for error in errors):
        return NotFound(message, hint=f"Give {entry.name} another source in the project's models.yaml.")
    return Unavailable(
        message,
        hint="Check the network and PIP_INDEX_URL, or give the model a local source in the project's models.yaml.",
    )
