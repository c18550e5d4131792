"""The object folder: blobs named by the SHA-256 of their content, so that a name can never mean two things."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from lockgate.atomic import disk_errors, write_atomic
from lockgate.errors import Corrupt, NotFound, Unavailable, UserError

_NAME = re.compile(r"[0-9a-f]{64}\Z")


class ObjectStore:
    """Blobs under ``path``, sharded by the first two digits of their hash. Safe for many writers at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its hash; storing the same bytes again writes nothing.

        A damaged blob of that name is replaced. Raises Unavailable when the disk is full or not writable.
        """
        name = hashlib.sha256(data).hexdigest()
        file = self._file(name)
        with disk_errors(file):
            if file.is_file() and file.read_bytes() == data:
                return name
        write_atomic(file, data)
        return name

    def get(self, name: str) -> bytes:
        """The blob. Raises NotFound, Corrupt when the content does not match ``name``, UserError for no valid name."""
        file = self._file(name)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"{file}: no such object.") from None
        except OSError as error:
            raise Unavailable(f"{file}: cannot be read ({error.strerror}).") from error
        actual = hashlib.sha256(data).hexdigest()
        if actual != name:
            raise Corrupt(
                f"{file}: the content has the hash {actual}, not the one in its name.",
                hint="Delete the file and run the command that made it again, or restore a backup.",
            )
        return data

    def has(self, name: str) -> bool:
        """Whether the blob is there; its content is not read."""
        return self._file(name).is_file()

    def _file(self, name: str) -> Path:
        if not _NAME.match(name):
            raise UserError(f"{name[:80]!r} is not the name of an object: 64 hexadecimal digits in lower case.")
        return self.path / name[:2] / name[2:]
