from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.errors import UserError
from prompts.collection import find_prompt
from prompts.lint import lint_project
from prompts.starter import create_prompt
from tests.prompts.repositories import settings_in
from tests.prompts.texts import write_library


@pytest.mark.parametrize("folder", [False, True])
def test_a_new_prompt_loads_renders_and_has_no_findings(tmp_path: Path, folder: bool) -> None:
    files = create_prompt(tmp_path, "greet", folder=folder)
    library = tmp_path / "prompts" / "library"
    names = ["greet/prompt.md", "greet/examples.jsonl"] if folder else ["greet.md"]
    assert files == [library / name for name in names]
    messages = find_prompt(tmp_path, "greet").render(question="Who?")
    assert [message.role for message in messages] == ["system", *["user", "assistant"] * 2 * folder, "user"]
    assert lint_project(settings_in(tmp_path)).problems == []


def test_an_owner_with_signs_of_yaml_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKGATE_USER", 'a: "b" # {c} é')
    create_prompt(tmp_path, "greet")
    assert find_prompt(tmp_path, "greet").owner == 'a: "b" # {c} é'


def test_the_name_of_a_shipped_prompt_gives_a_copy_of_it(tmp_path: Path) -> None:
    shipped = find_prompt(tmp_path, "answer")
    create_prompt(tmp_path, "answer", folder=True)
    own = find_prompt(tmp_path, "answer")
    assert own.path.is_relative_to(tmp_path)
    assert own.hash == shipped.hash


@pytest.mark.parametrize("there", ["greet.md", "greet/prompt.md", "greet/examples.jsonl"])
@pytest.mark.parametrize("folder", [False, True])
def test_nothing_is_written_over(tmp_path: Path, there: str, folder: bool) -> None:
    library = write_library(tmp_path, {there: "mine"})
    if folder or there != "greet/examples.jsonl":
        with pytest.raises(UserError, match="is there already"):
            create_prompt(tmp_path, "greet", folder=folder)
    assert [path.name for path in library.rglob("*") if path.is_file()] == [Path(there).name]
    assert (library / there).read_text() == "mine"


@pytest.mark.parametrize("name", ["", "Greet", "../greet", "a/b", "a b", "9a", "a.b", "a" * 65])
def test_what_cannot_be_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a prompt"):
        create_prompt(tmp_path, name)
    assert not (tmp_path / "prompts").exists()
