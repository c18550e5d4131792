"""Signatures (Ed25519, RFC 8032) over what Lockgate writes for others to check: provenance now, evidence later."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.atomic import disk_errors, fsync_directory
from lockgate.errors import Corrupt

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE = "signing.pem"
PUBLIC_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Signature:
    """``key`` is the public key and ``value`` the signature, both base64 of the raw bytes."""

    key: str
    value: str

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the public key's SHA-256."""
        return fingerprint(self.key)


def fingerprint(key: str) -> str:
    try:
        return hashlib.sha256(_bytes(key)).hexdigest()[:16]
    except ValueError:
        return "invalid"


def sign(state_dir: Path, payload: bytes) -> Signature:
    """Sign with this installation's own key, made on first use in ``<state_dir>/keys`` (mode 0600)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _own_key(state_dir / "keys" / KEY_FILE)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Signature(_text(public), _text(key.sign(payload)))


def verify(signature: Signature, payload: bytes) -> bool:
    """Whether ``signature`` is one of ``payload`` by the key that it names. Whose key that is, it does not say."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(_bytes(signature.key)).verify(_bytes(signature.value), payload)
    except (InvalidSignature, ValueError):
        return False
    return True


def own_key(state_dir: Path) -> str | None:
    """This installation's public key; None before anything was signed."""
    if not (state_dir / "keys" / KEY_FILE).exists():
        return None
    return sign(state_dir, b"").key


def own_key_fingerprint(state_dir: Path) -> str | None:
    """That of this installation's key; None before anything was signed."""
    key = own_key(state_dir)
    return None if key is None else fingerprint(key)


def check_public_key(text: str) -> str:
    """``text``, if it can be the ``key`` of a signature. Raises ValueError with the rest of a sentence about it."""
    try:
        size = len(_bytes(text))
    except ValueError:
        size = 0
    if size != PUBLIC_KEY_BYTES:
        raise ValueError("is not an Ed25519 public key: 44 characters of base64")
    return text


def _own_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path) or _make(path)
    try:
        key = load_pem_private_key(data, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("it is of another kind")
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Corrupt(
            f"{path}: is not an Ed25519 private key ({error}).",
            hint="Restore it from a backup, or move it away for a new one.",
        ) from None
    return key


def _read(path: Path) -> bytes | None:
    with disk_errors(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def _make(path: Path) -> bytes:
    """Of two processes that make a key at once, the one that comes second takes the other's."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    data = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()
        fsync_directory(path.parent)
        return path.read_bytes()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    """What base64 ``text`` says. Raises ValueError for anything but the one way to write those bytes."""
    data = base64.b64decode(text, validate=True)
    if _text(data) != text:
        raise ValueError("not in canonical base64")
    return data
