"""git as a guest: what a repository's own configuration names is not run, and any file name comes through whole."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lockgate.errors import MissingExtra, Unavailable, UserError
from lockgate.git import git_state, repository, run_git

NASTY = ["with space.md", "line\nbreak.md", "tab\there.md", "žluťoučký.md", '"quoted".md', "-dash.md", "back\\slash.md"]


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def _no_configuration_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / "project").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "project" / "a.md").write_text("one\n")
    (folder / "beside.md").write_text("one\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_a_folder_outside_every_repository_has_no_state(tmp_path: Path) -> None:
    assert repository(tmp_path) is None
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "missing") is None


def test_a_repository_without_a_commit_has_no_state(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert repository(tmp_path) == tmp_path
    assert git_state(tmp_path) is None


def test_without_git_reading_goes_on_and_writing_says_what_to_install(
    repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert repository(repo) is None
    assert git_state(repo) is None
    with pytest.raises(MissingExtra, match="apt-get install git"):
        run_git(repo, "log")


def test_names_the_commit_that_is_checked_out(repo: Path) -> None:
    state = git_state(repo)
    assert state is not None
    assert state.commit == run_git(repo, "rev-parse", "HEAD").strip()
    assert len(state.commit) == 40
    assert not state.dirty


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [("project/a.md", True), ("project/new.md", True), ("beside.md", False), ("new.md", False)],
)
def test_dirty_speaks_of_the_projects_own_folder(repo: Path, changed: str, dirty: bool) -> None:
    (repo / changed).write_text("two\n")
    state = git_state(repo / "project")
    assert state is not None
    assert state.dirty is dirty


def test_finds_the_top_of_a_work_tree_whose_name_ends_in_a_blank(tmp_path: Path) -> None:
    folder = tmp_path / "trailing "
    folder.mkdir()
    git(folder, "init", "-q")
    assert repository(folder) == folder


@pytest.mark.parametrize("name", NASTY)
def test_any_file_name_comes_back_as_it_is(repo: Path, name: str) -> None:
    (repo / name).write_text("x")
    assert run_git(repo, "status", "--porcelain", "-z") == f"?? {name}\0"
    git(repo, "add", "--", name)
    assert name in run_git(repo, "ls-files", "-z").split("\0")


def test_a_refusal_is_told_in_gits_own_words(repo: Path) -> None:
    with pytest.raises(UserError, match=r"git show in .*unknown revision"):
        run_git(repo, "show", "nonsense")


@pytest.mark.parametrize("argument", ["nul\0", "half \ud83d pair"])
def test_what_no_argument_can_hold_is_refused(repo: Path, argument: str) -> None:
    with pytest.raises(UserError):
        run_git(repo, "show", argument)
    with pytest.raises(UserError):
        run_git(repo, "hash-object", "--stdin", input=argument + "\ud83d")


def test_bytes_that_are_no_text_become_replacement_characters(repo: Path) -> None:
    (repo / "raw").write_bytes(b"\xff\xfe ok")
    git(repo, "add", "raw")
    assert run_git(repo, "show", ":raw") == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} ok"


def test_variables_that_would_lead_elsewhere_are_not_passed_on(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert repository(repo) == repo


def test_git_that_hangs_is_given_up(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    with pytest.raises(Unavailable, match=r"took longer than 0.2 s"):
        run_git(repo, "log", timeout=0.2)


@pytest.fixture
def trap(tmp_path: Path) -> tuple[Path, Path]:
    """(a program, the file that it leaves behind when it is run)."""
    mark, program = tmp_path / "was-run", tmp_path / "trap.sh"
    program.write_text(f'#!/bin/sh\necho "$0 $@" >> "{mark}"\ncat 2>/dev/null\nexit 0\n')
    program.chmod(0o755)
    return program, mark


def _set_traps(repo: Path, program: Path) -> None:
    for key in (
        "core.fsmonitor",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.clean",
        "filter.evil.smudge",
        "core.pager",
        "pager.log",
        "gpg.program",
        "core.editor",
    ):
        git(repo, "config", key, str(program))
    git(repo, "config", "log.showSignature", "true")
    git(repo, "config", "commit.gpgSign", "false")
    git(repo, "config", "alias.log", f"!{program}")
    git(repo, "config", "core.hooksPath", str(program.parent))
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
        (program.parent / hook).write_bytes(program.read_bytes())
        (program.parent / hook).chmod(0o755)


@pytest.mark.parametrize(
    "command",
    [
        ("status", "--porcelain"),
        ("diff",),
        ("diff", "HEAD~1", "HEAD"),
        ("log", "-p"),
        ("show", "HEAD"),
        ("show", "HEAD:project/a.md"),
        ("blame", "--no-textconv", "HEAD", "--", "project/a.md"),
        ("worktree", "add", "-b", "new", "../tree"),
    ],
)
def test_programs_that_the_repository_names_are_not_run(
    repo: Path, trap: tuple[Path, Path], command: tuple[str, ...]
) -> None:
    program, mark = trap
    (repo / ".gitattributes").write_text("*.md diff=evil filter=evil\n")
    (repo / "project" / "a.md").write_text("two\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "second")
    _set_traps(repo, program)
    (repo / "project" / "a.md").write_text("three\n")
    run_git(repo, *command)
    assert not mark.exists(), mark.read_text()


def test_the_traps_of_the_test_above_do_spring(repo: Path, trap: tuple[Path, Path]) -> None:
    program, mark = trap
    (repo / ".gitattributes").write_text("*.md diff=evil filter=evil\n")
    _set_traps(repo, program)
    (repo / "project" / "a.md").write_text("three\n")
    git(repo, "diff")
    assert "trap.sh" in mark.read_text()


def test_the_state_of_a_trapped_repository_is_read_without_running_anything(
    repo: Path, trap: tuple[Path, Path]
) -> None:
    program, mark = trap
    (repo / ".gitattributes").write_text("*.md filter=evil\n")
    _set_traps(repo, program)
    (repo / "project" / "a.md").write_text("three\n")
    state = git_state(repo / "project")
    assert state is not None
    assert state.dirty
    assert not mark.exists(), mark.read_text()


def test_a_submodule_is_not_looked_into(repo: Path, tmp_path: Path, trap: tuple[Path, Path]) -> None:
    program, mark = trap
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "x").write_text("x")
    git(inner, "add", ".")
    git(inner, "commit", "-qm", "x")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "project/sub")
    git(repo, "commit", "-qm", "sub")
    git(repo / "project" / "sub", "config", "core.fsmonitor", str(program))
    state = git_state(repo / "project")
    assert state is not None
    assert not state.dirty
    assert not mark.exists(), mark.read_text()


def test_a_filter_that_cannot_be_switched_off_stops_the_command(repo: Path, trap: tuple[Path, Path]) -> None:
    program, mark = trap
    with (repo / ".git" / "config").open("a") as config:
        config.write(f'[filter "e=vil"]\n\tclean = {program}\n')
    (repo / ".gitattributes").write_text("*.md filter=e=vil\n")
    (repo / "project" / "a.md").write_text("three\n")
    with pytest.raises(UserError, match="cannot be switched off"):
        run_git(repo, "status")
    assert not mark.exists()
