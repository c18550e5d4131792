from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.errors import NotFound, UserError
from lockgate.settings import Settings
from serving.plan import free_bytes, make_plan, needed_models, require_models


def settings(project: Path, **changes: object) -> Settings:
    values = {"project": project, "models_dir": project / "models", **changes}
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


def test_the_plan_says_what_is_downloaded_and_how_much_disk_is_free(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    plan = make_plan(settings(tmp_path), None)
    models, disk, documents = plan.lines()
    assert "fetch all-minilm-l6-v2, smollm2-135m-instruct" in models
    assert "MB to download" in models
    assert "MB free" in disk
    assert str(tmp_path / "docs") in documents
    assert plan.sync == str(tmp_path / "docs")


def test_a_given_folder_wins_over_the_sources(tmp_path: Path) -> None:
    write_source(tmp_path)
    (tmp_path / "mine").mkdir()
    assert make_plan(settings(tmp_path), tmp_path / "mine").sync == str(tmp_path / "mine")


def test_the_sources_of_the_project_are_the_default(tmp_path: Path) -> None:
    write_source(tmp_path)
    assert make_plan(settings(tmp_path), None).sync == ""


def test_a_source_without_its_folder_is_told_before_anything_else(tmp_path: Path) -> None:
    write_source(tmp_path)
    (tmp_path / "manual").rmdir()
    with pytest.raises(UserError, match="manual"):
        make_plan(settings(tmp_path), None)


def test_a_project_without_documents_keeps_what_is_indexed(tmp_path: Path) -> None:
    plan = make_plan(settings(tmp_path), None)
    assert plan.sync is None
    assert "lockgate up FOLDER" in plan.documents


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        make_plan(settings(tmp_path), tmp_path / "nowhere")


def test_a_model_server_makes_the_chat_model_unnecessary(tmp_path: Path) -> None:
    here = settings(tmp_path, OPENAI_BASE_URL="http://127.0.0.1:8100/v1")
    assert [entry.name for entry in needed_models(here)] == ["all-minilm-l6-v2"]


def test_missing_models_are_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="lockgate models pull all-minilm-l6-v2"):
        require_models(settings(tmp_path))


def test_free_disk_is_known_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") == free_bytes(tmp_path)


def write_source(project: Path) -> None:
    folder = project / "ingestion" / "sources"
    folder.mkdir(parents=True)
    (project / "manual").mkdir()
    (folder / "manual.yaml").write_text("name: manual\npath: manual\n")
