from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from lockgate.errors import Conflict, LockgateError, NotFound, UserError
from lockgate.git import run_git
from prompts.branch import BranchCommit, commit_edit, edited_prompt, prepare_edit
from prompts.collection import find_prompt
from prompts.lint import lint_files
from prompts.revision import prompt_at
from tests.prompts.repositories import Repository, settings_in
from tests.prompts.texts import example_rows, prompt_text, write_library

OLD, NEW = prompt_text(body="# user\nOld\n"), prompt_text(body="# user\nNew\n")


@pytest.fixture(autouse=True)
def _temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _edit(
    project: Path, text: str, *, name: str = "greet", path: str = "greet.md", author: str = "Bea", message: str = "why"
) -> BranchCommit:
    base = find_prompt(project, name).hash
    return commit_edit(project, name, path, text, base_hash=base, author=author, message=message)


@pytest.mark.parametrize("inside", ["", "deep/project"])
def test_an_edit_is_a_commit_on_a_branch_of_its_own_and_nothing_else_changes(
    tmp_path: Path, inside: str, _temporary: Path
) -> None:
    repository = Repository(tmp_path, inside)
    repository.commit("first", {"greet.md": OLD, "other.md": prompt_text("other")})
    write_library(repository.project, {"other.md": "uncommitted", "new.md": "untracked"})
    repository.git("add", f"{inside or '.'}/prompts/library/new.md")
    before = repository.state()
    made = _edit(repository.project, NEW)
    assert repository.state() == before
    assert list(_temporary.iterdir()) == []
    assert made.branch.startswith("lockgate/prompt-greet-")
    assert made.path == f"{inside}/prompts/library/greet.md".lstrip("/")
    assert repository.git("rev-parse", made.branch).strip() == made.commit
    assert repository.git("show", f"{made.branch}:{made.path}") == NEW
    assert repository.git("diff", "--name-only", "main", made.branch).split() == [made.path]
    assert repository.git("log", "-1", "--format=%an|%cn|%s", made.branch).strip() == "Bea|Bea|why"
    assert repository.git("rev-parse", f"{made.branch}~1") == repository.git("rev-parse", "main")
    assert prompt_at(settings_in(repository.project), "greet", made.branch).render()[0].content == "New"


def test_two_edits_have_two_branches(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": OLD})
    assert _edit(tmp_path, NEW).branch != _edit(tmp_path, NEW).branch


def test_an_edit_of_what_somebody_else_changed_is_refused(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": OLD})
    base = find_prompt(tmp_path, "greet").hash
    write_library(tmp_path, {"greet.md": prompt_text(body="# user\nTheirs\n")})
    before = repository.state()
    with pytest.raises(Conflict, match="has changed since you began to edit it"):
        commit_edit(tmp_path, "greet", "greet.md", NEW, base_hash=base, author="Bea", message="why")
    assert repository.state() == before
    assert "lockgate/" not in repository.git("branch", "--all")


def test_what_was_on_disk_and_seen_is_on_the_branch_and_stays_on_disk(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    body = '# user\n{% include "shared/tone.md" %}\n'
    repository.commit("first", {"greet.md": prompt_text(body=body), "shared/tone.md": "Kind.\n"})
    write_library(tmp_path, {"shared/tone.md": "Brief, and not committed.\n"})
    before = repository.state()
    made = _edit(tmp_path, prompt_text(body=body + "Bye\n"))
    assert repository.state() == before
    assert (
        prompt_at(settings_in(tmp_path), "greet", made.branch).render()[0].content == "Brief, and not committed.\nBye"
    )


def test_a_prompt_that_became_a_folder_and_is_not_committed_is_only_a_folder_on_the_branch(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    keys, rows = "variables: {question: str}\n", example_rows(("q", "a"))
    text = prompt_text(keys=keys, body="# user\n{{ question }}\n")
    repository.commit("first", {"greet.md": text})
    (tmp_path / "prompts/library/greet.md").unlink()
    write_library(tmp_path, {"greet/prompt.md": text, "greet/examples.jsonl": rows})
    made = _edit(tmp_path, rows + example_rows(("r", "b")), path="greet/examples.jsonl")
    at_branch = prompt_at(settings_in(tmp_path), "greet", made.branch)
    assert sorted(at_branch.files) == ["greet/examples.jsonl", "greet/prompt.md"]
    assert len(at_branch.render(question="x")) == 5


def test_an_edit_of_a_shipped_prompt_makes_the_projects_own(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "sub")
    repository.commit("first")
    text = find_prompt(repository.project, "answer").text.replace("You answer", "You always answer")
    made = _edit(repository.project, text, name="answer", path="answer.md")
    assert made.path == "sub/prompts/library/answer.md"
    assert repository.git("diff", "--name-only", "main", made.branch).split() == [made.path]
    assert not (repository.project / "prompts").exists()
    assert repository.git("show", f"{made.branch}:{made.path}") == text


def test_hooks_filters_and_ignore_rules_do_not_run_or_matter(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    (tmp_path / ".gitattributes").write_text("*.md filter=evil\n")
    repository.commit("first", {"greet.md": OLD})
    (tmp_path / ".gitignore").write_text("prompts/\n")
    repository.commit("ignore")
    ran = tmp_path.parent / "ran"
    for hook in ("pre-commit", "commit-msg", "post-commit", "post-checkout", "reference-transaction"):
        file = tmp_path / ".git" / "hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch '{ran}'\nexit 1\n")
        file.chmod(0o755)
    repository.git("config", "filter.evil.clean", f"sh -c \"touch '{ran}'; cat\"")
    repository.git("config", "filter.evil.smudge", f"sh -c \"touch '{ran}'; cat\"")
    made = _edit(tmp_path, NEW)
    assert repository.git("show", f"{made.branch}:{made.path}") == NEW
    assert not ran.exists()


@pytest.mark.parametrize(
    ("author", "shown"),
    [
        ("Bea <x@y>\nCo-authored-by: me", "Bea x@y Co-authored-by: me"),
        ("", "lockgate"),
        (" .,<> ", "lockgate"),
        ("é\u0000\ud800", "é ?"),
        ("n" * 300, "n" * 100),
    ],
)
def test_an_author_is_one_plain_name(tmp_path: Path, author: str, shown: str) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": OLD})
    made = _edit(tmp_path, NEW, author=author, message="\x1b[31m\ud800 -m x\n\n# not a comment")
    assert repository.git("log", "-1", "--format=%an", made.branch).strip() == shown
    assert repository.git("log", "-1", "--format=%ae", made.branch).strip() == "lockgate@localhost"
    assert "# not a comment" in repository.git("log", "-1", "--format=%B", made.branch)


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("greet.md", "not a prompt", "front matter was expected"),
        ("greet.md", prompt_text(body="# user\n{{ typo }}\n"), "'typo' is not declared"),
        ("greet.md", prompt_text(body="# user\n\ud800\n"), "not text that UTF-8 can hold"),
        ("greet.md", OLD, "there is nothing to commit"),
        ("greet.md", OLD.replace("\n", "\r\n"), "there is nothing to commit"),
        ("other.md", prompt_text("other"), "is no file of the prompt 'greet': greet.md"),
        ("../../x.md", NEW, "is no file of the prompt"),
        ("/etc/passwd", NEW, "is no file of the prompt"),
    ],
)
def test_an_edit_that_would_not_load_or_is_none_leaves_no_trace(
    tmp_path: Path, path: str, text: str, says: str
) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": OLD})
    before = repository.state()
    with pytest.raises(UserError, match=says):
        _edit(tmp_path, text, path=path)
    assert repository.state() == before
    assert "lockgate/" not in repository.git("branch", "--all")


def test_a_text_that_is_committed_already_is_refused_and_no_branch_stays(tmp_path: Path, _temporary: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("first", {"greet.md": OLD})
    write_library(tmp_path, {"greet.md": NEW})
    before = repository.state()
    with pytest.raises(UserError, match="is what is committed already"):
        _edit(tmp_path, OLD)
    assert repository.state() == before
    assert "lockgate/" not in repository.git("branch", "--all")
    assert list(_temporary.iterdir()) == []


def test_a_failure_in_the_middle_leaves_neither_branch_nor_work_tree(tmp_path: Path, _temporary: Path) -> None:
    repository = Repository(tmp_path)
    (tmp_path / "prompts").write_text("a file where the folder would be")
    repository.commit("first")
    before = repository.state()
    answer = find_prompt(tmp_path, "answer")
    with pytest.raises(LockgateError):
        _edit(tmp_path, answer.text + "More.\n", name="answer", path="answer.md")
    assert repository.state() == before
    assert "lockgate/" not in repository.git("branch", "--all")
    assert list(_temporary.iterdir()) == []


def test_without_git_or_a_commit_the_reason_is_said(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": OLD})
    with pytest.raises(UserError, match="lies in no git repository"):
        _edit(tmp_path, NEW)
    run_git(tmp_path, "init", "--quiet")
    with pytest.raises(UserError, match="has no commit yet"):
        _edit(tmp_path, NEW)
    with pytest.raises(NotFound):
        commit_edit(tmp_path, "gone", "gone.md", NEW, base_hash="0" * 64, author="Bea", message="why")


def test_an_edit_can_be_looked_at_before_it_is_kept(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": OLD})
    edit = prepare_edit(tmp_path, "greet", "greet.md", NEW, base_hash=find_prompt(tmp_path, "greet").hash)
    assert edited_prompt(edit).render()[0].content == "New"
    assert lint_files(settings_in(tmp_path), edit.name, edit.main, edit.files).problems == []
    assert find_prompt(tmp_path, "greet").render()[0].content == "Old"
