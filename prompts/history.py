"""The versions of a prompt, the newest first: what is on disk, what git has, and what only a release still holds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import dropwhile
from typing import Literal

from lockgate.errors import LockgateError, NotFound
from lockgate.ports import Progress
from lockgate.settings import Settings
from prompts.checking import gather
from prompts.collection import own_library, prompt_files
from prompts.commits import Commit, PromptHistory, open_history
from prompts.files import Files, FolderFiles, content_hash
from prompts.pins import Pin, Pins, read_pins

Place = Literal["working tree", "commit", "release"]


QUIET_SECONDS = 1.0
"""Reading that is done by then needs no progress bar."""


@dataclass(frozen=True, slots=True)
class Version:
    """``main`` is the main file at that time; ``broken`` says what could not be read of it."""

    hash: str
    place: Place
    name: str
    files: Mapping[str, str] = field(repr=False)
    commit: Commit | None = None
    pins: tuple[Pin, ...] = ()
    broken: str = ""

    @property
    def time(self) -> datetime | None:
        """When it came: its commit's time, else that of the oldest release that pins it; None for the working tree."""
        return self.commit.time if self.commit else min((pin.created_at for pin in self.pins), default=None)


@dataclass(frozen=True, slots=True)
class History:
    """``has_git`` says whether git could be asked; ``notes`` what could not be read, and what the prompt became.

    ``is_shipped``: what is on disk came with Lockgate, whose own history is not the project's.
    """

    versions: list[Version]
    has_git: bool
    notes: tuple[str, ...] = ()
    is_shipped: bool = False
    renamed_to: str = ""


def prompt_history(settings: Settings, name: str, progress: Progress | None = None) -> History:
    """Every version of the prompt ``name``. Raises NotFound when neither disk, git nor a release knows it."""
    file = prompt_files(settings.project_dir).get(name)
    own = own_library(settings.project_dir)
    is_own = file is not None and file.library == own
    git = open_history(own)
    pins = read_pins(settings)
    renamed = git.renamed(name) if git and not is_own else None
    versions = list(_git_versions(git, renamed.name if renamed else name, progress)) if git else []
    notes = list(pins.notes)
    if renamed:
        versions = list(dropwhile(lambda version: version.name != name, versions))
        notes.append(
            f"{name} was renamed to {renamed.name} in commit {renamed.commit[:10]}: lockgate prompts log {renamed.name}"
        )
    if file is not None:
        on_disk = _version("working tree", name, file.mains[0], FolderFiles(file.library), None)
        if not versions or versions[0].hash != on_disk.hash or versions[0].broken != on_disk.broken:
            versions.insert(0, on_disk)
    versions = _with_pins(versions, name, pins)
    if not versions:
        known = ", ".join(sorted(prompt_files(settings.project_dir))) or "none"
        raise NotFound(f"No prompt is or was called {name[:80]!r}.", hint=f"Prompts: {known}.")
    is_shipped = file is not None and not is_own
    return History(versions, git is not None, tuple(notes), is_shipped, renamed.name if renamed else "")


def _git_versions(git: PromptHistory, name: str, progress: Progress | None) -> Iterator[Version]:
    """Versions in git, the newest first; of neighbours with one hash the oldest commit, which brought it."""
    places, commits = git.lineage(name)
    last: Version | None = None
    started = time.monotonic()
    for number, commit in enumerate(commits, 1):
        version = _at_commit(git, places, commit)
        if last and (version is None or (version.hash, version.broken) != (last.hash, last.broken)):
            yield last
        last = version
        if progress and time.monotonic() - started > QUIET_SECONDS:
            progress("reading versions", number, len(commits))
    if last:
        yield last


def _at_commit(git: PromptHistory, places: list[tuple[str, str]], commit: Commit) -> Version | None:
    libraries = {folder: git.at(commit.id, folder) for folder in dict.fromkeys(folder for folder, _ in places)}
    for folder, main in places:
        files = libraries[folder]
        present = {path: name for name, path in files.mains().items()}
        if main in present:
            return _version("commit", present[main], main, files, commit)
    return None


def _version(place: Place, name: str, main: str, files: Files, commit: Commit | None) -> Version:
    try:
        gathered = gather(name, main, files)
    except LockgateError as error:
        return Version("", place, name, {}, commit, broken=error.message)
    broken = "; ".join(map(str, gathered.problems))
    return Version(content_hash(gathered.files), place, name, gathered.files, commit, broken=broken)


def _with_pins(versions: list[Version], name: str, pins: Pins) -> list[Version]:
    """The versions with the releases that pin them; one that only releases hold stands where its time is."""
    made = [_pinned(version, tuple(pin for pin in pins.pins if pin.hash == version.hash)) for version in versions]
    known = {version.hash for version in made}
    extra: dict[str, list[Pin]] = {}
    for pin in pins.pins:
        if pin.name == name and pin.hash not in known:
            extra.setdefault(pin.hash, []).append(pin)
    for found in extra.values():
        version = Version(found[0].hash, "release", name, found[0].files, pins=tuple(found))
        made.insert(_where(made, version), version)
    return made


def _where(versions: list[Version], version: Version) -> int:
    for number, other in enumerate(versions):
        if other.time is not None and version.time is not None and other.time < version.time:
            return number
    return len(versions)


def _pinned(version: Version, pins: tuple[Pin, ...]) -> Version:
    return Version(version.hash, version.place, version.name, version.files, version.commit, pins, version.broken)
