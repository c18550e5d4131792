"""A detector's folder: whole, damaged, missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrails.grounding.detector import MANIFEST, RARITY, detector_problem, open_detector
from lockgate.errors import Corrupt, LockgateError, NotFound
from tests.guardrails.grounding.detectors import manifest, opened, write_detector


def test_names_all_of_itself(tmp_path: Path) -> None:
    one, other = opened(write_detector(tmp_path / "one")), opened(write_detector(tmp_path / "other"))
    changed = opened(write_detector(tmp_path / "changed", answer_threshold=0.6))
    assert one.digest == other.digest != changed.digest
    assert one.name.startswith("by-hand@")


def test_a_missing_detector_is_an_error_and_never_less_of_a_check(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no grounding detector"):
        open_detector(tmp_path)
    assert "no grounding detector" in detector_problem(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", RARITY])
def test_a_file_that_differs_is_not_loaded(tmp_path: Path, name: str) -> None:
    folder = write_detector(tmp_path)
    (folder / name).write_bytes(b"something else")
    with pytest.raises(Corrupt, match="SHA-256"):
        open_detector(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", RARITY])
def test_a_file_that_is_gone_is_named(tmp_path: Path, name: str) -> None:
    folder = write_detector(tmp_path)
    (folder / name).unlink()
    with pytest.raises(NotFound, match=name):
        open_detector(folder)


def test_what_is_no_model_is_not_loaded_though_its_hash_is_right(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="cannot be loaded"):
        open_detector(write_detector(tmp_path))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"name": 3', "\x00"])
def test_a_broken_manifest_is_named(tmp_path: Path, text: str) -> None:
    folder = write_detector(tmp_path)
    (folder / MANIFEST).write_text(text)
    with pytest.raises(Corrupt, match=MANIFEST):
        opened(folder)


def test_refuses_weights_for_other_features(tmp_path: Path) -> None:
    words = manifest({}).words.model_dump()
    words["features"] = ("something", *words["features"][1:])
    with pytest.raises(Corrupt, match="other features"):
        opened(write_detector(tmp_path, words=words))


def test_refuses_weights_that_are_no_numbers(tmp_path: Path) -> None:
    words = manifest({}).words.model_dump()
    words["bias"] = float("nan")
    with pytest.raises(LockgateError):
        opened(write_detector(tmp_path, words=words))


def test_refuses_a_manifest_that_leaves_a_hash_out(tmp_path: Path) -> None:
    folder = write_detector(tmp_path)
    files = dict(opened(folder).manifest.files)
    del files["model.onnx"]
    with pytest.raises(Corrupt, match=r"model\.onnx"):
        open_detector(write_detector(tmp_path, files=files))
