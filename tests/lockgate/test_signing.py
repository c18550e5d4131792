from __future__ import annotations

import base64
import multiprocessing
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from lockgate.errors import Corrupt
from lockgate.signing import KEY_FILE, Signature, fingerprint, own_key_fingerprint, sign, verify

PAYLOAD = b'{"release":"abc"}'


def key_file(state: Path) -> Path:
    return state / "keys" / KEY_FILE


def test_a_signature_holds_for_its_payload_alone(tmp_path: Path) -> None:
    signature = sign(tmp_path, PAYLOAD)
    assert verify(signature, PAYLOAD)
    for place in range(len(PAYLOAD)):
        changed = bytearray(PAYLOAD)
        changed[place] ^= 1
        assert not verify(signature, bytes(changed))
    assert not verify(signature, PAYLOAD + b" ")
    assert not verify(signature, b"")


def test_signing_the_same_twice_gives_the_same_signature(tmp_path: Path) -> None:
    assert sign(tmp_path, PAYLOAD) == sign(tmp_path, PAYLOAD)
    assert own_key_fingerprint(tmp_path) == sign(tmp_path, b"other").fingerprint


def test_another_installation_has_another_key(tmp_path: Path) -> None:
    first, second = sign(tmp_path / "a", PAYLOAD), sign(tmp_path / "b", PAYLOAD)
    assert first.fingerprint != second.fingerprint
    assert not verify(Signature(second.key, first.value), PAYLOAD)


def test_only_the_owner_can_read_the_key(tmp_path: Path) -> None:
    sign(tmp_path, PAYLOAD)
    assert key_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert key_file(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in key_file(tmp_path).parent.iterdir()] == [KEY_FILE]


def test_asking_for_the_fingerprint_makes_no_key(tmp_path: Path) -> None:
    assert own_key_fingerprint(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def _sign_when_told(state: Path, start_at: float, results: multiprocessing.Queue[str]) -> None:
    time.sleep(max(0.0, start_at - time.time()))
    results.put(sign(state, PAYLOAD).key)


def test_processes_that_make_the_key_at_once_agree_on_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cryptography.hazmat.primitives.serialization", "lockgate.signing"])
    for round_ in range(5):
        results: multiprocessing.Queue[str] = context.Queue()
        state = tmp_path / str(round_)
        start_at = time.time() + 0.5
        processes = [context.Process(target=_sign_when_told, args=(state, start_at, results)) for _ in range(4)]
        for process in processes:
            process.start()
        keys = {results.get(timeout=60) for _ in processes}
        for process in processes:
            process.join()
        assert keys == {sign(state, PAYLOAD).key}
        assert [path.name for path in key_file(state).parent.iterdir()] == [KEY_FILE]


def _pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, *, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no key at all",
        b"-----BEGIN " + b"PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        _pem(ed25519.Ed25519PrivateKey.generate())[:60],
        _pem(ed25519.Ed25519PrivateKey.generate(), password=b"secret"),
        _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    ],
    ids=["empty", "text", "rubbish", "cut", "encrypted", "rsa"],
)
def test_a_damaged_key_is_reported_and_left_where_it_is(tmp_path: Path, content: bytes) -> None:
    key_file(tmp_path).parent.mkdir()
    key_file(tmp_path).write_bytes(content)
    for action in (lambda: sign(tmp_path, PAYLOAD), lambda: own_key_fingerprint(tmp_path)):
        with pytest.raises(Corrupt, match=r"signing\.pem: is not an Ed25519 private key"):
            action()
    assert key_file(tmp_path).read_bytes() == content


@pytest.mark.parametrize("rubbish", ["", "A", "====", "no base64!", "ключ", "\0", "A" * 44, "A" * 88, "AAAA\n"])
def test_rubbish_is_no_signature(tmp_path: Path, rubbish: str) -> None:
    good = sign(tmp_path, PAYLOAD)
    assert not verify(Signature(rubbish, good.value), PAYLOAD)
    assert not verify(Signature(good.key, rubbish), PAYLOAD)
    assert len(fingerprint(rubbish)) in (7, 16)


def test_the_same_bytes_written_otherwise_are_no_signature(tmp_path: Path) -> None:
    """The last letters of base64 hold bits that stand for nothing: flipping one must not go unseen."""
    good = sign(tmp_path, PAYLOAD)
    other = good.value[:-3] + chr(ord(good.value[-3]) + 1) + "=="
    assert base64.b64decode(other) == base64.b64decode(good.value)
    assert not verify(Signature(good.key, other), PAYLOAD)
