from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.errors import NotFound
from lockgate.git import run_git
from lockgate.store.channels import Rollout
from prompts.collection import find_prompt
from prompts.commits import open_history
from prompts.history import Version, prompt_history
from prompts.prompt import prompt_from_files
from tests.prompts.repositories import Repository, point, settings_in, write_release
from tests.prompts.texts import example_rows, prompt_text, write_library

BODY = "# user\n" + "".join(f"A line that makes the file long enough to be followed, number {n}.\n" for n in range(20))


def _text(name: str = "greet", more: str = "") -> str:
    return prompt_text(name, body=BODY + more)


def _versions(project: Path, name: str = "greet") -> list[Version]:
    return prompt_history(settings_in(project), name).versions


def _subjects(project: Path, name: str = "greet") -> list[str]:
    return [version.commit.subject if version.commit else version.place for version in _versions(project, name)]


@pytest.mark.parametrize("inside", ["", "deep/project [x]*"])
def test_each_version_has_its_commit_and_the_hash_of_the_files_then(tmp_path: Path, inside: str) -> None:
    repository = Repository(tmp_path, inside)
    repository.commit("first", {"greet.md": _text()})
    first = find_prompt(repository.project, "greet")
    repository.commit("unrelated", {"other.md": _text("other")})
    commit = repository.commit("second", {"greet.md": _text(more="More.\n")})
    second, older = _versions(repository.project)
    assert (second.hash, older.hash) == (find_prompt(repository.project, "greet").hash, first.hash)
    assert second.commit and second.commit.id == commit
    assert (second.commit.author, second.commit.subject) == ("Ada", "second")
    assert dict(older.files) == first.files


def test_commits_with_one_hash_are_one_version_named_after_the_oldest(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": _text()})
    repository.commit("line ends only", {"greet.md": _text().replace("\n", "\r\n")})
    repository.commit("second", {"greet.md": _text(more="x\n")})
    repository.commit("back again", {"greet.md": _text()})
    assert _subjects(tmp_path) == ["back again", "second", "first"]
    versions = _versions(tmp_path)
    assert versions[0].hash == versions[2].hash


def test_includes_and_examples_are_part_of_the_version(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    keys = "variables: {question: str}\n"
    text = prompt_text(keys=keys, body='# user\n{% include "shared/tone.md" %}\n{{ question }}\n')
    repository.commit("first", {"greet/prompt.md": text, "shared/tone.md": "Kind.\n"})
    repository.commit("include", {"shared/tone.md": "Brief.\n"})
    repository.commit("nobody's", {"shared/left.md": "x\n", "shared/tone.txt": "x"})
    repository.commit("examples", {"greet/examples.jsonl": example_rows(("q", "a"))})
    assert _subjects(tmp_path) == ["examples", "include", "first"]
    assert _versions(tmp_path)[0].hash == find_prompt(tmp_path, "greet").hash


def test_renames_are_followed_through_names_forms_and_folders(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    library = "prompts/library"
    repository.commit("first", {"hello.md": _text("hello")})
    repository.git("mv", f"{library}/hello.md", f"{library}/greet.md")
    repository.commit("rename", {"greet.md": _text("greet")})
    (tmp_path / library / "greet").mkdir()
    repository.git("mv", f"{library}/greet.md", f"{library}/greet/prompt.md")
    repository.commit("folder, same text")
    repository.commit("edit in the folder", {"greet/prompt.md": _text("greet", "x\n")})
    (tmp_path / "app").mkdir()
    repository.git("mv", "prompts", "app/prompts")
    repository.commit("move the project")
    repository.commit("edit there")
    write_library(tmp_path / "app", {"greet/prompt.md": _text("greet", "y\n")})
    repository.commit("edit after the move")
    versions = _versions(tmp_path / "app")
    assert [version.commit.subject for version in versions if version.commit] == [
        "edit after the move",
        "edit in the folder",
        "rename",
        "first",
    ]
    assert [version.name for version in versions] == ["greet", "greet", "greet", "hello"]


def test_a_file_rewritten_while_it_became_a_folder_is_the_same_prompt(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("file", {"greet.md": _text()})
    (tmp_path / "prompts/library/greet.md").unlink()
    repository.commit("folder, nothing alike", {"greet/prompt.md": prompt_text(body="# user\nQuite another text.\n")})
    assert _subjects(tmp_path) == ["folder, nothing alike", "file"]


def test_an_earlier_prompt_of_the_name_that_was_renamed_is_another_prompt(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    library = "prompts/library"
    repository.commit("old greet", {"greet.md": _text()})
    repository.git("mv", f"{library}/greet.md", f"{library}/hello.md")
    repository.commit("rename", {"hello.md": _text("hello")})
    repository.commit("new greet", {"greet.md": prompt_text(body="# user\nQuite another text.\n")})
    assert _subjects(tmp_path, "greet") == ["new greet"]
    assert _subjects(tmp_path, "hello") == ["rename", "old greet"]


def test_a_prompt_that_was_away_for_a_while_is_the_same_prompt(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": _text()})
    (tmp_path / "prompts/library/greet.md").unlink()
    repository.commit("away")
    assert _subjects(tmp_path) == ["first"]
    repository.commit("again", {"greet.md": _text(more="x\n")})
    assert _subjects(tmp_path) == ["again", "first"]


def test_a_merge_that_joins_two_changes_is_a_version(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    body = '# user\n{% include "shared/tone.md" %}\nHi\n'
    repository.commit("first", {"greet.md": prompt_text(body=body), "shared/tone.md": "Kind.\n"})
    repository.git("switch", "--quiet", "-c", "side")
    repository.commit("side", {"shared/tone.md": "Brief.\n"})
    repository.git("switch", "--quiet", "main")
    repository.commit("main", {"greet.md": prompt_text(body=body + "Bye\n")})
    repository.git("-c", "user.name=Ada", "-c", "user.email=a@example.org", "merge", "--quiet", "-m", "merge", "side")
    subjects = _subjects(tmp_path)
    assert subjects[0] == "merge" and sorted(subjects[1:]) == ["first", "main", "side"]
    assert _versions(tmp_path)[0].hash == find_prompt(tmp_path, "greet").hash


def test_what_is_not_committed_is_the_working_tree(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": _text()})
    assert _subjects(tmp_path) == ["first"]
    write_library(tmp_path, {"greet.md": _text(more="x\n"), "fresh.md": _text("fresh")})
    assert _subjects(tmp_path) == ["working tree", "first"]
    assert _subjects(tmp_path, "fresh") == ["working tree"]


def test_a_version_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    body = '# user\n{% include "shared/tone.md" %}\nHi\n'
    repository.commit("first", {"greet.md": _text()})
    repository.commit("include that is not there", {"greet.md": prompt_text(body=body)})
    repository.commit("no front matter", {"greet.md": "x\n"})
    repository.commit("good", {"greet.md": _text(more="x\n")})
    versions = _versions(tmp_path)
    assert [bool(version.broken) for version in versions] == [False, True, True, False]
    assert "there is no such file" in versions[2].broken


def test_a_link_in_a_commit_is_not_followed(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    (tmp_path / "secret").write_text("secret")
    library = write_library(tmp_path, {})
    library.mkdir(parents=True)
    (library / "greet.md").symlink_to(tmp_path / "secret")
    repository.commit("link")
    history = open_history(library)
    assert history is not None
    versions = _versions(tmp_path)
    assert all("is a link" in version.broken for version in versions)
    assert all(not version.files for version in versions)


def test_names_and_subjects_with_strange_signs_are_taken_as_they_are(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    write_library(tmp_path, {"greet.md": _text()})
    repository.git("add", "--all")
    subject = "--help \x1b[31m %H \x1f \x1e é\t"
    run_git(
        tmp_path, "-c", "user.name=-n\x1b", "-c", "user.email=a@b", "commit", "-q", "--cleanup=verbatim", "-m", subject
    )
    version = _versions(tmp_path)[0]
    assert version.commit and "é" in version.commit.subject
    assert version.hash == find_prompt(tmp_path, "greet").hash


def test_releases_and_channels_stand_beside_the_versions_they_used(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    settings = settings_in(tmp_path)
    write_library(tmp_path, {".gitignore": ""})
    (tmp_path / ".gitignore").write_text(".lockgate\n")
    repository.commit("first", {"greet.md": _text()})
    old = write_release(settings, "greet", {"greet.md": _text()})
    repository.commit("second", {"greet.md": _text(more="x\n")})
    new = write_release(settings, "greet", {"greet.md": _text(more="x\n")})
    dirty = write_release(settings, "greet", {"greet.md": _text(more="never committed\n")})
    other = write_release(settings, "greet", {"greet.md": _text()}, chain="support")
    point(settings, old.id)
    point(settings, new.id)
    point(
        settings, new.id, action="rollout", rollout=Rollout("r", "percent", dirty.id, 10.0, "2026-01-01T00:00:00+00:00")
    )
    versions = {version.hash: version for version in prompt_history(settings, "greet").versions}
    by_subject = {version.commit.subject if version.commit else version.place: version for version in versions.values()}
    assert by_subject.keys() == {"first", "second", "release"}
    shown = {
        (name, pin.release): [(use.channel, use.chain, use.is_current) for use in pin.channels]
        for name, version in by_subject.items()
        for pin in version.pins
    }
    assert shown == {
        ("first", old.id): [("production", "docs", False)],
        ("first", other.id): [],
        ("second", new.id): [("production", "docs", True)],
        ("release", dirty.id): [("production", "docs", True)],
    }


def test_a_deployment_without_git_shows_the_versions_that_releases_pin(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    old = write_release(settings, "greet", {"greet.md": _text()})
    new = write_release(settings, "greet", {"greet.md": _text(more="x\n")})
    history = prompt_history(settings, "greet")
    assert not history.has_git
    assert [(version.place, version.pins[0].release) for version in history.versions] == [
        ("release", new.id),
        ("release", old.id),
    ]
    rebuilt = prompt_from_files("greet", history.versions[1].files, where="r")
    assert rebuilt.hash == history.versions[1].hash


def test_a_release_whose_manifest_is_gone_is_noted(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    kept = write_release(settings, "greet", {"greet.md": _text()})
    gone = write_release(settings, "greet", {"greet.md": _text(more="x\n")})
    for path in (tmp_path / ".lockgate" / "objects").rglob(f"*{gone.id[4:]}*"):
        path.unlink()
    history = prompt_history(settings, "greet")
    assert [version.pins[0].release for version in history.versions] == [kept.id]
    assert gone.id[:12] in history.notes[0]


def test_looking_makes_no_database_and_an_unknown_name_is_not_found(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": _text()})
    assert _subjects(tmp_path) == ["working tree"]
    with pytest.raises(NotFound, match="No prompt is or was called 'gone'"):
        _versions(tmp_path, "gone")
    assert not (tmp_path / ".lockgate").exists()


def test_a_prompt_that_was_deleted_still_has_its_history(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": _text()})
    (tmp_path / "prompts/library/greet.md").unlink()
    repository.commit("gone", {"other.md": prompt_text("other")})
    assert _subjects(tmp_path) == ["first"]


def test_a_prompt_that_is_new_beside_a_renamed_one_has_none_of_its_history(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"hello.md": _text("hello")})
    repository.git("mv", "prompts/library/hello.md", "prompts/library/greet.md")
    repository.commit("rename, and a new one like it", {"greet.md": _text(), "other.md": _text("other", "x\n" * 30)})
    assert _subjects(tmp_path, "greet") == ["rename, and a new one like it", "first"]
    assert _subjects(tmp_path, "other") == ["rename, and a new one like it"]
