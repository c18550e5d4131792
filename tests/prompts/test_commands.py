from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lockgate.errors import LockgateError, NotFound, UserError
from lockgate.store.channels import Rollout
from prompts.collection import SHIPPED, find_prompt, prompt_files
from prompts.commands import app
from tests.prompts.repositories import Repository, point, settings_in, write_release
from tests.prompts.texts import example_rows, prompt_text, write_library


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))
    monkeypatch.setenv("LOCKGATE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


def _run(*arguments: str) -> Result:
    """Raises what the command raises, which the root of the command line would print."""
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, LockgateError):
        raise result.exception
    return result


def _json(*arguments: str) -> Any:
    return json.loads(_run(*arguments).stdout)


def test_list_shows_each_prompt_with_its_version(tmp_path: Path) -> None:
    assert [line.split()[:2] for line in _run("list").stdout.splitlines()] == [
        [name, find_prompt(tmp_path, name).hash[:12]] for name in sorted(prompt_files(tmp_path))
    ]


def test_list_shows_the_good_prompts_beside_a_broken_one(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": prompt_text(), "bad.md": "x", "worse.md": prompt_text("other")})
    for arguments in (("list",), ("list", "--json")):
        result = _run(*arguments)
        assert result.exit_code == 1
        assert "greet" in result.stdout and "bad" not in result.stdout
        assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["not listed"] * 2
        assert "bad.md:1: " in result.stderr and "worse.md:2: " in result.stderr


def test_list_prints_json_when_asked(tmp_path: Path) -> None:
    rows = _json("list", "--json")
    assert [row["name"] for row in rows] == sorted(prompt_files(tmp_path))
    assert rows[0]["variables"] == {"question": "str", "passages": "list"}


def test_show_prints_the_whole_text_and_every_file(tmp_path: Path) -> None:
    prompt = find_prompt(tmp_path, "answer")
    assert _run("show", "answer").stdout.endswith(prompt.text)
    assert _json("show", "answer", "--json")["hash"] == prompt.hash
    files = {
        "greet/prompt.md": prompt_text(keys="variables: {question: str}\n", body="# user\n{{ question }}\n"),
        "greet/examples.jsonl": example_rows(("q", "a")),
    }
    write_library(tmp_path, files)
    assert files["greet/examples.jsonl"] in _run("show", "greet").stdout
    assert _json("show", "greet", "--json")["files"] == files


def test_what_a_prompt_says_cannot_drive_the_terminal(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": prompt_text(body="# user\nHi \x1b[31m\u202e\n")})
    for arguments in (("show", "greet"), ("render", "greet"), ("lint",), ("diff", "greet", "..")):
        try:
            output = _run(*arguments).output
        except UserError:
            continue
        assert "\x1b" not in output and "\u202e" not in output


def test_new_writes_a_prompt_that_lint_likes_and_never_writes_over_it(tmp_path: Path) -> None:
    made = _run("new", "greet", "--folder").stdout.splitlines()
    assert made == [str(tmp_path / "prompts/library/greet" / name) for name in ("prompt.md", "examples.jsonl")]
    assert _run("lint").exit_code == 0
    with pytest.raises(UserError, match="is there already"):
        _run("new", "greet")


def test_render_prints_messages_and_says_why_nothing_was_counted(tmp_path: Path) -> None:
    keys = "variables: {who: str, times: int}\n"
    write_library(tmp_path, {"greet.md": prompt_text(keys=keys, body="# user\n{{ who }} {{ times }}\n")})
    (tmp_path / "values.json").write_text('{"who": "Ada", "times": 1}')
    result = _run("render", "greet", "--vars", "values.json", "--var", "times=2")
    assert result.stdout == "--- user\nAda 2\n"
    assert "not on this machine" in result.stderr
    body = _json("render", "greet", "--var", "who=Ada", "--var", "times=2", "--json")
    assert body["messages"] == [{"role": "user", "content": "Ada 2", "tokens": None}]
    assert body["tokens"] is None and "not on this machine" in body["note"]
    with pytest.raises(UserError, match="no value for 'who'"):
        _run("render", "greet", "--var", "times=2")


@pytest.mark.models
def test_render_counts_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models_path: Path) -> None:
    monkeypatch.setenv("LOCKGATE_MODELS_DIR", str(models_path))
    write_library(tmp_path, {"greet.md": prompt_text(body="# user\none two three\n")})
    lines = _run("render", "greet").stdout.splitlines()
    assert lines == ["--- user (3 tokens)", "one two three", "--- 3 tokens by smollm2-135m-instruct"]


@pytest.mark.models
def test_render_chooses_similar_examples_with_the_real_embedder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models_path: Path
) -> None:
    monkeypatch.setenv("LOCKGATE_MODELS_DIR", str(models_path))
    keys = "variables: {question: str}\nexamples: {choose: similar, count: 1}\n"
    rows = example_rows(("What does a bucket cost?", "Nothing."), ("How do I delete a key?", "Open the key page."))
    text = prompt_text(keys=keys, body="# user\n{{ question }}\n")
    write_library(tmp_path, {"greet/prompt.md": text, "greet/examples.jsonl": rows})
    for question, answer in (("Remove a secret key", "Open the key page."), ("Price of storage", "Nothing.")):
        assert _json("render", "greet", "--var", f"question={question}", "--json")["messages"][1]["content"] == answer


def test_lint_prints_places_that_can_be_opened_and_fails_for_an_error_only(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": prompt_text(keys="variables: {a: str}\n")})
    result = _run("lint")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "prompts/library/greet.md:5:13: warning unused-variable the variable 'a' is declared"
    )
    assert "1 prompt: 0 errors, 1 warning." in result.stderr
    write_library(tmp_path, {"greet.md": prompt_text(body="# user\n{{ a }}\n"), "bad.md": "x"})
    result = _run("lint")
    assert result.exit_code == 1
    assert "2 prompts: 2 errors, 0 warnings." in result.stderr
    assert [line.split(" ")[0] for line in result.stdout.splitlines()] == [
        "prompts/library/bad.md:1:1:",
        "prompts/library/greet.md:7:4:",
    ]


def test_lint_prints_json_and_sarif_and_nothing_else_on_standard_output(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": prompt_text(body="# user\n{{ a }}\n")})
    result = _run("lint", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == _json("lint", "--format", "json")
    finding = json.loads(result.stdout)["findings"][0]
    assert finding["rule"] == "undeclared-variable"
    assert (finding["level"], finding["file"], finding["line"], finding["column"]) == (
        "error",
        "prompts/library/greet.md",
        7,
        4,
    )
    assert finding["message"] and finding["fix"]
    (one,) = _json("lint", "--format", "sarif")["runs"][0]["results"]
    assert one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "prompts/library/greet.md"
    with pytest.raises(NotFound):
        _run("lint", "gone")


@pytest.mark.parametrize("name", ["a\nb", "a\r\x1b[31mb", "a\u2028b", os.fsdecode(b"a\xffb")])
def test_a_file_name_cannot_break_a_finding_over_lines_or_the_output(tmp_path: Path, name: str) -> None:
    write_library(tmp_path, {f"{name}.md": "x", f"{name}/prompt.md": "y"})
    result = _run("lint")
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 3)
    assert all(line.startswith("prompts/library/a") for line in result.stdout.splitlines())
    assert "\x1b" not in result.output
    assert all(one["line"] == 1 and "b.md" in one["file"] + "b.md" for one in _json("lint", "--json")["findings"])
    for one in _json("lint", "--format", "sarif")["runs"][0]["results"]:
        uri = one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert uri.startswith("prompts/library/a%") and uri.isascii() and uri.isprintable()
    assert len(_run("list").stderr.splitlines()) == 1


def _history(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path)
    (tmp_path / ".gitignore").write_text(".lockgate\n")
    repository.commit("first", {"greet.md": prompt_text(body="# user\nSay one word.\n")})
    repository.commit("second", {"greet.md": prompt_text(body="# user\nSay two words.\n")})
    return repository


def test_log_lists_versions_with_their_commits_releases_and_channels(tmp_path: Path) -> None:
    _history(tmp_path)
    release = write_release(settings_in(tmp_path), "greet", {"greet.md": prompt_text(body="# user\nSay one word.\n")})
    point(settings_in(tmp_path), release.id)
    result = _run("log", "greet")
    lines = result.stdout.splitlines()
    assert [line.split()[4] for line in lines[:2]] == ["second", "first"]
    assert lines[2].strip() == f"release {release.id[:12]} of docs, production now"
    assert result.stderr == ""
    body = _json("log", "greet", "--json")
    assert body["git"] is True
    assert [version["subject"] for version in body["versions"]] == ["second", "first"]
    assert body["versions"][1]["releases"][0]["channels"] == [
        {"channel": "production", "chain": "docs", "current": True}
    ]


def test_log_without_git_says_so(tmp_path: Path) -> None:
    write_library(tmp_path, {"greet.md": prompt_text()})
    result = _run("log", "greet")
    assert "working tree" in result.stdout
    assert "There is no git history here" in result.stderr


def test_diff_marks_words_and_gives_operations(tmp_path: Path) -> None:
    _history(tmp_path)
    text = _run("diff", "greet", "HEAD~1..HEAD").stdout
    assert "Say [-one word-]{+two words+}." in text
    (one,) = _json("diff", "greet", "HEAD~1..HEAD", "--json")
    operations = one["files"][0]["operations"]
    assert [(item["op"], item["text"]) for item in operations[1:3]] == [("delete", "one word"), ("insert", "two words")]
    assert "The texts are equal." in _run("diff", "greet", "HEAD..").stdout


def test_diff_without_a_name_compares_every_prompt_that_differs(tmp_path: Path) -> None:
    repository = _history(tmp_path)
    repository.git("mv", "prompts/library/greet.md", "prompts/library/hello.md")
    repository.commit(
        "third", {"hello.md": prompt_text("hello", body="# user\nSay two words.\n"), "same.md": prompt_text("same")}
    )
    names = [(one["name"], one["before"]["label"]) for one in _json("diff", "HEAD~2..HEAD", "--json")]
    assert names == [("greet", "git HEAD~2"), ("same", "not in HEAD~2")]
    assert _json("diff", "HEAD..", "--json") == []
    assert "No prompt differs." in _run("diff", "HEAD..").stderr
    (tmp_path / "prompts/library/same.md").unlink()
    assert [one["after"]["label"] for one in _json("diff", "HEAD..", "--json")] == ["not in the files on disk"]
    release = write_release(settings_in(tmp_path), "hello", {"hello.md": prompt_text("hello")})
    assert [one["name"] for one in _json("diff", f"{release.id[:12]}..", "--json")] == ["condense", "hello"]
    with pytest.raises(NotFound, match="'gone' is no git revision"):
        _run("diff", "gone..HEAD")
    with pytest.raises(UserError, match="At most a name and a range"):
        _run("diff", "greet", "more", "HEAD..")


def test_blame_shows_the_text_that_was_served_and_who_put_it_there(tmp_path: Path) -> None:
    text = prompt_text(body="# user\nServed.\n")
    release = write_release(settings_in(tmp_path), "greet", {"greet.md": text})
    point(settings_in(tmp_path), release.id)
    now = datetime.now(UTC).isoformat()
    shown = _run("blame", "greet", "--at", now).stdout
    assert f"in release {release.id[:12]} of docs" in shown
    assert "(promote by ada): because" in shown
    assert shown.endswith(f"greet.md\n\n{text}")
    body = _json("blame", "greet", "--at", now, "--json")
    assert (body["release"], body["actor"], body["verified"], body["rollout"]) == (release.id, "ada", False, None)
    (one,) = body["prompts"]
    assert (one["role"], one["name"], one["files"], one["candidate"]) == ("answer", "greet", {"greet.md": text}, None)
    with pytest.raises(NotFound, match="was never set"):
        _run("blame", "greet", "--at", now, "--channel", "staging")


def test_blame_names_the_candidate_of_a_rollout_and_prints_its_text_where_it_differs(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    ours, theirs = (prompt_text(body=f"# user\n{word}.\n") for word in ("Ours", "Theirs"))
    old, new = (write_release(settings, "greet", {"greet.md": text}).id for text in (ours, theirs))
    point(settings, old)
    point(settings, old, action="rollout", rollout=Rollout("r", "percent", new, 25.0, "2026-03-03T00:00:00+00:00"))
    now = datetime.now(UTC).isoformat()
    shown = _run("blame", "--at", now).stdout
    assert f"25 % of the conversations got the candidate, release {new[:12]}." in shown
    assert shown.index("Ours.") < shown.index("Theirs.") < shown.index("condense.md")
    assert shown.rstrip().endswith("The candidate has the same text.")
    body = _json("blame", "--at", now, "--json")
    assert body["rollout"] == {"kind": "percent", "release": new, "share": 25.0}
    assert [(one["role"], one["candidate"] and one["candidate"]["files"]) for one in body["prompts"]] == [
        ("answer", {"greet.md": theirs}),
        ("condense", None),
    ]


def test_log_of_a_shipped_prompt_never_shows_the_git_history_of_the_installation(tmp_path: Path) -> None:
    text = (SHIPPED / "answer.md").read_text()
    pinned = write_release(
        settings_in(tmp_path), "answer", {"answer.md": text.replace("description:", "description: X")}
    )
    for has_git in (False, True):
        if has_git:
            Repository(tmp_path).commit("unrelated", {"greet.md": prompt_text()})
        body = _json("log", "answer", "--json")
        assert (body["git"], body["shipped"]) == (has_git, True)
        assert [(one["place"], one["commit"]) for one in body["versions"]] == [
            ("working tree", None),
            ("release", None),
        ]
        assert body["versions"][1]["releases"][0]["id"] == pinned.id
        assert "shipped with Lockgate" in _run("log", "answer").stdout


def test_log_of_a_name_that_a_prompt_had_shows_the_projects_own_history(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    long = "# user\n" + "A line that makes the file long enough.\n" * 20
    repository.commit("write", {"answer.md": prompt_text("answer", body=long)})
    repository.commit("edit", {"answer.md": prompt_text("answer", body=long + "More.\n")})
    for old, new in (("answer", "reply"), ("reply", "respond")):
        repository.git("mv", f"prompts/library/{old}.md", f"prompts/library/{new}.md")
        repository.commit(f"to {new}", {f"{new}.md": prompt_text(new, body=long + "More.\n")})
    result = _run("log", "answer")
    assert "note: answer was renamed to respond" in result.stderr
    body = _json("log", "answer", "--json")
    assert body["renamed_to"] == "respond"
    assert [one["subject"] for one in body["versions"]] == [None, "edit", "write"]
    assert [one["subject"] for one in _json("log", "reply", "--json")["versions"]] == ["to reply", "edit", "write"]
    assert [one["name"] for one in _json("diff", "answer", "HEAD~3..HEAD", "--json")] == ["answer"]
    (one,) = _json("diff", "answer", "HEAD~3..HEAD", "--json")
    assert [(file["before"], file["after"]) for file in one["files"]] == [("answer.md", "respond.md")]


def test_diff_takes_channels_and_follows_a_role_to_another_name(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    text = prompt_text(body="# user\nSay one word.\n")
    old = write_release(settings, "greet", {"greet.md": text})
    new = write_release(settings, "reply", {"reply.md": text.replace("greet", "reply").replace("one", "two")})
    point(settings, old.id)
    point(settings, new.id, channel="staging")
    for arguments in (("greet", "production..staging"), ("reply", "production..staging"), ("production..staging",)):
        (one,) = _json("diff", *arguments, "--json")
        assert [(file["before"], file["after"]) for file in one["files"]] == [("greet.md", "reply.md")]
        assert one["after"]["label"].startswith(f"staging, release {new.id[:12]}")
    assert "Say [-one-]{+two+} word." in _run("diff", "greet", f"{old.id[:12]}..channel:staging").stdout
    write_library(tmp_path, {"greet.md": text})
    assert "The texts are equal." in _run("diff", "greet", "production..").stdout
    with pytest.raises(NotFound, match="'canary' is no git revision, release id, channel or prompt hash"):
        _run("diff", "greet", "canary..production")
    with pytest.raises(NotFound, match="'staging' is no git revision"):
        _run("diff", "staging..", "--chain", "support")
