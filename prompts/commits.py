"""The prompt library as git has it: the commits that touched a prompt, renames followed, and the files at each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lockgate.content import MAX_BYTES
from lockgate.errors import UserError
from lockgate.git import repository, run_git
from prompts.files import MAIN, lf, main_paths

TIMEOUT_SECONDS = 120.0
"""Following renames reads the whole history once."""

_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}  # a folder's name is never a pattern
_RECORD, _FIELD = "\x1e", "\x1f"
_ID = re.compile(r"[0-9a-f]{40,64}\Z")
_LINK = "120000"


@dataclass(frozen=True, slots=True)
class Commit:
    id: str
    time: datetime
    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """What a prompt is called now, and the last commit that gave it another name."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class _Change:
    commit: str
    status: str  # git's letter: A, M, D, R
    old: str
    new: str


class CommitFiles:
    """The library in ``folder`` as it was at one commit; see ``prompts.files.Files``."""

    def __init__(self, history: PromptHistory, commit: str, folder: str) -> None:
        self._history = history
        self._commit = commit
        self._folder = folder
        self._blobs = history.blobs(commit, folder)

    def read(self, path: str) -> str | None:
        blob = self._blobs.get(path)
        if blob is None:
            return None
        if blob.mode == _LINK:
            raise UserError(f"{self.label(path)}: is a link, which is not followed in git's history.")
        if blob.size > MAX_BYTES:
            raise UserError(f"{self.label(path)}: larger than {MAX_BYTES // 1_000_000} MB.")
        return self._history.text(blob.id)

    def label(self, path: str) -> str:
        return f"{self._commit[:10]}:{_join(self._folder, path)}"

    def mains(self) -> dict[str, str]:
        """The main file of every prompt there, by name; a folder comes before a file of the same name."""
        found: dict[str, str] = {}
        for path in sorted(self._blobs):
            folder, slash, rest = path.partition("/")
            if not slash and path.endswith(".md") and path != "README.md":
                found.setdefault(path.removesuffix(".md"), path)
            elif rest == MAIN:
                found[folder] = path
        return found


@dataclass(frozen=True, slots=True)
class _Blob:
    id: str
    mode: str
    size: int


@dataclass(slots=True)
class PromptHistory:
    """The repository that a library lies in. ``folder`` is the library, from the top, "" for the top itself."""

    top: Path
    folder: str
    _texts: dict[str, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> str | None:
        """The commit that git calls ``revision``; None when it knows no such thing."""
        if not revision or revision.startswith("-") or not revision.isprintable():
            return None
        try:
            end = f"{revision}^{{commit}}"
            return self._git("rev-parse", "--verify", "--quiet", "--end-of-options", end).strip() or None
        except UserError:
            return None

    def at(self, commit: str, folder: str | None = None) -> CommitFiles:
        """The library at ``commit``; ``folder`` when it lay elsewhere then."""
        return CommitFiles(self, commit, self.folder if folder is None else folder)

    def lineage(self, name: str) -> tuple[list[tuple[str, str]], list[Commit]]:
        """((folder, main file) under which the prompt has been known, the newest first; commits, the newest first).

        The commits are those since its first that touched anything in a folder where it lay: what it includes is
        there too. A prompt that had the name before and was renamed is another prompt.
        """
        known = [_join(self.folder, path) for path in reversed(main_paths(name))]
        touched: set[str] = set()
        for start in tuple(known):
            for change in self._follow(start, known):
                touched.add(change.commit)
                if change.old not in known and _is_main(change.old):
                    known.append(change.old)
        places = [_split(path) for path in known]
        commits = list(self._commits(sorted({folder or "." for folder, _ in places}))) if touched else []
        last = max((number for number, commit in enumerate(commits) if commit.id in touched), default=-1)
        return places, commits[: last + 1]

    def renamed(self, name: str) -> Renamed | None:
        """What the prompt that had the name last is called at HEAD; None when it has that name or was deleted."""
        present = {path: known for known, path in self.at("HEAD").mains().items()}
        if name in present.values():
            return None
        for main in main_paths(name):
            path, commit = _join(self.folder, main), ""
            seen: set[str] = set()
            while path not in seen:
                seen.add(path)
                gone = self._git("log", "-1", "--no-renames", "--diff-filter=D", "--format=%H", "HEAD", "--", path)
                if not _ID.match(gone.strip()):
                    break
                commit = gone.strip()
                path = self._became(_Change(commit, "D", path, path)) or path
                folder, now = _split(path)
                if folder == self.folder and now in present:
                    return Renamed(present[now], commit)
        return None

    def blobs(self, commit: str, folder: str) -> dict[str, _Blob]:
        listed = self._git("ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--", folder or ".")
        found = {}
        for entry in filter(None, listed.split("\0")):
            about, _, path = entry.partition("\t")
            mode, kind, blob, size = about.split()
            if kind == "blob":
                found[path.removeprefix(f"{folder}/") if folder else path] = _Blob(blob, mode, int(size))
        return found

    def text(self, blob: str) -> str:
        if blob not in self._texts:
            self._texts[blob] = lf(self._git("cat-file", "blob", blob))
        return self._texts[blob]

    def _follow(self, path: str, known: Sequence[str]) -> Iterator[_Change]:
        """What happened to ``path``, the newest first, up to where it was another prompt's."""
        form = f"--format={_RECORD}%H"
        printed = self._git("log", "-z", "--follow", "-M", "--name-status", form, "HEAD", "--", path)
        for record in printed.split(_RECORD):
            commit, _, rest = record.partition("\0")
            parts = rest.strip("\n\0").split("\0")
            if not _ID.match(commit) or len(parts) < 2:
                continue
            change = _Change(commit, parts[0][:1], parts[1], parts[-1])
            if change.status == "D" and self._became(change) not in (None, *known):
                return
            if change.status == "R" and self._became(change) != change.new:
                # Looked at alone, a new file takes the most alike of those that went away, which another one became.
                yield _Change(commit, "A", change.new, change.new)
                return
            yield change

    def _became(self, change: _Change) -> str | None:
        """What a file that a commit took away was renamed to in it."""
        printed = self._git("show", "-z", "-M", "--diff-filter=R", "--name-status", "--format=", change.commit)
        parts = printed.split("\0")
        renamed = {old: new for status, old, new in zip(parts[::3], parts[1::3], parts[2::3], strict=False) if status}
        return renamed.get(change.old)

    def _commits(self, folders: Sequence[str]) -> Iterator[Commit]:
        form = f"--format=%H{_FIELD}%aI{_FIELD}%an{_FIELD}%s"
        for record in self._git("log", "-z", "--topo-order", form, "HEAD", "--", *folders).split("\0"):
            parts = record.split(_FIELD, 3)
            if len(parts) == 4:
                commit, time, author, subject = parts
                yield Commit(commit, datetime.fromisoformat(time), author, subject)

    def _git(self, *arguments: str) -> str:
        return run_git(self.top, *arguments, timeout=TIMEOUT_SECONDS, environment=_LITERAL)


def open_history(library: Path) -> PromptHistory | None:
    """The history of the library in that folder; None when it lies in no git work tree, or one without a commit."""
    folder = next((path for path in (library, *library.parents) if path.is_dir()), library)
    top = repository(folder)
    if top is None:
        return None
    top, library = top.resolve(), library.resolve()
    if not library.is_relative_to(top):
        return None
    path = library.relative_to(top).as_posix()
    history = PromptHistory(top, "" if path == "." else path)
    return history if history.resolve("HEAD") else None


def _is_main(path: str) -> bool:
    return path.endswith(".md")


def _split(path: str) -> tuple[str, str]:
    """(library folder, main file in it) of a main file's path from the top."""
    parts = path.split("/")
    count = 2 if parts[-1] == MAIN and len(parts) > 1 else 1
    return "/".join(parts[:-count]), "/".join(parts[-count:])


def _join(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder else path
