from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.errors import NotFound, UserError
from lockgate.models.catalogue import disk_bytes, download_bytes, load_catalogue

ENTRY = """
  - name: {name}
    kind: embedder
    description: Mine.
    licence: MIT
    dimension: 8
    max_tokens: 16
    download_mb: 3
    disk_mb: 7
    sources:
      - {source}
    files:
      {file}: {sha256}
"""


def write(project: Path, **changes: str) -> Path:
    values = {"name": "mine", "source": "{type: local, path: weights}", "file": "model.safetensors", "sha256": "a" * 64}
    path = project / "models.yaml"
    path.write_text("models:" + ENTRY.format(**{**values, **changes}))
    return path


def test_ships_the_two_default_models(tmp_path: Path) -> None:
    catalogue = load_catalogue(tmp_path)
    assert [(entry.name, entry.kind) for entry in catalogue.defaults()] == [
        ("all-minilm-l6-v2", "embedder"),
        ("smollm2-135m-instruct", "chat"),
    ]
    assert all(entry.licence == "Apache-2.0" for entry in catalogue.models)


def test_project_adds_models_and_replaces_shipped_ones(tmp_path: Path) -> None:
    write(tmp_path, name="all-minilm-l6-v2")
    assert load_catalogue(tmp_path).get("all-minilm-l6-v2").description == "Mine."
    write(tmp_path)
    names = [entry.name for entry in load_catalogue(tmp_path).models]
    assert names == ["all-minilm-l6-v2", "smollm2-135m-instruct", "mine"]


def test_local_path_is_relative_to_the_project(tmp_path: Path) -> None:
    write(tmp_path)
    (source,) = load_catalogue(tmp_path).get("mine").sources
    assert source.label == f"folder {(tmp_path / 'weights').resolve()}"


def test_unknown_name_lists_the_names(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"'gpt-9'.*all-minilm-l6-v2, smollm2-135m-instruct"):
        load_catalogue(tmp_path).get("gpt-9")


def test_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"kind chat, but kind embedder"):
        load_catalogue(tmp_path).get("smollm2-135m-instruct", kind="embedder")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "{type: ftp, path: x}"}, "models.yaml:11.*type"),
        ({"source": "{type: local, path: x, mirror: y}"}, "models.yaml:11.*mirror"),
        ({"source": "{type: wheel, requirement: 'x>=1', folder: y}"}, "models.yaml:11.*requirement"),
        ({"source": "{type: wheel, requirement: 'x==1', folder: ../y}"}, r"folder.*without '\.\.'"),
        ({"source": "{type: hub, repo: a/b, revision: main}"}, "models.yaml:11.*revision"),
        ({"file": "../../etc/passwd"}, "models.yaml:13.*relative path"),
        ({"file": "/etc/passwd"}, "relative path"),
        ({"file": "a//b"}, "written plainly"),
        ({"sha256": "abc"}, "models.yaml:13.*model.safetensors"),
        ({"name": "Bad Name"}, "models.yaml:2.*name"),
    ],
)
def test_bad_entry_is_named_by_file_line_and_key(tmp_path: Path, change: dict[str, str], message: str) -> None:
    write(tmp_path, **change)
    with pytest.raises(UserError, match=message):
        load_catalogue(tmp_path)


def test_name_given_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + path.read_text().removeprefix("models:"))
    with pytest.raises(UserError, match=r"given twice: mine"):
        load_catalogue(tmp_path)


def test_chat_model_needs_a_context_window(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("kind: embedder", "kind: chat"))
    with pytest.raises(UserError, match=r"kind chat needs context_window"):
        load_catalogue(tmp_path)


def test_fingerprint_changes_with_the_files_and_not_with_the_sources(tmp_path: Path) -> None:
    write(tmp_path)
    first = load_catalogue(tmp_path).get("mine").fingerprint
    write(tmp_path, source="{type: local, path: elsewhere}")
    assert load_catalogue(tmp_path).get("mine").fingerprint == first
    write(tmp_path, sha256="b" * 64)
    assert load_catalogue(tmp_path).get("mine").fingerprint != first


def test_sizes_are_in_bytes(tmp_path: Path) -> None:
    write(tmp_path)
    entry = load_catalogue(tmp_path).get("mine")
    assert (download_bytes(entry), disk_bytes(entry)) == (3_000_000, 7_000_000)
