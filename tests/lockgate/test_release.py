"""The id of a release: the same wherever and whenever it is made, and another one for any other byte."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lockgate.errors import Corrupt
from lockgate.release import Manifest, canonical_json, manifest_from
from tests.lockgate.samples import manifest_body, sample_manifest

PROGRAM = """
import json, random, sys
from lockgate.release import Manifest
def shuffled(value):
    if isinstance(value, dict):
        items = [(key, shuffled(item)) for key, item in value.items()]
        random.shuffle(items)
        return dict(items)
    return value
print(Manifest.model_validate(shuffled(json.load(sys.stdin))).id)
"""


def test_the_id_is_the_hash_of_the_canonical_json() -> None:
    manifest = sample_manifest()
    assert manifest.id == hashlib.sha256(manifest.canonical()).hexdigest()
    assert json.loads(manifest.canonical())["prompts"]["answer"]["files"]["answer.md"] == "Answer from the passages.\n"
    assert manifest.canonical().decode() == json.dumps(
        json.loads(manifest.canonical()), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def test_canonical_json_does_not_change_between_versions_of_the_code() -> None:
    """An id that is stored must still be found: whoever changes this changes the schema version too."""
    data = canonical_json({"b": [1, 0.5, None, True], "a": 'č\u2028\x7f"\\/\n', "ä": {}, "Z": -0.0, "z": 1e-7})
    assert data == b'{"Z":-0.0,"a":"\xc4\x8d\xe2\x80\xa8\x7f\\"\\\\/\\n","b":[1,0.5,null,true],"z":1e-07,"\xc3\xa4":{}}'


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8"},
        {"PYTHONHASHSEED": "random", "TZ": "", "LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0"},
    ],
)
def test_another_machine_gives_the_same_id(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(manifest_body()),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == sample_manifest().id


def test_the_order_of_keys_and_files_does_not_matter() -> None:
    rng = random.Random(1)

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            rng.shuffle(items)
            return dict(items)
        return value

    ids = {Manifest.model_validate(shuffled(manifest_body())).id for _ in range(50)}
    assert ids == {sample_manifest().id}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, (*path, key))
    else:
        yield path


def _changes(value: Any) -> list[Any]:
    """The value with its smallest change: one character, one unit, the other boolean."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value + 2**-40]
    if isinstance(value, str):
        first = chr(ord(value[0]) ^ 1) if value else "x"
        return [first + value[1:], value[:-1] + chr(ord(value[-1]) ^ 1) if value else "y", f"{value} "]
    return ["x", {"x": 1}, 1]


def _at(body: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        body = body[part]
    return body


def test_a_release_of_before_checks_had_weights_keeps_its_id() -> None:
    body = sample_manifest().body()
    del body["policy"]["weights"]
    earlier = canonical_json(body)
    assert manifest_from(earlier).canonical() == earlier
    assert b"weights" not in earlier


@pytest.mark.parametrize("path", list(_leaves(sample_manifest().model_dump(mode="json"))), ids=".".join)
def test_one_changed_byte_anywhere_gives_another_id(path: tuple[Any, ...]) -> None:
    original = sample_manifest()
    body = original.model_dump(mode="json")
    taken = 0
    # "0" to "1" in a digest is a change that every digest allows; the words of a choice are tried whole.
    choices = {"kind": ["bm25", "chat", "embedder"], "mode": ["extractive"], "dtype": ["float32"]}
    value = _at(body, path)
    tries = _changes(value) + choices.get(str(path[-1]), [])
    if isinstance(value, str) and len(value) == 64:
        tries.append(value[:-1] + ("0" if value[-1] != "0" else "1"))
    for changed in tries:
        other = copy.deepcopy(body)
        _at(other, path[:-1])[path[-1]] = changed
        try:
            manifest = Manifest.model_validate(other)
        except ValueError:
            continue
        if manifest.model_dump(mode="json") != body:
            taken += 1
            assert manifest.id != original.id, (path, changed)
        with pytest.raises(Corrupt):
            manifest_from(json.dumps(other).encode())
    one_choice = {("schema_version",), ("cache", "kind"), ("model", "provider")}
    one_choice |= {("model", "files", "kind"), ("embedder", "files", "kind")}
    assert taken or path in one_choice or value is None, f"no change of {path} was accepted: the test tests little"


@pytest.mark.parametrize("path", [("prompts", "answer", "files"), ("model", "limits"), ("chain",)])
def test_a_file_or_setting_that_comes_or_goes_gives_another_id(path: tuple[str, ...]) -> None:
    more, fewer = manifest_body(), manifest_body()
    _at(more, path)["new"] = "x" if path[0] != "model" else 1
    _at(fewer, path).popitem()
    ids = {Manifest.model_validate(body).id for body in (more, fewer, manifest_body())}
    assert len(ids) == 3


def test_what_was_stored_comes_back() -> None:
    manifest = sample_manifest()
    again = manifest_from(manifest.canonical())
    assert again == manifest
    assert again.id == manifest.id


def test_every_byte_that_is_touched_or_missing_is_noticed() -> None:
    """By the reader when the form breaks, else by the id: no touched manifest passes for the one that was stored."""
    manifest = sample_manifest()
    data = manifest.canonical()
    for place in range(0, len(data), 3):
        touched = bytearray(data)
        touched[place] ^= 1
        try:
            assert manifest_from(bytes(touched)).id != manifest.id
        except Corrupt:
            continue
    for length in range(0, len(data), 50):
        with pytest.raises(Corrupt):
            manifest_from(data[:length])


def _written(**changes: Any) -> bytes:
    return json.dumps(manifest_body() | changes, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


DEEP = '{"x":' * 600 + "1" + "}" * 600


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"\x00" * 100,
        b'"' + b"a" * 1000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 10_000,
        _written(chain={"name": "docs", "x": float("nan")}),
        _written(chain={"name": "docs", "x": float("inf")}),
        _written().replace(b'"description":', b'"deep":' + DEEP.encode() + b',"description":'),
        _written().replace(b"0.6", b"9" * 5000),
        _written().replace(b"0.6", b"1e999"),
        _written().replace(b"stru\xc4\x8dn\xc3\xbd", b"\\ud800"),
        _written().replace(b"stru", b"\xff"),
        _written(schema_version=2),
        _written(schema_version="1"),
        _written(surprise=1),
        _written(prompts={"other": manifest_body()["prompts"]["answer"]}),
        json.dumps(manifest_body(), indent=1).encode(),
        _written() + b"\n",
        b"\xef\xbb\xbf" + _written(),
        _written().decode().encode("utf-16"),
        _written().replace(b'"lockgate":', b'"lockgate":"0.0.9","lockgate":'),
    ],
    ids=lambda data: repr(data[:24]),
)
def test_what_is_no_manifest_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt, match="Release abc") as caught:
        manifest_from(data, where="Release abc")
    assert len(str(caught.value)) < 1000


def test_a_newer_schema_says_so() -> None:
    with pytest.raises(Corrupt, match=r"schema 1.*'schema_version'.*newer Lockgate"):
        manifest_from(_written(schema_version=2))


def test_numbers_that_json_does_not_have_are_refused() -> None:
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Out of range"):
            canonical_json({"x": number})


def test_a_local_model_names_its_files_and_one_behind_a_server_has_none() -> None:
    for change in ({"provider": "server"}, {"files": None}):
        body = manifest_body()
        body["model"] |= change
        with pytest.raises(ValueError, match="a local model has files"):
            Manifest.model_validate(body)
