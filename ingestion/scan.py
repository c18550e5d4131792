"""Walking a folder of documents: the same files in the same order on every machine, and a reason for each left out."""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lockgate.errors import NotFound, UserError

RejectedCode = Literal[
    "too_large", "unreadable", "link_outside", "link_inside", "link_broken", "loop", "not_a_file", "name"
]

MAX_DEPTH = 100
"""Folders within folders. Deeper is a loop by bind mount or an attack."""

SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv"})
"""Left out silently, like every file and folder whose name begins with a dot."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file to read. ``path`` is relative to the root, with forward slashes, in Unicode's composed form (NFC)."""

    path: str
    size: int
    mtime_ns: int
    on_disk: str  # the same path as the file system spells it


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file or folder that is not read, with the reason in words and as a stable code."""

    path: str
    reason: str
    code: RejectedCode


def scan_folder(
    root: Path, *, include: Sequence[str] = ("**",), exclude: Sequence[str] = (), max_bytes: int
) -> Iterator[FileEntry | Rejected]:
    """Every file under ``root`` that a pattern of ``include`` and none of ``exclude`` matches, folder by folder.

    Patterns are matched against the whole relative path: ``*`` and ``?`` stay within a folder's name, ``**`` spans
    any number of folders, also none, and a pattern that ends with ``/`` means everything below. An excluded folder is
    not entered. Hidden files and folders are left out. Links are never followed: what a link inside ``root`` leads
    to is read in its own place. Links, devices, pipes, sockets and what is unreadable or too large are rejected.

    Raises NotFound or UserError when ``root`` is missing, no folder, unreadable, or holds no file that is wanted.
    """
    real_root = _checked_root(root)
    wanted = [_pattern(glob) for glob in include]
    unwanted = [_pattern(glob) for glob in exclude]
    seen = yielded = 0
    for item in _Scanner(real_root, unwanted).walk("", "", (_identity(real_root.stat()),)):
        seen += 1
        is_wanted = _matches(item.path, wanted) and not _matches(item.path, unwanted)
        if isinstance(item, FileEntry):
            if is_wanted:
                yielded += 1
                yield item if item.size <= max_bytes else _too_large(item, max_bytes)
        elif is_wanted or (_could_hold(item) and not _matches(item.path, unwanted)):
            yielded += 1
            yield item
    if not seen:
        raise UserError(f"{root}: the folder holds no files.", hint="Put documents into it, or name another folder.")
    if not yielded:
        raise UserError(
            f"{root}: none of its {seen} files is wanted (include {', '.join(include)}; "
            f"exclude {', '.join(exclude) or 'nothing'}).",
            hint="Change the patterns, or name another folder.",
        )


def read_entry(root: Path, entry: FileEntry, *, max_bytes: int | None = None) -> bytes:
    """The bytes of a scanned file, checked again at the moment of reading.

    A folder or file that became a link out of ``root`` since the scan, or that grew past ``max_bytes``, is refused.
    Raises NotFound when the file is gone, UserError otherwise.
    """
    real_root = root.resolve()
    path = real_root / entry.on_disk
    try:
        # The scan follows no link, so a path that resolves to another one was changed since.
        if path.resolve(strict=True) != path:
            raise UserError(f"{entry.path}: has become a link since the folder was scanned.", hint="Run sync again.")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"{entry.path}: is gone since the folder was scanned.", hint="Run sync again.") from None
    except (OSError, RuntimeError) as error:
        raise UserError(f"{entry.path}: cannot be read ({_why(error)}).") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{entry.path}: is no longer a regular file.")
        if not _opened_under(descriptor, real_root):
            raise UserError(f"{entry.path}: leads outside {root}.", hint="Remove the link.")
        return _read(file.fileno(), entry, max_bytes)


def _opened_under(descriptor: int, real_root: Path) -> bool:
    """Whether what was opened lies under the root, by the kernel's own account where there is one.

    ``O_NOFOLLOW`` guards only the last part of a path; a folder above it can be swapped between check and open.
    """
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(real_root)
    except OSError:
        return True  # no /proc, as on macOS: the check before the open has to do


def _read(descriptor: int, entry: FileEntry, max_bytes: int | None) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := os.read(descriptor, _CHUNK):
            size += len(piece)
            if max_bytes is not None and size > max_bytes:
                raise UserError(_too_large(entry, max_bytes, size=size).reason)
            pieces.append(piece)
    except OSError as error:
        raise UserError(f"{entry.path}: cannot be read ({_why(error)}).") from None
    return b"".join(pieces)


def _checked_root(root: Path) -> Path:
    try:
        status = root.stat()
    except FileNotFoundError:
        raise NotFound(f"{root}: no such folder.", hint="Name the folder that holds your documents.") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{root}: cannot be read ({_why(error)}).", hint="Check its owner and mode.") from None
    if not stat.S_ISDIR(status.st_mode):
        raise UserError(f"{root}: is a file, a folder was expected.", hint=f"Name its folder: {root.parent}.")
    try:
        os.scandir(root).close()
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({_why(error)}).", hint="Check its owner and mode.") from None
    return root.resolve()


class _Scanner:
    def __init__(self, root: Path, unwanted: list[re.Pattern[str]]) -> None:
        self._root = root
        self._unwanted = unwanted

    def walk(self, folder: str, shown: str, above: tuple[tuple[int, int], ...]) -> Iterator[FileEntry | Rejected]:
        """Everything below ``folder``, shown as ``shown``; ``above`` are the identities of the folders it lies in."""
        try:
            with os.scandir(self._root / folder) as entries:
                children = sorted(entries, key=_order)
        except OSError as error:
            yield Rejected(shown, f"{shown}: the folder cannot be read ({_why(error)}).", "unreadable")
            return
        for child in children:
            if child.name.startswith(".") or child.name in SKIPPED_FOLDERS:
                continue
            on_disk = f"{folder}/{child.name}" if folder else child.name
            path = unicodedata.normalize("NFC", f"{shown}/{child.name}" if shown else child.name)
            found = self._look_at(child, on_disk, path)
            if not isinstance(found, os.stat_result):
                yield found
            elif _matches(path, self._unwanted) or _matches(f"{path}/", self._unwanted):
                continue
            elif (identity := _identity(found)) in above or len(above) > MAX_DEPTH:
                # Without links only a bind mount or a hostile file system gets here.
                yield Rejected(path, f"{path}: holds itself, or lies over {MAX_DEPTH} folders deep.", "loop")
            else:
                yield from self.walk(on_disk, path, (*above, identity))

    def _look_at(self, child: os.DirEntry[str], on_disk: str, path: str) -> FileEntry | Rejected | os.stat_result:
        """What ``child`` is; a folder is given by its status."""
        if not _is_unicode(path):
            readable = path.encode("utf-8", "backslashreplace").decode()
            return Rejected(readable, f"{readable}: the name is not valid UTF-8; rename it.", "name")
        try:
            if child.is_symlink():
                return self._link(on_disk, path)
            status = child.stat(follow_symlinks=False)
        except (OSError, RuntimeError) as error:
            return Rejected(path, f"{path}: cannot be read ({_why(error)}).", "unreadable")
        if stat.S_ISDIR(status.st_mode):
            return status
        if not stat.S_ISREG(status.st_mode):
            return Rejected(path, f"{path}: is {_file_type(status.st_mode)}, not a file.", "not_a_file")
        if not os.access(self._root / on_disk, os.R_OK):
            return Rejected(path, f"{path}: cannot be read (permission denied).", "unreadable")
        return FileEntry(path, status.st_size, status.st_mtime_ns, on_disk)

    def _link(self, on_disk: str, path: str) -> Rejected:
        try:
            target = (self._root / on_disk).resolve(strict=True)
        except FileNotFoundError:
            return Rejected(path, f"{path}: is a link to something that does not exist.", "link_broken")
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) or error.errno == errno.ELOOP:
                return Rejected(path, f"{path}: is a link that leads back to itself.", "loop")
            return Rejected(path, f"{path}: is a link that cannot be followed ({_why(error)}).", "unreadable")
        if (self._root / on_disk).is_relative_to(target):
            return Rejected(path, f"{path}: is a link to a folder that it lies in.", "loop")
        if not target.is_relative_to(self._root):
            return Rejected(
                path, f"{path}: is a link that leads outside the folder; it is not followed.", "link_outside"
            )
        own_place = target.relative_to(self._root).as_posix()
        return Rejected(path, f"{path}: is a link to {own_place}, which is read in its own place.", "link_inside")


def _too_large(entry: FileEntry, max_bytes: int, *, size: int | None = None) -> Rejected:
    megabytes = (size or entry.size) / 1_000_000
    return Rejected(
        entry.path,
        f"{entry.path}: has {megabytes:.1f} MB, the limit is {max_bytes / 1_000_000:g} MB; "
        "split it, or raise LOCKGATE_MAX_FILE_MB.",
        "too_large",
    )


def _order(child: os.DirEntry[str]) -> tuple[str, str]:
    # Code points of the composed form: no locale, and the same on file systems that store decomposed names.
    return unicodedata.normalize("NFC", child.name), child.name


def _could_hold(item: Rejected) -> bool:
    """Whether wanted files may lie below: no pattern can tell for a folder, a link or a name that cannot be shown."""
    return item.code != "not_a_file" and "." not in item.path.rpartition("/")[2]


def _matches(path: str, patterns: list[re.Pattern[str]]) -> bool:
    return any(pattern.fullmatch(path) for pattern in patterns)


@functools.lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression over a whole relative path."""
    glob = unicodedata.normalize("NFC", glob.removeprefix("./"))
    if not glob or glob.startswith("/") or ".." in glob.split("/"):
        raise UserError(
            f"{glob!r}: a pattern is relative to the folder and cannot leave it.", hint="Example: guides/**/*.md"
        )
    if glob.endswith("/"):
        glob += "**"
    parts = [
        part
        for index, part in enumerate(glob.split("/"))
        if part != "**" or index == 0 or glob.split("/")[index - 1] != "**"
    ]
    expression = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expression += ".*" if last else "(?:[^/]+/)*"
        else:
            expression += _name_pattern(part) + ("" if last else "/")
    return re.compile(expression, re.DOTALL)


def _name_pattern(part: str) -> str:
    pieces = re.split(r"(\*+|\?)", part)
    return "".join(
        "[^/]*" if piece.startswith("*") else "[^/]" if piece == "?" else re.escape(piece) for piece in pieces
    )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_unicode(path: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in path) if not path.isascii() else True


def _file_type(mode: int) -> str:
    names = (
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISCHR, "a device"),
    )
    return next((name for test, name in names if test(mode)), "a special file")


def _why(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
