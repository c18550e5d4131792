"""Making a project of one's own: the folders and files that a new project begins with."""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lockgate.atomic import disk_errors, write_atomic
from lockgate.errors import Conflict, LockgateError, MissingExtra, UserError
from lockgate.git import repository, run_git
from lockgate.terminal import plain

TEMPLATE = Path(__file__).parent / "project"
MARKER = ".lockgate-init"
"""Stands in a folder while it is being filled; a second run sees by it that the first was cut off."""

Git = Literal["made", "inside", "off", "missing", "failed"]
"""What became of git: a repository was made, DIR lies in one already, not wanted, not installed, git refused."""

_FALLBACK_NAME = "project"
_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class NewProject:
    """``git_note`` says why there is no repository."""

    name: str
    path: Path
    files: tuple[str, ...]
    git: Git
    git_note: str = ""


def make_project(folder: Path, *, git: bool | None = None) -> NewProject:
    """Make a project in ``folder``, which is new or empty; nothing that is there is ever overwritten.

    A new folder appears at once and whole. An empty one is filled file by file, and a run that was cut off is finished
    by running it again. ``git`` None makes a repository where there is none yet and git is installed, True insists.
    Raises UserError naming what is in the way, Unavailable when the disk is full or cannot be written.
    """
    target = _target(folder)
    name = project_name(target)
    files = project_files(name)
    repository_maker = _Repository(target, git)
    try:
        if target.exists():
            _fill(target, files, repository_maker.make)
        else:
            _place(target, files, repository_maker.make)
    except OSError as error:
        raise UserError(f"{target}: no project can be made here ({error.strerror or error}).") from error
    return NewProject(name, target, tuple(sorted(files)), repository_maker.state, repository_maker.note)


def project_name(folder: Path) -> str:
    """The folder's name as text that is safe in Markdown and on a terminal: letters, digits, spaces, ``_ . -``."""
    name = re.sub(r"[^\w .-]+|_{2,}", " ", plain(folder.name).encode("utf-8", "ignore").decode())
    return " ".join(name.split())[:80].strip(" .-") or _FALLBACK_NAME


def project_files(name: str) -> dict[str, bytes]:
    """What a new project holds: path relative to it, and content."""
    from evals.gate import SHIPPED as GATES
    from guardrails.policy import SHIPPED as POLICIES
    from prompts.collection import SHIPPED as PROMPTS

    files = {path.relative_to(TEMPLATE).as_posix(): path.read_bytes() for path in TEMPLATE.rglob("*") if path.is_file()}
    files[".gitignore"] = files.pop("gitignore.txt")
    files["README.md"] = files["README.md"].replace(b"{{name}}", name.encode())
    # Copies of what ships, so that there is one original to keep up.
    for prompt in ("answer.md", "condense.md"):
        files[f"prompts/library/{prompt}"] = (PROMPTS / prompt).read_bytes()
    files["guardrails/policies/default.yaml"] = (POLICIES / "default.yaml").read_bytes()
    for gate in ("staging.yaml", "production.yaml"):
        files[f"evals/gates/{gate}"] = (GATES / gate).read_bytes().replace(b"suite: docs-smoke", b"suite: starter")
    return files


class _Repository:
    """``git init`` at most once, at the place where the project is being made; and what became of it."""

    def __init__(self, target: Path, wanted: bool | None) -> None:
        self._wanted = wanted
        self.state: Git = "off"
        self.note = "left out, as asked"
        if wanted is not False and repository(_nearest(target)) is not None:
            self.state, self.note = "inside", "the folder lies in a repository already"
            self._wanted = False

    def make(self, folder: Path) -> None:
        """Raises what git raises if a repository was asked for; else a project without one is a project too."""
        if self._wanted is False:
            return
        try:
            run_git(folder, "init", "--quiet")
            self.state, self.note = "made", ""
        except LockgateError as error:
            if self._wanted:
                raise
            self.state = "missing" if isinstance(error, MissingExtra) else "failed"
            self.note = str(error)


def _target(folder: Path) -> Path:
    """The absolute folder, through links. Raises UserError when it cannot become a project."""
    try:
        target = folder.expanduser().resolve()
        exists = target.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{plain(str(folder))[:200]}: cannot be a folder: {error}.") from None
    if not exists:
        file = next((parent for parent in target.parents if parent.exists() and not parent.is_dir()), None)
        if file is not None:
            raise UserError(f"{target}: cannot be made, because {file} is a file.", hint="Choose another folder.")
    elif not target.is_dir():
        raise UserError(f"{target}: is a file.", hint="Give a folder that is new or empty.")
    return target


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _place(target: Path, files: Mapping[str, bytes], make_repository: Callable[[Path], None]) -> None:
    """Make everything in a folder beside ``target``, then give it that name."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.parent / f".{secrets.token_hex(8)}{MARKER}"
        beside.mkdir()
        try:
            _write(beside, files)
            make_repository(beside)
            beside.rename(target)
        except BaseException as error:
            shutil.rmtree(beside, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise Conflict(f"{target}: somebody else has just made it.", hint="Choose another folder.") from None
            raise


def _fill(target: Path, files: Mapping[str, bytes], make_repository: Callable[[Path], None]) -> None:
    """Fill an empty folder, or go on where a run was cut off. It stays the same folder: somebody may stand in it."""
    _refuse_others(target, files)
    with disk_errors(target):
        (target / MARKER).touch()
        _write(target, files)
        make_repository(target)
        (target / MARKER).unlink(missing_ok=True)


def _refuse_others(target: Path, files: Mapping[str, bytes]) -> None:
    """Raise UserError listing what is in the way: everything but ``.git`` and what a run that was cut off has left."""
    with disk_errors(target):
        resumed = (target / MARKER).is_file()
        if not resumed:
            in_the_way = sorted(path.name for path in target.iterdir() if path.name != ".git")
        else:
            in_the_way = _not_ours(target, files)
    if in_the_way:
        shown = ", ".join(plain(name) for name in in_the_way[:_NAMES_SHOWN])
        more = f" and {len(in_the_way) - _NAMES_SHOWN} more" if len(in_the_way) > _NAMES_SHOWN else ""
        raise UserError(
            f"{target}: is not empty. In the way: {shown}{more}.",
            hint="Give a folder that is new or empty; lockgate init overwrites nothing.",
        )


def _not_ours(target: Path, files: Mapping[str, bytes]) -> list[str]:
    """Files that are neither whole files of a new project nor halves of one; the halves are removed."""
    foreign: list[str] = []
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        if name.split("/")[0] in (".git", MARKER) or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_file() and not path.is_symlink() and files.get(name) == path.read_bytes():
            continue
        if _is_half(path, target, files):
            path.unlink()
        else:
            foreign.append(name)
    return foreign


def _is_half(path: Path, target: Path, files: Mapping[str, bytes]) -> bool:
    """Whether ``path`` is the temporary file of ``write_atomic`` for one of ``files``."""
    found = re.fullmatch(r"\.(.+)\.[a-z0-9_]{8}\.tmp", path.name)
    return found is not None and (path.parent / found[1]).relative_to(target).as_posix() in files


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in sorted(files.items()):
        file = folder / name
        with contextlib.suppress(FileNotFoundError):
            if file.read_bytes() == content:
                continue
        write_atomic(file, content)
