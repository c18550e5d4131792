from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from chains.definition import SHIPPED as CHAINS
from chains.definition import load_chain
from evals.gate import SHIPPED as GATES
from evals.gate import channels, load_gate
from evals.suite import list_suites, load_suite
from evals.targets import known_metrics
from guardrails.policy import SHIPPED as POLICIES
from guardrails.policy import load_policy
from ingestion.source import load_sources
from lockgate import atomic
from lockgate.errors import Conflict, MissingExtra, Unavailable, UserError
from lockgate.scope import check_scope, load_scope
from prompts.collection import find_prompt, prompt_files
from serving import init
from serving.init import MARKER, TEMPLATE, make_project, project_files, project_name
from serving.init_commands import init as command

GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="needs git: apt-get install git")

app = typer.Typer()
app.command("init")(command)

FILES = {
    ".gitignore",
    "Makefile",
    "README.md",
    "chains/definitions/docs.yaml",
    "docs/welcome.md",
    "evals/gates/production.yaml",
    "evals/gates/staging.yaml",
    "evals/suites/starter/cases.jsonl",
    "evals/suites/starter/suite.yaml",
    "guardrails/policies/default.yaml",
    "ingestion/sources/docs.yaml",
    "prompts/library/answer.md",
    "prompts/library/condense.md",
    "scope.yaml",
}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def files_of(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != ".git"
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "bot", git=False).path


def test_a_new_project_holds_every_kind_of_file(project: Path) -> None:
    assert files_of(project) == FILES
    assert files_of(project.parent) == {f"bot/{name}" for name in FILES}


def test_everything_that_it_writes_loads(project: Path) -> None:
    (source,) = load_sources(project)
    assert source.root(project) == project / "docs"
    chain = load_chain(project, "docs")
    assert chain.suite == "starter"
    assert Path(load_policy(project, chain.policy).where).is_relative_to(project)
    for prompt in (chain.prompts.answer, chain.prompts.condense):
        assert prompt_files(project)[prompt].path.is_relative_to(project)
        assert find_prompt(project, prompt).name == prompt
    assert channels(project) == ["staging", "production"]
    assert [rule.rule for rule in load_gate(project, "staging").rules] == ["verify"]
    assert load_gate(project, "production").path.is_relative_to(project)
    scope = load_scope(project)
    assert scope is not None
    assert {target.kind for target in scope.targets} == {"quality", "latency", "cost", "business"}
    assert check_scope(scope, known_metrics()) == []


def test_the_starter_suite_has_five_cases_about_the_welcome_page(project: Path) -> None:
    assert list_suites(project) == ["safety", "starter"]
    suite = load_suite(project, "starter")
    assert sum(case.answerable for case in suite.cases) == 4
    assert len(suite.cases) == 5
    page = (project / "docs" / "welcome.md").read_text()
    for case in suite.cases:
        words = [word.strip(".,`") for word in case.reference.split() if len(word) > 3]
        assert [word for word in words if word not in page] == []
    assert {case.split for case in suite.cases} == {"dev", "test"}


def test_what_ships_is_copied_and_the_chain_differs_in_its_suite_only(project: Path) -> None:
    assert (project / "guardrails/policies/default.yaml").read_bytes() == (POLICIES / "default.yaml").read_bytes()
    shipped = (CHAINS / "docs.yaml").read_text()
    assert (project / "chains/definitions/docs.yaml").read_text() == shipped.replace("docs-smoke", "starter")


def test_the_copied_gate_asks_for_the_projects_own_suite(project: Path) -> None:
    gate = (project / "evals/gates/production.yaml").read_text()
    assert gate == (GATES / "production.yaml").read_text().replace("suite: docs-smoke", "suite: starter")
    assert "suite: starter" in gate


def test_the_state_is_kept_out_of_git(project: Path) -> None:
    assert ".lockgate/" in (project / ".gitignore").read_text().splitlines()


def test_the_readme_has_the_name_and_every_top_folder(tmp_path: Path) -> None:
    made = make_project(tmp_path / "Rules & <b>Forms [x](y)", git=False)
    text = (made.path / "README.md").read_text()
    assert text.split("\n")[0] == "# Rules b Forms x y"
    assert "{{" not in text
    for name in FILES:
        top = name.split("/")[0]
        assert f"`{top}" in text or top in (".gitignore", "Makefile", "README.md")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("bot", "bot"),
        ("My docs-2", "My docs-2"),
        ("Prüfung 文書", "Prüfung 文書"),
        ("<script>alert(1)", "script alert 1"),
        ("# a\nb", "a b"),
        ("\x1b[31m\u202ered", "31mred"),
        ("***", "project"),
        ("...", "project"),
        ("{{name}}", "name"),
        ("a" * 200, "a" * 80),
        ("\udcff\udcfe", "project"),
        ("`rm -rf`", "rm -rf"),
        ("", "project"),
    ],
)
def test_the_name_is_made_safe(folder: str, name: str) -> None:
    assert project_name(Path("/tmp") / folder if folder else Path("/")) == name


def test_the_name_of_the_folder_one_stands_in_is_its_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_project(Path(), git=False).name == tmp_path.name
    assert files_of(tmp_path) == FILES


# DIR


def test_makes_the_folders_above_and_goes_through_links(tmp_path: Path) -> None:
    make_project(tmp_path / "a" / "b" / "c", git=False)
    assert files_of(tmp_path / "a" / "b" / "c") == FILES
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert make_project(tmp_path / "link", git=False).path == tmp_path / "real"
    assert files_of(tmp_path / "real") == FILES


def test_an_empty_folder_stays_the_same_folder(tmp_path: Path) -> None:
    folder = tmp_path / "bot"
    folder.mkdir(mode=0o700)
    before = folder.stat()
    make_project(folder, git=False)
    assert (folder.stat().st_ino, folder.stat().st_mode) == (before.st_ino, before.st_mode)
    assert files_of(folder) == FILES


@pytest.mark.parametrize("name", ["notes.txt", ".env", "README.md", ".hidden", "docs"])
def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "docs" else (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="In the way: ") as caught:
        make_project(tmp_path, git=False)
    assert name in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_in_the_way_is_listed_up_to_a_point_and_cannot_drive_the_terminal(tmp_path: Path) -> None:
    for number in range(14):
        (tmp_path / f"f{number:02}\x1b[2J").touch()
    with pytest.raises(UserError) as caught:
        make_project(tmp_path, git=False)
    assert "f00[2J, f01[2J" in caught.value.message
    assert "and 4 more" in caught.value.message
    assert "\x1b" not in caught.value.message


def test_a_finished_project_is_not_made_again(project: Path) -> None:
    (project / "scope.yaml").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        make_project(project, git=False)
    assert (project / "scope.yaml").read_text() == "mine"


def test_a_file_or_what_lies_under_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        make_project(tmp_path / "file", git=False)
    with pytest.raises(UserError, match="is a file"):
        make_project(tmp_path / "file" / "bot", git=False)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "~nobody-of-that-name/bot"])
def test_what_cannot_be_a_folder_is_an_error_of_ours(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a folder"):
        make_project(Path(name) if name[0] == "~" else tmp_path / name, git=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "cannot write here")]
)
def test_a_disk_that_takes_no_more_is_told_and_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool, number: int, message: str
) -> None:
    target = tmp_path / "bot"
    if empty:
        target.mkdir()
    written: list[Path] = []

    def full(path: Path, data: bytes, **_: object) -> None:
        if len(written) == 4:
            raise OSError(number, os.strerror(number))
        written.append(path)
        atomic.write_atomic(path, data)

    monkeypatch.setattr(init, "write_atomic", full)
    with pytest.raises(Unavailable, match=message):
        make_project(target, git=False)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == (["bot"] if empty else [])
    make_project(target, git=False)
    assert files_of(target) == FILES


def test_a_folder_made_meanwhile_by_somebody_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bot"

    def late(path: Path, data: bytes, **_: object) -> None:
        atomic.write_atomic(path, data)
        target.mkdir(exist_ok=True)
        (target / "theirs").touch()

    monkeypatch.setattr(init, "write_atomic", late)
    with pytest.raises(Conflict, match="somebody else"):
        make_project(target, git=False)
    assert [path.name for path in tmp_path.iterdir()] == ["bot"]
    assert files_of(target) == {"theirs"}


# Being cut off

SLOW = """
import sys, time
from pathlib import Path
from serving import init
write = init.write_atomic
def slow(path, data):
    write(path, data)
    print(path, flush=True)
    time.sleep(0.05)
init.write_atomic = slow
init.make_project(Path(sys.argv[1]), git=False)
print("done", flush=True)
"""


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("after", [1, 6, 12])
def test_a_killed_run_leaves_no_half_project_and_a_second_one_finishes_it(
    tmp_path: Path, empty: bool, after: int
) -> None:
    target = tmp_path / "bot"
    if empty:
        target.mkdir()
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(after):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    if empty:
        assert (target / MARKER).is_file()
        contents = project_files("bot")
        for name in files_of(target) - {MARKER}:
            assert name.endswith(".tmp") or (target / name).read_bytes() == contents[name]
    else:
        assert not target.exists()
    make_project(target, git=False)
    assert files_of(target) == FILES


def cut_off(folder: Path, *names: str) -> None:
    """A folder as a killed run leaves it."""
    folder.mkdir(exist_ok=True)
    (folder / MARKER).touch()
    contents = project_files(project_name(folder))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents[name])


def test_the_halves_of_files_are_cleared_away(tmp_path: Path) -> None:
    cut_off(tmp_path, ".gitignore", "chains/definitions/docs.yaml")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / ".welcome.md.abcd1234.tmp").write_text("# Wel")
    (tmp_path / "..gitignore.abcd_234.tmp").write_text("")
    make_project(tmp_path, git=False)
    assert files_of(tmp_path) == FILES


@pytest.mark.parametrize(
    "name", ["notes.txt", "docs/welcome.md", "docs/mine.md", ".git.abcd1234.tmp", "docs/.mine.md.abcd1234.tmp"]
)
def test_what_somebody_put_there_meanwhile_is_not_touched(tmp_path: Path, name: str) -> None:
    cut_off(tmp_path, ".gitignore")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="In the way: ") as caught:
        make_project(tmp_path, git=False)
    assert name in caught.value.message
    assert (tmp_path / name).read_text() == "mine"
    assert files_of(tmp_path) == {MARKER, ".gitignore", name}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    cut_off(tmp_path / "bot")
    (tmp_path / "bot" / "docs").symlink_to(outside)
    with pytest.raises(UserError, match="In the way: docs"):
        make_project(tmp_path / "bot", git=False)
    assert list(outside.iterdir()) == []


def test_a_link_to_a_file_that_says_the_same_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(project_files("bot")[".gitignore"])
    cut_off(tmp_path / "bot")
    (tmp_path / "bot" / ".gitignore").symlink_to(tmp_path / "theirs")
    with pytest.raises(UserError, match=r"In the way: \.gitignore"):
        make_project(tmp_path / "bot", git=False)


# git


@needs_git
def test_makes_a_repository_without_a_commit(tmp_path: Path) -> None:
    made = make_project(tmp_path / "bot")
    assert made.git == "made"
    assert (made.path / ".git").is_dir()
    log = subprocess.run(["git", "-C", made.path, "log"], capture_output=True, check=False)
    assert log.returncode != 0


@needs_git
def test_inside_a_repository_none_is_made(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for wanted in (None, True):
        made = make_project(tmp_path / f"bot-{wanted}", git=wanted)
        assert made.git == "inside"
        assert not (made.path / ".git").exists()


@needs_git
def test_a_fresh_empty_repository_is_an_empty_folder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    head = (tmp_path / ".git" / "HEAD").stat().st_mtime_ns
    assert make_project(tmp_path).git == "inside"
    assert (tmp_path / ".git" / "HEAD").stat().st_mtime_ns == head
    assert files_of(tmp_path) == FILES


@needs_git
def test_can_be_told_to_make_none(tmp_path: Path) -> None:
    made = make_project(tmp_path / "bot", git=False)
    assert (made.git, (made.path / ".git").exists()) == ("off", False)


def test_without_git_a_project_is_made_unless_a_repository_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(MissingExtra):
        make_project(tmp_path / "bot", git=True)
    assert list(tmp_path.iterdir()) == []
    made = make_project(tmp_path / "bot")
    assert (made.git, made.git_note) == (
        "missing",
        "git is not installed. Install it, for example: apt-get install git",
    )
    assert files_of(made.path) == FILES


def test_a_git_that_refuses_costs_the_repository_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").write_text("#!/bin/sh\necho 'fatal: no' >&2\nexit 128\n")
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    made = make_project(tmp_path / "bot")
    assert made.git == "failed"
    assert "fatal: no" in made.git_note
    with pytest.raises(UserError, match="fatal: no"):
        make_project(tmp_path / "other", git=True)
    assert not (tmp_path / "other").exists()


# The command


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    result = run(str(tmp_path / "my bot"), "--no-git")
    assert result.exit_code == 0
    assert f"cd '{tmp_path / 'my bot'}'" in result.stdout
    for line in ("lockgate up", "lockgate evals run starter", "14 files"):
        assert line in result.stdout


def test_the_command_prints_json(tmp_path: Path) -> None:
    body = json.loads(run(str(tmp_path / "bot"), "--no-git", "--json").stdout)
    assert set(body.pop("files")) == FILES
    assert body == {"name": "bot", "path": str(tmp_path / "bot"), "git": "off", "git_note": "left out, as asked"}


def test_the_template_holds_nothing_but_what_is_written() -> None:
    made = {path.relative_to(TEMPLATE).as_posix() for path in TEMPLATE.rglob("*") if path.is_file()}
    assert made - {"gitignore.txt"} <= FILES
