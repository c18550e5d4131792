"""The file that carries a release, or evidence: a plain tar of exactly the members that its first one lists, in order.

A reader that knows name and size of a member knows every byte of its header, too. So headers are compared, never
interpreted: no absolute path, no "..", link, device, sparse or second member can be in what passes. The tar is not
compressed, so that nothing in it can grow while it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from lockgate.atomic import disk_errors, fsync_directory
from lockgate.content import ContentModel
from lockgate.errors import Corrupt, LockgateError, NotFound, Unavailable, UserError
from lockgate.ports import Progress
from lockgate.release import Sha256, canonical_json
from lockgate.signing import Signature, sign, verify

FORMAT = 1
LISTING = "lockgate-release.json"
MAX_LISTING = 16_000_000
MAX_MEMBER = 1_000_000_000
"""A member is read whole, so this bounds the memory that a file of somebody else's can take."""

_BLOCK = 512
_END = b"\0" * (2 * _BLOCK)
_COPY = 1 << 20
_NAME = (
    r"^(manifest\.json|provenance\.json|objects/[0-9a-f]{64}|index/(pages|chunks-[0-9]{5})\.jsonl"
    r"|index/vectors-[0-9]{5}\.npy)$"
)
_TYPES = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a folder"}


class Member(ContentModel):
    name: Annotated[str, StringConstraints(pattern=_NAME)]
    size: int = Field(ge=0, le=MAX_MEMBER)
    sha256: Sha256


class IndexShape(ContentModel):
    """What there is to import of the index; ``dimension`` is 0 for a snapshot without vectors."""

    pages: int = Field(ge=0)
    chunks: int = Field(ge=0)
    batches: int = Field(ge=0, lt=100_000)  # five digits in a name
    dimension: int = Field(ge=0)


class Listing(ContentModel):
    """What is signed: what the archive is of, and the hash of every member."""

    format: Literal[1]
    members: tuple[Member, ...]


class ReleaseListing(Listing):
    release: Sha256
    index: IndexShape | None


L = TypeVar("L", bound=Listing)


@dataclass(frozen=True, slots=True)
class ArchiveKind(Generic[L]):
    """What an archive carries: ``listing`` is the name of its first member, which holds a ``model``."""

    listing: str
    model: type[L]
    what: str
    command: str

    @property
    def not_one(self) -> str:
        return f"is not {self.what} as `{self.command}` writes it"


RELEASE_ARCHIVE = ArchiveKind(LISTING, ReleaseListing, "a release archive", "lockgate release export")


@dataclass(frozen=True, slots=True)
class Written:
    bytes: int
    sha256: str


class ArchiveWriter(Generic[L]):
    """Collects members in a file beside ``path``; ``finish`` makes the archive appear at once, whole."""

    def __init__(self, kind: ArchiveKind[L], path: Path, spool: IO[bytes]) -> None:
        self._kind = kind
        self._path = path
        self._spool = spool
        self._members: list[Member] = []

    def add(self, name: str, data: bytes) -> None:
        if len(data) > MAX_MEMBER:
            raise UserError(f"{name} has {len(data)} bytes; an archive takes at most {MAX_MEMBER} a member.")
        self._members.append(Member(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
        self._spool.write(_header(name, len(data)) + data + _padding(len(data)))

    def finish(self, facts: Mapping[str, Any], state_dir: Path, progress: Progress) -> Written:
        """Sign the list, with ``facts`` of what it is of, and write the file. The same members give the same bytes."""
        body = self._kind.model(format=1, members=tuple(self._members), **facts).model_dump(mode="json")
        signature = sign(state_dir, canonical_json(body))
        listing = canonical_json({"body": body, "key": signature.key, "signature": signature.value})
        if len(listing) > MAX_LISTING:
            raise UserError(f"The list of members has {len(listing)} bytes; an archive takes at most {MAX_LISTING}.")
        head = _header(self._kind.listing, len(listing)) + listing + _padding(len(listing))
        total = len(head) + self._spool.tell() + len(_END)
        digest = hashlib.sha256()
        self._spool.seek(0)
        fd, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.", suffix=".tmp")
        try:
            with os.fdopen(fd, "wb") as file:
                for part in _parts(head, self._spool):
                    file.write(part)
                    digest.update(part)
                    progress("write MB", _megabytes(file.tell()), _megabytes(total))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise
        fsync_directory(self._path.parent)
        return Written(total, digest.hexdigest())


@contextlib.contextmanager
def write_archive(path: Path, kind: ArchiveKind[L]) -> Iterator[ArchiveWriter[L]]:
    """Raises UserError for a path where no file can be, Unavailable for a full or read-only disk."""
    if (path.exists() and not path.is_file()) or not path.parent.is_dir():
        raise UserError(f"{path}: no file can be written there.", hint="Name a file in a folder that exists.")
    with disk_errors(path), tempfile.TemporaryFile(dir=path.parent) as spool:
        yield ArchiveWriter(kind, path, spool)


class ArchiveReader(Generic[L]):
    """An open archive whose list is signed. Members are read by name; what differs from the list is refused."""

    def __init__(self, kind: ArchiveKind[L], path: Path, file: IO[bytes]) -> None:
        self._kind = kind
        self._path = path
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self.listing, self.signer, length = self._read_listing()
        sizes = [_BLOCK + member.size + len(_padding(member.size)) for member in self.listing.members]
        starts = list(accumulate(sizes, initial=_BLOCK + length + len(_padding(length))))
        self._members = {m.name: (m, start) for m, start in zip(self.listing.members, starts, strict=False)}
        self._end = starts[-1]
        if len(self._members) != len(self.listing.members):
            raise self._corrupt("lists a member twice")
        if self._size != self._end + len(_END):
            what = "is cut short" if self._size < self._end + len(_END) else "has more in it than it lists"
            raise self._corrupt(f"{what}: {self._size} bytes, not {self._end + len(_END)}")

    def read(self, name: str) -> bytes:
        """The member, checked. Raises Corrupt, naming it, when header, size, padding or hash differ from the list."""
        if name not in self._members:
            raise self._corrupt(f"lacks the member {name!r}")
        member, start = self._members[name]
        header = self._at(start, _BLOCK)
        if header != _header(name, member.size):
            raise self._corrupt(f"has {_describe(header)} where the member {name!r} should be")
        data = self._at(start + _BLOCK, member.size)
        padding = _padding(member.size)
        if hashlib.sha256(data).hexdigest() != member.sha256 or self._file.read(len(padding)) != padding:
            raise self._corrupt(f"was changed: the member {name!r} is not the one that was listed")
        return data

    def check(self, progress: Progress) -> None:
        """Read everything once."""
        if self._at(self._end, len(_END)) != _END:
            raise self._corrupt("has something after its last member")
        for name, (member, start) in self._members.items():
            self.read(name)
            progress("check MB", _megabytes(start + member.size), _megabytes(self._end))

    def _read_listing(self) -> tuple[L, Signature, int]:
        header = self._at(0, _BLOCK)
        if header[:2] == b"\x1f\x8b":
            raise UserError(f"{self._path}: is compressed.", hint="Unpack it first: gunzip FILE")
        try:
            size = int(header[124:135].decode("ascii"), 8)
        except ValueError:
            raise UserError(f"{self._path}: {self._kind.not_one}.") from None
        if header[:100].rstrip(b"\0") != self._kind.listing.encode() and not header[257:].startswith(b"ustar"):
            raise UserError(f"{self._path}: {self._kind.not_one}.")
        if not 0 < size <= MAX_LISTING or header != _header(self._kind.listing, size):
            raise self._corrupt(f"has {_describe(header)} where the member {self._kind.listing!r} should be")
        data = self._at(_BLOCK, size)
        if self._at(_BLOCK + size, len(_padding(size))) != _padding(size):
            raise self._corrupt(f"was changed: the member {self._kind.listing!r} is not the one that was written")
        return *self._parse_listing(data), size

    def _parse_listing(self, data: bytes) -> tuple[L, Signature]:
        damaged = self._corrupt(f"was changed: the member {self._kind.listing!r} is not the one that was written")
        try:
            envelope = json.loads(data)
            body, key, value = envelope["body"], envelope["key"], envelope["signature"]
            if isinstance(body["format"], int) and body["format"] > FORMAT:
                raise UserError(
                    f"{self._path}: has the format {body['format']}; this Lockgate reads up to {FORMAT}.",
                    hint="Install the newer Lockgate that wrote it.",
                )
            signature = Signature(str(key), str(value))
            if canonical_json({"body": body, "key": key, "signature": value}) != data:
                raise damaged
            if not verify(signature, canonical_json(body)):
                raise self._corrupt("was changed: its signature does not hold")
            return self._kind.model.model_validate(body), signature
        except ValidationError as error:
            item = error.errors()[0]
            where = ".".join(map(str, item["loc"]))
            raise self._corrupt(f"lists what cannot be in it: {where} {str(item.get('input'))[:80]!r}") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise damaged from None

    def _at(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(length)
        if len(data) != length:
            raise self._corrupt("is cut short")
        return data

    def _corrupt(self, what: str) -> Corrupt:
        return Corrupt(f"{self._path}: {what}.", hint=f"Copy it again, or write it again: {self._kind.command}")


@contextlib.contextmanager
def read_archive(path: Path, kind: ArchiveKind[L]) -> Iterator[ArchiveReader[L]]:
    """Raises NotFound or UserError for what is no archive, Corrupt for one that was changed or cut short."""
    try:
        # Not blocking: a pipe of that name would wait for somebody to write to it.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        raise Unavailable(f"{path}: cannot be read ({error}).") from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise UserError(f"{path}: is not a file.")
    with os.fdopen(fd, "rb") as file:
        if status.st_size < _BLOCK + len(_END):
            raise UserError(f"{path}: {kind.not_one}.")
        try:
            yield ArchiveReader(kind, path, file)
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> LockgateError:
    return Unavailable(f"{path}: {error.strerror or error}.")


def _header(name: str, size: int) -> bytes:
    """A file without owner or time."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % _BLOCK)


def _megabytes(size: int) -> int:
    return -(-size // 1_000_000)


def _parts(head: bytes, spool: IO[bytes]) -> Iterator[bytes]:
    yield head
    while part := spool.read(_COPY):
        yield part
    yield _END


def _describe(header: bytes) -> str:
    """What a header says it is, for a message; nothing else relies on it."""
    if not any(header):
        return "its end"
    prefix, name = (header[place].split(b"\0")[0].decode("utf-8", "replace") for place in (slice(345, 500), slice(100)))
    what = _TYPES.get(header[156:157], "the member")
    return f"{what} {(f'{prefix}/{name}' if prefix else name)[:120]!r}"
