from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.errors import NotFound, UserError
from prompts.collection import find_prompt, prompt_files
from prompts.revision import names_at, prompt_at, revision_of, split_range
from tests.prompts.repositories import Repository, settings_in, write_release
from tests.prompts.test_history import _text
from tests.prompts.texts import write_library


@pytest.mark.parametrize(
    ("text", "sides"),
    [("a..b", ("a", "b")), ("a..", ("a", "")), ("..b", ("", "b")), ("HEAD~1..v1.0", ("HEAD~1", "v1.0"))],
)
def test_a_range_has_two_sides(text: str, sides: tuple[str, str]) -> None:
    assert split_range(text) == sides


@pytest.mark.parametrize("text", ["", "a", "..", "a...b", "a..b..c", "..."])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"not of the form A\.\.B"):
        split_range(text)


def test_a_prompt_is_found_by_git_revision_release_and_hash(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    settings = settings_in(tmp_path)
    commit = repository.commit("first", {"greet.md": _text()})
    first = find_prompt(tmp_path, "greet")
    repository.git("tag", "v1")
    repository.commit("second", {"greet.md": _text(more="x\n")})
    release = write_release(settings, "greet", {"greet.md": _text(more="released\n")})
    write_library(tmp_path, {"greet.md": _text(more="on disk\n")})
    for revision in ("HEAD~1", "v1", "main~1", commit, commit[:8], f"git:{commit}", first.hash, first.hash[:6]):
        assert prompt_at(settings, "greet", revision).hash == first.hash, revision
    assert prompt_at(settings, "greet", f"prompt:{first.hash[:8]}").files == first.files
    assert "released" in prompt_at(settings, "greet", release.id[:12]).text
    assert "released" in prompt_at(settings, "greet", f"release:{release.id}").text
    assert "on disk" in prompt_at(settings, "greet", "").text
    assert revision_of(settings, "greet", release.id).label == f"release {release.id[:12]}"


def test_a_renamed_prompt_is_found_where_it_had_its_old_name(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "sub")
    repository.commit("first", {"hello.md": _text("hello")})
    repository.git("mv", "sub/prompts/library/hello.md", "sub/prompts/library/greet.md")
    repository.commit("rename", {"greet.md": _text("greet")})
    assert prompt_at(settings_in(repository.project), "greet", "HEAD~1").name == "hello"


@pytest.mark.parametrize(
    "revision",
    ["gone", "HEAD~9", "--help", "-n1", "a b", "\x00", "HEAD:prompts", "release:HEAD", "git:abcdef", "f" * 64],
)
def test_what_nobody_knows_is_not_found(tmp_path: Path, revision: str) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": _text()})
    with pytest.raises(NotFound):
        revision_of(settings_in(tmp_path), "greet", revision)


def test_a_release_without_the_prompt_says_which_it_has(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    release = write_release(settings, "greet", {"greet.md": _text()})
    write_library(tmp_path, {"other.md": _text("other")})
    with pytest.raises(NotFound, match=r"has no prompt 'other'. It pins: greet \(as answer\), condense"):
        revision_of(settings, "other", release.id)


def test_a_text_that_fits_a_release_and_a_version_must_say_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    write_library(tmp_path, {"greet.md": _text()})
    release = write_release(settings, "greet", {"greet.md": _text(more="x\n")})
    # A real clash of the first six digits cannot be made; a branch may be called what a release is.
    repository = Repository(tmp_path)
    repository.commit("first")
    repository.git("branch", release.id[:12])
    with pytest.raises(UserError, match=r"fits release [0-9a-f]{12} and git [0-9a-f]{12}. Write release:"):
        revision_of(settings, "greet", release.id[:12])
    assert revision_of(settings, "greet", f"git:{release.id[:12]}").hash == find_prompt(tmp_path, "greet").hash


def test_names_of_a_revision_are_all_of_a_commit_and_only_the_pinned_of_a_release(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    settings = settings_in(tmp_path)
    repository.commit("first", {"greet.md": _text(), "other.md": _text("other"), "shared/x.md": "x\n"})
    release = write_release(settings, "greet", {"greet.md": _text()})
    assert names_at(settings, "HEAD").names == {"greet", "other"}
    assert names_at(settings, release.id).names == {"greet", "condense"}
    assert names_at(settings, find_prompt(tmp_path, "greet").hash).names == {"greet"}
    assert names_at(settings, "").names == prompt_files(tmp_path).keys()
    assert names_at(settings, "gone").names == set()
