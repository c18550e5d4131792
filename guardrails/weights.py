"""The files of a trained check: a manifest that holds the SHA-256 of its weights. Nothing heavy is loaded here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lockgate.errors import Corrupt, NotFound, Unavailable

MANIFEST = "classifier.json"
WEIGHTS = "weights.safetensors"
MAX_BYTES = 8_000_000


M = TypeVar("M", bound=BaseModel)


def checked_files(folder: Path, kind: type[M], what: str, hint: str) -> tuple[M, bytes, str]:
    """Manifest, weights, and the SHA-256 of the manifest, which names both.

    ``kind`` holds the weights' own SHA-256 as ``weights``; ``what`` is what the model is called.
    Raises NotFound for a missing file, Corrupt for one that is not what its SHA-256 says, Unavailable for one that
    cannot be read.
    """
    data = _read(folder / MANIFEST, what, hint)
    try:
        manifest = kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "(the whole)"
        raise Corrupt(f"{folder / MANIFEST}: {where}: {first['msg']}.", hint=hint) from None
    weights = _read(folder / WEIGHTS, what, hint)
    if hashlib.sha256(weights).hexdigest() != getattr(manifest, "weights", None):
        raise Corrupt(f"{folder / WEIGHTS}: its SHA-256 is not the one in {MANIFEST}.", hint=hint)
    return manifest, weights, hashlib.sha256(data).hexdigest()


def _read(path: Path, what: str, hint: str) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Corrupt(f"{path}: is larger than any {what}.", hint=hint)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path}: no such file, so there is no {what}.", hint=hint) from None
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}).") from None
