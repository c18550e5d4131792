from __future__ import annotations

import json
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.prompt_commands import app
from lockgate.actor import Actor
from lockgate.errors import NotFound, UserError
from lockgate.owner import acquire
from lockgate.store.channels import Move, move_channel
from lockgate.store.releases import open_releases
from lockgate.store.traces import list_traces
from lockgate.types import Message
from tests.evals.projects import PAGES, Project

ANSWER = """\
---
name: answer
description: Answers from passages.
owner: tests
variables:
  question: str
  passages: list
---
# system

{tone}

# user

{{% for passage in passages %}}{{{{ passage.title }}}}: {{{{ passage.text | fence }}}}
{{% endfor %}}
{{{{ question }}}}
"""
TALK = """\
---
name: talk
description: Shows the history.
owner: tests
variables:
  question: str
  history: list
  tone: str
---
# user

{% for message in history %}{{ message.role }}: {{ message.content }}
{% endfor %}
{{ question }} ({{ tone }})
"""


class Obedient:
    """A model that says what its system section tells it to say; whoever asks about the gate always hears the same."""

    name, digest, context_window = "obedient", "d", 2048

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def stream(self, messages: Sequence[Message], **_options: object) -> AsyncIterator[str]:
        yield "The gate refuses." if "the gate refuse?" in messages[-1].content else messages[0].content.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    made.serve_fakes(monkeypatch)
    monkeypatch.setenv("LOCKGATE_USER", "grace")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr("lockgate.models.generator.load_generator", lambda *_: Obedient())
    write_prompt(made, "Rotate a key every ninety days.")
    made.sync()
    return made


def write_prompt(project: Project, tone: str) -> None:
    folder = project.folder / "prompts" / "library"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answer.md").write_text(ANSWER.format(tone=tone))
    (folder / "talk.md").write_text(TALK)


def commit(project: Project) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(project.folder), *arguments], check=True, capture_output=True)

    if not (project.folder / ".git").exists():
        git("init", "-q")
    git("add", "prompts")
    git("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "Write prompts")


def point(project: Project, channel: str) -> str:
    release = project.build()
    with project.database() as db:
        move_channel(db, Move(channel, "docs", "promote", release.id, 0, Actor("ada")))
    return release.id


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def content(result: Any, number: int = -1) -> str:
    return str(json.loads(result.stdout)["messages"][number]["content"])


# render


def test_a_case_fills_the_prompt_with_its_question_and_real_passages(project: Project) -> None:
    release = point(project, "staging")
    result = run("render", "answer", "--case", "tiny/rotate", "--json")
    shown = content(result)
    assert "How often do I rotate a key?" in shown
    assert "Rotate a key every ninety days. Run the rotate command" in shown
    assert f"Passages of release {release[:12]}" in result.stderr


def test_passages_come_from_the_release_that_is_named(project: Project) -> None:
    old = project.build()
    project.sync({"keys.md": PAGES["keys.md"].replace("ninety", "thirty")})
    point(project, "staging")
    assert "every ninety days. Run" in content(
        run("render", "answer", "--case", "tiny/rotate", "--release", old.id, "--json")
    )
    assert "every thirty days. Run" in content(run("render", "answer", "--case", "tiny/rotate", "--json"))
    assert "every thirty days. Run" in content(
        run("render", "answer", "--case", "tiny/rotate", "--release", "staging", "--json")
    )


def test_a_prompt_without_history_gets_the_follow_up_completed(project: Project) -> None:
    point(project, "staging")
    shown = content(run("render", "answer", "--case", "tiny/follow", "--json"))
    assert "How do I rotate a key? And how often should I do that?" in shown


def test_history_is_filled_and_variables_on_top_of_the_case(project: Project) -> None:
    point(project, "staging")
    shown = content(run("render", "talk", "--case", "tiny/follow", "--var", "tone=kind", "--json"))
    assert "user: How do I rotate a key?\nassistant: Run it.\n" in shown
    assert shown.strip().endswith("And how often should I do that? (kind)")
    shown = content(
        run("render", "talk", "--case", "tiny/follow", "--var", "tone=x", "--var", "question=Mine?", "--json")
    )
    assert "Mine? (x)" in shown


def test_what_a_case_cannot_fill_is_named(project: Project) -> None:
    point(project, "staging")
    with pytest.raises(UserError, match="no value for 'tone'"):
        run("render", "talk", "--case", "tiny/follow")


def test_without_a_case_it_needs_neither_index_nor_channel(project: Project) -> None:
    with acquire(project.settings.state_dir, "another command"):
        result = run("render", "talk", "--var", "question=Why?", "--var", "tone=dry", "--var", "history=[]")
    assert result.exit_code == 0
    assert "Why? (dry)" in result.stdout


def test_without_a_channel_it_says_what_to_run(project: Project) -> None:
    with pytest.raises(NotFound, match="lockgate release promote"):
        run("render", "answer", "--case", "tiny/rotate")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("render", "answer", "--case", "tiny/rotaet"), "Did you mean: rotate"),
        (("render", "answer", "--case", "rotate"), "Write SUITE/ID"),
        (("render", "answer", "--release", "staging"), "give --case too"),
        (("render", "nothing", "--case", "tiny/rotate"), "No prompt is called 'nothing'"),
        (("diff", "answer", "HEAD..", "--limit", "2"), "give --suite too"),
        (("diff", "a", "b", "c..d", "--suite", "tiny"), "At most a name and a range"),
        (("diff", "talk", "HEAD..", "--suite", "tiny"), "does not use the prompt 'talk'"),
        (("diff", "answer", "HEAD..", "--suite", "huge"), "Suites there: safety, tiny"),
        (("diff", "answer", "v0..", "--suite", "tiny"), "'v0' is no git revision"),
    ],
)
def test_what_is_wrong_is_named(project: Project, arguments: tuple[str, ...], error: str) -> None:
    commit(project)
    write_prompt(project, "Say moon.")
    point(project, "staging")
    with pytest.raises((NotFound, UserError), match=error):
        run(*arguments)


# diff


def test_outputs_of_both_versions_stand_side_by_side(project: Project) -> None:
    commit(project)
    write_prompt(project, "Rotate a key every thirty days.")
    result = run("diff", "answer", "HEAD..", "--suite", "tiny")
    assert result.exit_code == 0
    out = " ".join(result.stdout.split())
    assert "Rotate a key every [-ninety-]{+thirty+} days." in out  # the texts
    assert "every [-ninety-] days." in out  # the outputs
    assert "every {+thirty+} days." in out
    assert "The gate refuses." not in out
    assert "2 of 4 cases changed; 2 with the same output not shown." in out
    assert "answers by quoting, which uses no answer prompt" in " ".join(result.stderr.split())
    assert "answers: 8 of 8" in result.stderr


def test_it_says_which_cases_got_better_or_worse_and_by_what(project: Project) -> None:
    commit(project)
    write_prompt(project, "Rotate a key every thirty days.")
    result = run("diff", "answer", "HEAD..", "--suite", "tiny")
    out = " ".join(result.stdout.split())
    assert "2 worse, 2 with the same scores, by token_f1, abstention_accuracy." in out
    assert "(worse)" in out
    assert re.search(r"token_f1 0\.\d+ to 0\.\d+", re.sub(r"[^\w. ]+ *", "", out))
    assert "no verdict" in result.stderr
    body = json.loads(run("diff", "HEAD..", "--suite", "tiny", "--json").stdout)["outputs"]
    assert body["metrics"] == ["token_f1", "abstention_accuracy"]
    assert body["counts"] == {"lost": 0, "worse": 2, "mixed": 0, "better": 0, "gained": 0, "answer": 0}
    kinds = {case["case"]: case["kind"] for case in body["cases"]}
    assert kinds == {"rotate": "worse", "gate": "same", "follow": "worse", "moon": "same"}
    rotate = next(case for case in body["cases"] if case["case"] == "rotate")
    assert [(each["metric"], each["old"] > each["new"]) for each in rotate["scores"]] == [("token_f1", True)]


def test_the_other_way_round_the_same_cases_got_better(project: Project) -> None:
    write_prompt(project, "Rotate a key every thirty days.")
    commit(project)
    write_prompt(project, "Rotate a key every ninety days.")
    body = json.loads(run("diff", "HEAD..", "--suite", "tiny", "--json").stdout)["outputs"]
    assert body["summary"] == "2 better, 2 with the same scores, by token_f1, abstention_accuracy."


def test_a_case_that_broke_lost_its_scores(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Obedient):
        async def stream(self, messages: Sequence[Message], **options: object) -> AsyncIterator[str]:
            if "thirty" in messages[0].content:
                raise RuntimeError("boom")
            async for token in super().stream(messages, **options):
                yield token

    monkeypatch.setattr("lockgate.models.generator.load_generator", lambda *_: Broken())
    commit(project)
    write_prompt(project, "Rotate a key every thirty days.")
    outputs = json.loads(run("diff", "HEAD..", "--suite", "tiny", "--limit", "1", "--json").stdout)["outputs"]
    assert outputs["cases"][0]["kind"] == "lost"
    assert "boom" in outputs["cases"][0]["scores"][0]["why_new"]
    assert outputs["summary"].startswith("1 score lost")


def test_json_has_every_case_and_the_two_releases(project: Project) -> None:
    commit(project)
    write_prompt(project, "Rotate a key every thirty days.")
    body = json.loads(run("diff", "HEAD..", "--suite", "tiny", "--limit", "2", "--json").stdout)
    assert [change["role"] for change in body["prompts"]] == ["answer"]
    outputs = body["outputs"]
    assert (outputs["mode"], outputs["changed"], len(outputs["cases"])) == ("generative", 1, 2)
    with project.database() as db:
        store = open_releases(project.settings, db)
        before, after = (store.manifest(outputs[side]) for side in ("before", "after"))
        assert before.prompts["answer"].hash == body["prompts"][0]["before"]
        assert after.prompts["answer"].hash == body["prompts"][0]["after"]
        assert before.model_copy(update={"prompts": after.prompts}).id == after.id
        assert store.find(after.id).provenance["body"]["builder"] == "grace (prompts diff)"
        assert {trace.origin for trace in list_traces(db)} == {"eval"}


def test_extractive_outputs_are_told_not_to_use_the_prompt(project: Project) -> None:
    commit(project)
    write_prompt(project, "Rotate a key every thirty days.")
    result = run("diff", "answer", "HEAD..", "--suite", "tiny", "--mode", "extractive", "--limit", "1")
    assert "the outputs cannot differ" in result.stderr
    assert "0 of 1 cases changed" in result.stdout


def test_a_condense_prompt_that_the_chain_does_not_use_is_refused(project: Project) -> None:
    shipped = Path(__file__).parents[2] / "prompts" / "library" / "condense.md"
    own = project.folder / "prompts" / "library" / "condense.md"
    own.write_text(shipped.read_text())
    commit(project)
    own.write_text(shipped.read_text() + "\nBe brief.\n")
    with pytest.raises(UserError, match="condense: model"):
        run("diff", "condense", "HEAD..", "--suite", "tiny")


def test_versions_that_are_the_same_ask_nothing(project: Project) -> None:
    commit(project)
    result = run("diff", "answer", "HEAD..", "--suite", "tiny", "--json")
    assert json.loads(result.stdout) == {"prompts": [], "outputs": None}
    assert "No prompt of the chain docs differs." in result.stderr
    with project.database() as db:
        assert list_traces(db) == []


@pytest.mark.parametrize(
    ("arguments", "suite", "error"),
    [
        (("answer", "HEAD.."), "nope", "Suites there: safety, tiny"),
        (("talk", "HEAD.."), "tiny", "does not use the prompt 'talk'"),
        (("answer", "HEAD..", "--chain", "gone"), "tiny", "gone"),
    ],
)
def test_arguments_are_checked_before_any_text_is_printed(
    project: Project, arguments: tuple[str, ...], suite: str, error: str
) -> None:
    commit(project)
    write_prompt(project, "Say moon.")
    result = CliRunner().invoke(app, ["diff", *arguments, "--suite", suite])
    assert isinstance(result.exception, NotFound | UserError) and error in str(result.exception)
    assert result.stdout == ""


def test_without_a_suite_it_is_the_difference_of_texts_alone(project: Project) -> None:
    commit(project)
    write_prompt(project, "Rotate a key every thirty days.")
    result = run("diff", "answer", "HEAD..", "--json")
    assert [file["after"] for file in json.loads(result.stdout)[0]["files"]] == ["answer.md"]
    assert "[-ninety-]{+thirty+}" in run("diff", "HEAD..").stdout
