from __future__ import annotations

from pathlib import Path

import pytest

from evals.trusted_keys import FILE, VARIABLE, TrustedKey, load_trust
from lockgate.errors import UserError
from lockgate.settings import Settings
from lockgate.signing import check_public_key, own_key, sign


@pytest.fixture
def ci(tmp_path: Path) -> str:
    """The public key of another installation."""
    return sign(tmp_path / "ci", b"").key


def project(folder: Path, text: str | bytes | None = None, **settings: str) -> Settings:
    (folder / "evals").mkdir(exist_ok=True)
    if text is not None:
        (folder / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    return Settings(project=folder, _env_file=None, **settings)  # type: ignore[arg-type]


def test_without_a_list_only_the_own_key_is_trusted(tmp_path: Path, ci: str) -> None:
    settings = project(tmp_path)
    assert load_trust(settings).own is None
    assert not settings.state_dir.exists()
    own = sign(settings.state_dir, b"").key
    trust = load_trust(settings)
    assert trust.trusts(own)
    assert not trust.trusts(ci)
    assert own_key(settings.state_dir) == own


def test_a_key_of_the_file_is_trusted_by_its_name_until_it_is_taken_out(tmp_path: Path, ci: str) -> None:
    settings = project(tmp_path, f"keys:\n  - name: GitHub CI\n    key: {ci}\n    note: Made in May.\n")
    assert load_trust(settings).names == {ci: "GitHub CI"}
    project(tmp_path, "keys: []\n")
    assert not load_trust(settings).trusts(ci)
    (tmp_path / FILE).unlink()
    assert not load_trust(settings).trusts(ci)


def test_the_variable_adds_keys(tmp_path: Path, ci: str) -> None:
    other = sign(tmp_path / "other", b"").key
    trust = load_trust(project(tmp_path, trusted_keys=f"{ci}, {other}"))
    assert trust.names == {ci: VARIABLE, other: VARIABLE}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keys:\n  - name: ci\n    key: KEY\n    until: 2030\n", ":4: unknown key 'keys.0.until'"),
        ("keys:\n  - key: KEY\n", "key 'keys.0.name' is missing"),
        ("keys:\n  - name: ''\n    key: KEY\n", ":2: key 'keys.0.name'"),
        ('keys:\n  - name: "a\\nb"\n    key: KEY\n', "key 'keys.0.name'"),
        ("keys:\n  - name: ci\n    key: 3b1f0c9d5a7e2468\n", "is not an Ed25519 public key: 44 characters of base64"),
        ("keys:\n  - name: ci\n    key: ''\n", "is not an Ed25519 public key"),
        ("keys:\n  - name: ci\n    key: [KEY]\n", ":3: key 'keys.0.key'"),
        ("keys:\n  - {name: a, key: KEY}\n  - {name: b, key: KEY}\n", "is given twice"),
        ("keys:\n  - {name: a, key: KEY}\n  - {name: a, key: OTHER}\n", "the name a is given twice"),
        ("keys: {a: KEY}\n", "key 'keys'"),
        ("- KEY\n", "a mapping of keys to values was expected"),
        ("keys: [\n", "not valid YAML"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_list_that_cannot_be_read_is_an_error_and_trusts_nobody(
    tmp_path: Path, ci: str, text: str | bytes, message: str
) -> None:
    other = sign(tmp_path / "other", b"").key
    if isinstance(text, str):
        text = text.replace("KEY", ci).replace("OTHER", other)
    with pytest.raises(UserError) as caught:
        load_trust(project(tmp_path, text))
    assert message in str(caught.value)
    assert FILE in str(caught.value)


@pytest.mark.parametrize("given", ["ci", "3b1f0c9d5a7e2468", "-----BEGIN", "A" * 44, "é" * 44])
def test_a_variable_that_holds_no_keys_names_itself(tmp_path: Path, given: str) -> None:
    with pytest.raises(UserError, match=f"{VARIABLE}: .* is not an Ed25519 public key"):
        load_trust(project(tmp_path, trusted_keys=given))


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    settings = project(tmp_path)
    (tmp_path / FILE).symlink_to(tmp_path / "nowhere.yaml")
    with pytest.raises(Exception, match="no such file"):
        load_trust(settings)


def test_one_key_has_one_spelling(ci: str) -> None:
    """Otherwise it could be on the list twice, and stay there when it is taken out once."""
    assert TrustedKey(name="ci", key=ci).key == ci
    for other in (ci.rstrip("="), ci + "=", f" {ci}", ci + "\n", ci[:-2] + chr(ord(ci[-2]) + 1) + "="):
        with pytest.raises(ValueError, match="is not an Ed25519 public key"):
            check_public_key(other)
