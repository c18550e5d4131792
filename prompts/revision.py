"""A prompt as it was: at a git revision, in a release, on a channel, or by the beginning of its hash."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lockgate.errors import LockgateError, NotFound, UserError
from lockgate.release import Manifest
from lockgate.settings import Settings
from lockgate.store.channels import NAME as CHANNEL
from lockgate.store.channels import get_channel
from prompts.checking import gather, main_path
from prompts.collection import find_file, own_library, prompt_files
from prompts.commits import open_history
from prompts.files import Files, FolderFiles, content_hash
from prompts.history import prompt_history
from prompts.pins import opened_releases
from prompts.prompt import Prompt, prompt_from_files
from prompts.roles import pinned_as

Kind = Literal["git", "release", "channel", "prompt"]

_KINDS: tuple[Kind, ...] = ("release", "channel", "prompt", "git")
KNOWN = "git revision, release id, channel or prompt hash"
"""What a side of a range can be, for messages."""

_HEX = re.compile(r"[0-9a-f]{6,64}\Z")


@dataclass(frozen=True, slots=True)
class Revision:
    """The texts of one prompt at some time. ``label`` says where they are from.

    ``role`` is that by which a release's prompt was found, where nothing but the role connects it with the name.
    """

    name: str
    hash: str
    label: str
    files: Mapping[str, str] = field(repr=False)
    role: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """``own`` are those of the project's library; ``is_whole`` says that there is no other there."""

    names: frozenset[str]
    own: frozenset[str]
    is_whole: bool


def prompt_at(settings: Settings, name: str, revision: str) -> Prompt:
    """The prompt ``name`` at ``revision``; see ``revision_of``. Raises also what loading raises."""
    found = revision_of(settings, name, revision)
    return prompt_from_files(found.name, found.files, where=found.label)


def revision_of(settings: Settings, name: str, revision: str) -> Revision:
    """The texts of the prompt ``name`` at ``revision``.

    That is a git revision, a release id, a channel of LOCKGATE_CHAIN, or a prompt's hash (six first characters of an id
    are enough), or "" for the files on disk. ``git:``, ``release:``, ``channel:`` and ``prompt:`` before it say which.
    A prompt that a release pins under another name is found by its renames, then by its role. Raises NotFound,
    and UserError where the revision fits several.
    """
    if not revision:
        return _on_disk(settings, name)
    kinds, text = _kinds(revision)
    found: dict[str, Revision] = {}
    problems: list[LockgateError] = []
    for kind in kinds:
        try:
            if (one := _READERS[kind](settings, name, text)) is not None:
                found.setdefault(one.hash, one)
        except NotFound as error:
            problems.append(error)
    if len(found) > 1:
        labels = " and ".join(one.label for one in found.values())
        raise UserError(f"{revision!r} fits {labels}.", hint="Write release:, channel:, prompt: or git: before it.")
    if found:
        return next(iter(found.values()))
    if problems:
        raise problems[0]
    raise NotFound(
        f"{revision[:80]!r} is no {KNOWN} that is known here.",
        hint=f"See: lockgate prompts log {name}",
    )


def names_at(settings: Settings, revision: str) -> Names:
    """The prompts that ``revision`` has."""
    own = own_library(settings.project_dir)
    on_disk = prompt_files(settings.project_dir)
    if not revision:
        owned = frozenset(name for name, file in on_disk.items() if file.library == own)
        return Names(frozenset(on_disk), owned, is_whole=True)
    kinds, text = _kinds(revision)
    git = open_history(own) if "git" in kinds else None
    if git and (commit := git.resolve(text)):
        committed = frozenset(git.at(commit).mains())
        return Names(committed, committed, is_whole=True)
    names: set[str] = set()
    for kind in ("release", "channel"):
        if kind in kinds and not names and (manifest := _MANIFESTS[kind](settings, text)):
            names |= {pinned.name for pinned in manifest.prompts.values()}
    if not names and "prompt" in kinds and _HEX.match(text):
        for name in on_disk:
            if any(version.hash.startswith(text) for version in prompt_history(settings, name).versions):
                names.add(name)
    return Names(frozenset(names), frozenset(), is_whole=False)


def split_range(text: str) -> tuple[str, str]:
    """The two sides of ``A..B``; either may be empty. Raises UserError for anything else."""
    first, dots, second = text.partition("..")
    if not dots or not (first or second) or ".." in second or second.startswith("."):
        raise UserError(
            f"{text[:80]!r} is not of the form A..B.",
            hint="A and B are git revisions, release ids, channels or prompt hashes; empty: the files on disk.",
        )
    return first, second


def _kinds(revision: str) -> tuple[tuple[Kind, ...], str]:
    before, colon, text = revision.partition(":")
    named = next((kind for kind in _KINDS if kind == before), None) if colon else None
    return ((named,), text) if named else (_KINDS, revision)


def _on_disk(settings: Settings, name: str) -> Revision:
    file = find_file(settings.project_dir, name)
    return _gathered(name, file.only_main(), FolderFiles(file.library), "the files on disk")


def _in_release(settings: Settings, name: str, text: str) -> Revision | None:
    manifest = _release(settings, text)
    return _pinned(settings, manifest, name, f"release {manifest.id[:12]}") if manifest else None


def _in_channel(settings: Settings, name: str, text: str) -> Revision | None:
    manifest = _channel(settings, text)
    return _pinned(settings, manifest, name, f"{text}, release {manifest.id[:12]}") if manifest else None


def _by_hash(settings: Settings, name: str, text: str) -> Revision | None:
    if not _HEX.match(text):
        return None
    versions = {version.hash: version for version in prompt_history(settings, name).versions}
    fits = [version for hash_, version in versions.items() if hash_ and hash_.startswith(text)]
    if len(fits) > 1:
        raise UserError(f"{text!r} fits several versions of {name!r}: give more characters.")
    return Revision(fits[0].name, fits[0].hash, f"prompt {fits[0].hash[:12]}", fits[0].files) if fits else None


def _in_git(settings: Settings, name: str, text: str) -> Revision | None:
    history = open_history(own_library(settings.project_dir))
    commit = history.resolve(text) if history else None
    if history is None or commit is None:
        return None
    files = history.at(commit)
    label = f"git {text if len(text) < 40 else commit[:10]}"
    if name in files.mains():
        return _gathered(name, main_path(name, files), files, label)
    renamed = history.renamed(name)
    for folder, main in history.lineage(renamed.name if renamed else name)[0]:
        older = history.at(commit, folder)
        named = {path: known for known, path in older.mains().items()}
        if main in named:
            return _gathered(named[main], main, older, label)
    raise NotFound(f"There is no prompt {name!r} at {label}.", hint=f"See: lockgate prompts log {name}")


def _release(settings: Settings, text: str) -> Manifest | None:
    """The release whose id begins with ``text``."""
    if not _HEX.match(text):
        return None
    with opened_releases(settings) as opened:
        if opened is None:
            return None
        store = opened[1]
        try:
            record = store.find(text)
        except NotFound:
            return None
        return store.manifest(record.id)


def _channel(settings: Settings, text: str) -> Manifest | None:
    """The release that the channel of LOCKGATE_CHAIN points at."""
    if not CHANNEL.match(text):
        return None
    with opened_releases(settings) as opened:
        if opened is None:
            return None
        db, store = opened
        release = get_channel(db, text, settings.chain).release
        return store.manifest(release) if release else None


def _pinned(settings: Settings, manifest: Manifest, name: str, label: str) -> Revision:
    found = pinned_as(settings, manifest, name)[0]
    one = found.pinned
    if one.name != name:
        label += f", {found.role} prompt {one.name}"
    return Revision(one.name, one.hash, label, one.files, found.role if found.is_guessed else "")


def _gathered(name: str, main: str, files: Files, label: str) -> Revision:
    texts = gather(name, main, files).files
    return Revision(name, content_hash(texts), label, texts)


_MANIFESTS = {"release": _release, "channel": _channel}
_READERS = {"release": _in_release, "channel": _in_channel, "prompt": _by_hash, "git": _in_git}
