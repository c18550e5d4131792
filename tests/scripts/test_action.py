"""The GitHub Action, run here: its steps' own commands, a repository, a loopback API, and texts that mean harm.

What was never done is running it on GitHub itself.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lockgate.signing import sign
from tests.scripts.github_api import Api, open_api
from tests.scripts.runner import ROOT, Outcome, Runner, load_action, write_command

HOSTILE_BRANCH = 'x";$(touch${IFS}pwned);`touch${IFS}pwned`;"'
HOSTILE_TEXT = (
    "$(touch pwned) `touch pwned` ${{ github.token }} '; touch pwned; ' \n::error::boom\n::add-mask::x\n"
    "##[error]boom\n```\n<img src=http://evil.example/x> @everyone <!-- lockgate-action -->"
)

STUB = """\
import hashlib, json, os, sys
from pathlib import Path

plan = json.loads(Path(os.environ["STUB_PLAN"]).read_text())
project, arguments = sys.argv[2], sys.argv[3:]
with open(os.environ["STUB_LOG"], "a") as log:
    log.write(json.dumps({"project": project, "arguments": arguments, "env": sorted(os.environ)}) + "\\n")
words = " ".join(arguments)
for start, (code, text) in plan.get("fail", {}).items():
    if words.startswith(start) and plan.get("where", "") in project + words:
        sys.exit(print(text, file=sys.stderr) or code)
tree = "base" if "/lockgate/base" in project else "head"
release = hashlib.sha256((plan.get("same") or tree).encode()).hexdigest()
if words.startswith("release build"):
    print(json.dumps({"id": release}))
elif words.startswith("evals run"):
    print(plan.get("text", ""), file=sys.stderr)
elif words.startswith("evals evidence list"):
    print(json.dumps([] if plan.get("bare") else [{"id": hashlib.sha256(words.encode()).hexdigest()}]))
elif words.startswith("evals evidence key"):
    print("A" * 43 + "=")
elif words.startswith("evals evidence import"):
    foreign = plan.get("foreign") or hashlib.sha256(b"base").hexdigest()
    print(json.dumps([{"suite": "docs-smoke", "release": foreign}]))
elif words.startswith(("evals evidence export", "release export", "evals report")):
    target = arguments[arguments.index("--out") + 1] if "--out" in arguments else arguments[3]
    Path(target).write_text(plan.get("report", "### table"))
elif words.startswith("evals gate"):
    check = {"verdict": plan["verdict"], "reason": plan.get("text", "why"), "resolve": "34 more cases."}
    rule = {"verdict": plan["verdict"], "rule": "suite", "reason": "All of it.", "details": {"checks": [check]}}
    print(json.dumps({"verdict": plan["verdict"], "rules": [rule]}))
    sys.exit({"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[plan["verdict"]])
elif words == "version":
    print("lockgate 0")
"""


@dataclass
class Bench:
    runner: Runner
    api: Api
    repository: Path
    base: str

    def plan(self, **keys: Any) -> None:
        (self.runner.home / "plan.json").write_text(json.dumps({"verdict": "PASS", **keys}))

    def run(self, **inputs: str) -> Outcome:
        (self.runner.home / "calls").write_text("")
        inputs = {"lockgate": "installed", "token": "s3cret", **inputs}
        return self.runner.run(self.event(), **inputs)

    def event(self) -> dict[str, Any]:
        return {"pull_request": {"number": 7, "title": HOSTILE_TEXT, "base": {"sha": self.base, "ref": "main"}}}

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.runner.home / "calls").read_text().splitlines()]

    def called(self, start: str) -> list[list[str]]:
        return [each["arguments"] for each in self.calls if " ".join(each["arguments"]).startswith(start)]

    def nothing_ran(self) -> bool:
        return not [path for path in self.runner.home.rglob("pwned*") if "refs" not in path.parts]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", HOSTILE_TEXT)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    repository = tmp_path / "repository"
    suite = repository / "evals" / "suites" / "docs-smoke"
    suite.mkdir(parents=True)
    (suite / "suite.yaml").write_text("name: docs-smoke\n")
    (suite / "cases.jsonl").write_text(json.dumps({"id": "a", "question": HOSTILE_TEXT}) + "\n")
    (repository / "docs").mkdir()
    (repository / "docs" / "a.md").write_text("# A\n")
    git(repository, "init", "-q", "-b", "main")
    base = commit(repository)
    git(repository, "checkout", "-q", "-b", HOSTILE_BRANCH)
    (repository / "docs" / "b.md").write_text("# B\n")
    commit(repository)
    write_command(tmp_path / "bin", STUB, "-IS")
    with open_api() as api:
        variables = {
            "GITHUB_API_URL": api.url,
            "GITHUB_HEAD_REF": HOSTILE_BRANCH,
            "GITHUB_REF": f"refs/heads/{HOSTILE_BRANCH}",
            "GITHUB_REF_NAME": HOSTILE_BRANCH,
            "STUB_PLAN": str(tmp_path / "plan.json"),
            "STUB_LOG": str(tmp_path / "calls"),
        }
        found = Bench(Runner(repository, tmp_path, tmp_path / "bin", variables), api, repository, base)
        found.plan()
        yield found


# What action.yml is

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "description", "runs"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "description": {"type": "string"},
        "author": {"type": "string"},
        "branding": {"type": "object"},
        "inputs": {
            "type": "object",
            "propertyNames": {"pattern": "^[_a-zA-Z][a-zA-Z0-9_-]*$"},
            "additionalProperties": {
                "type": "object",
                "required": ["description"],
                "additionalProperties": False,
                "properties": {
                    "description": {"type": "string"},
                    "required": {"type": "boolean"},
                    "default": {"type": "string"},
                    "deprecationMessage": {"type": "string"},
                },
            },
        },
        "outputs": {
            "type": "object",
            "propertyNames": {"pattern": "^[_a-zA-Z][a-zA-Z0-9_-]*$"},
            "additionalProperties": {
                "type": "object",
                "required": ["description", "value"],
                "additionalProperties": False,
                "properties": {"description": {"type": "string"}, "value": {"type": "string"}},
            },
        },
        "runs": {
            "type": "object",
            "required": ["using", "steps"],
            "additionalProperties": False,
            "properties": {
                "using": {"const": "composite"},
                "steps": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "id": {"type": "string", "pattern": "^[_a-zA-Z][a-zA-Z0-9_-]*$"},
                            "name": {"type": "string"},
                            "if": {"type": "string"},
                            "run": {"type": "string"},
                            "shell": {"type": "string"},
                            "env": {"type": "object", "additionalProperties": {"type": "string"}},
                            "working-directory": {"type": "string"},
                            "continue-on-error": {"type": "boolean"},
                            "uses": {"type": "string", "pattern": "^[a-z0-9-]+(/[a-z0-9-]+)+@[0-9a-f]{40}$"},
                            "with": {"type": "object", "additionalProperties": {"type": "string"}},
                        },
                        "oneOf": [
                            {"required": ["run", "shell"], "not": {"required": ["uses"]}},
                            {"required": ["uses"], "not": {"anyOf": [{"required": ["run"]}, {"required": ["shell"]}]}},
                        ],
                    },
                },
            },
        },
    },
}
"""A composite action, after GitHub's page "Metadata syntax for GitHub Actions"; ``uses`` is a full commit."""


def test_the_action_file_is_a_composite_action() -> None:
    action = load_action()
    jsonschema.validate(action, SCHEMA)
    for broken in (
        {**action, "inputs": {"a b": {"description": "x"}}},
        {**action, "runs": {"using": "composite", "steps": [{"run": "true"}]}},
        {**action, "runs": {"using": "composite", "steps": [{"uses": "actions/cache@v4"}]}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, SCHEMA)


def test_no_expression_stands_in_the_text_of_a_shell() -> None:
    steps = load_action()["runs"]["steps"]
    shells = [step["run"] for step in steps if "run" in step]
    assert len(shells) == 5
    assert [text for text in shells if "${{" in text] == []


def test_every_input_is_used_and_every_expression_means_something() -> None:
    action = load_action()
    text = json.dumps(action["runs"]) + json.dumps(action["outputs"])
    used = set(re.findall(r"inputs\.([a-z-]+)", text))
    assert used == set(action["inputs"])
    ids = {step["id"] for step in action["runs"]["steps"] if "id" in step}
    assert set(re.findall(r"steps\.([a-z-]+)\.outputs", text)) <= ids
    script = (ROOT / "scripts" / "action.py").read_text()
    for name in re.findall(r'"(INPUT_[A-Z_]+)":', text):
        assert f'"{name.removeprefix("INPUT_")}"' in script or f'"{name}"' in script, name


def test_an_input_that_a_step_reads_is_given_to_that_step() -> None:
    """A step without it would silently take the default."""
    steps = {step["id"]: step.get("env", {}) for step in load_action()["runs"]["steps"] if "run" in step}
    for name in ("PROJECT", "SUITES", "CHANNEL", "CHAIN", "DOCS"):
        assert f"INPUT_{name}" in steps["prepare"]
        assert f"INPUT_{name}" in steps["measure"]
    assert {"INPUT_PROJECT", "INPUT_CHANNEL", "INPUT_TOKEN"} <= steps["comment"].keys()
    assert not {"INPUT_TOKEN", "INPUT_SIGNING_KEY"} & steps["measure"].keys()


# Verdicts and exit codes


@pytest.mark.parametrize(("verdict", "code"), [("PASS", 0), ("FAIL", 1), ("INCONCLUSIVE", 3)])
def test_the_exit_code_is_the_gate_s_after_comment_and_upload(bench: Bench, verdict: str, code: int) -> None:
    bench.plan(verdict=verdict)
    done = bench.run()
    assert (done.code, done.outputs["verdict"], done.outputs["exit-code"]) == (code, verdict, str(code))
    (comment,) = bench.api.comments
    assert f"## Lockgate: {verdict}" in comment["body"]
    assert "### table" in comment["body"]
    assert comment["body"] == bench.runner.summary
    names = {path.name for path in bench.runner.artifacts.iterdir()}
    assert {"evidence.tar", "verdict.json", "gate.json", "docs-smoke.html", "docs-smoke.xml", "docs-smoke.md"} <= names
    assert done.ran[-3:] == ["comment", "upload", "verdict"]
    (gate,) = bench.called("evals gate")
    assert gate == [
        "evals", "gate", done.outputs["release"], "production", "--json", "--against", done.outputs["base-release"]
    ]  # fmt: skip
    assert done.outputs["release"] != done.outputs["base-release"]
    # Both are measured by the suite of the head.
    heads = {each["project"] for each in bench.calls if each["arguments"][:2] == ["evals", "run"]}
    assert heads == {str(bench.repository)}
    assert all("--tier offline" in " ".join(run) for run in bench.called("evals run"))


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"fail": {"evals run": [1, "error: the suite is broken"]}, "bare": True}, "the suite is broken"),
        ({"bare": True}, "There is no evidence of suite docs-smoke"),
        ({"fail": {"release build": [1, "error: no index"]}, "where": "repository"}, "no index"),
        ({"fail": {"ingestion sync": [1, ""]}}, "cannot be indexed"),
        ({"fail": {"evals gate": [1, "error: no such gate"]}}, "The gate was not asked: error: no such gate"),
        ({"fail": {"evals gate": [0, ""]}}, "The gate was not asked"),
        ({"fail": {"evals evidence export": [1, "error: gone"]}}, "gone"),
        ({"fail": {"models pull": [1, "error: no network"]}}, "The models cannot be fetched: error: no network"),
    ],
)
def test_whatever_breaks_is_inconclusive_and_told(bench: Bench, plan: dict[str, Any], words: str) -> None:
    bench.plan(verdict="PASS", **plan)
    done = bench.run()
    assert (done.code, done.outputs["verdict"]) == (3, "INCONCLUSIVE")
    assert words in bench.api.comments[0]["body"]


def test_a_base_that_cannot_be_measured_is_never_a_pass(bench: Bench) -> None:
    bench.plan(verdict="PASS", fail={"release build": [1, "error: no chain"]}, where="/lockgate/base")
    done = bench.run()
    assert (done.code, done.outputs["verdict"], done.outputs["base-release"]) == (3, "INCONCLUSIVE", "")
    assert "The base was not measured: The base cannot be built: error: no chain" in bench.api.comments[0]["body"]
    bench.plan(verdict="FAIL", fail={"release build": [1, "error: no chain"]}, where="/lockgate/base")
    assert bench.run().code == 1


def test_a_run_that_scored_nothing_goes_to_the_gate_all_the_same(bench: Bench) -> None:
    bench.plan(verdict="FAIL", fail={"evals run": [1, "Nothing could be scored."]})
    assert bench.run().code == 1


def test_a_gate_that_says_one_thing_and_exits_with_another_is_inconclusive(bench: Bench) -> None:
    bench.plan(verdict="PASS")
    write_command(bench.runner.path, STUB.replace('"PASS": 0', '"PASS": 1'), "-IS")
    assert bench.run().code == 3


def test_without_a_base_the_release_is_judged_alone(bench: Bench) -> None:
    done = bench.run(base_ref="none")
    assert done.code == 0
    assert "compared with nothing" in bench.api.comments[0]["body"]
    assert "--against" not in bench.called("evals gate")[0]


def test_a_head_that_is_the_base_is_told_to_be(bench: Bench) -> None:
    bench.plan(same="one")
    assert bench.run().code == 0
    assert "They are the same." in bench.api.comments[0]["body"]
    assert all("--against" not in call for call in bench.called("evals report"))


def test_a_pull_request_that_changes_what_judges_it_is_told_to(bench: Bench) -> None:
    bench.run()
    assert "changes what judges it" not in bench.api.comments[0]["body"]
    evals = bench.repository / "evals"
    (evals / "gates").mkdir()
    (evals / "gates" / "x\n```\n@everyone \u202e.yaml").write_text("a: 1\n")
    (evals / "trusted-keys.yaml").symlink_to("/dev/zero")
    (evals / "suites" / "docs-smoke" / "cases.jsonl").write_text("{}\n")
    (evals / "suites" / "docs-smoke" / "more").symlink_to("..")
    assert bench.run().code == 0
    (line,) = [line for line in bench.api.comments[0]["body"].splitlines() if "changes what judges it" in line]
    for name in (r"gates/x\n```\n@everyone \u202e.yaml", "trusted-keys.yaml", "cases.jsonl", "docs-smoke/more"):
        assert name in line
    assert "suite.yaml" not in line


def test_a_crash_before_there_is_a_verdict_is_inconclusive(bench: Bench) -> None:
    done = bench.run(project="../elsewhere")
    assert done.code == 3
    assert "leads out of the repository" in done.log
    assert "Nothing was measured" in bench.runner.summary


def test_an_install_that_fails_does_not_tell_what_an_earlier_use_found(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "lockgate" / "out"
    out.mkdir(parents=True)
    (out / "comment.md").write_text("PASS of another use")
    environment = {"PATH": "/usr/bin", "RUNNER_TEMP": str(tmp_path), "INPUT_LOCKGATE": "-r x"}
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "told")
    for step, code in (("install", 3), ("comment", 0), ("verdict", 3)):
        command = [sys.executable, str(ROOT / "scripts" / "action.py"), step]
        assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == code
    assert "Nothing was measured" in (tmp_path / "told").read_text()


# What others write


def test_texts_that_mean_harm_stay_texts(bench: Bench) -> None:
    bench.plan(verdict="FAIL", text=HOSTILE_TEXT)
    done = bench.run()
    assert done.code == 1
    assert bench.nothing_ran()
    for line in done.log.splitlines():
        assert line.startswith("| "), line
        assert "##[" not in line
    body = bench.api.comments[0]["body"]
    fence = re.search(r"^(`{4,})text\n(.*?)\n\1$", body, re.DOTALL | re.MULTILINE)
    assert fence
    assert "@everyone" in fence[2]
    assert "@everyone" not in body.replace(fence[0], "")
    assert "<img" not in body.replace(fence[0], "")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"suites": "../x"}, "is not the name of a suite"),
        ({"suites": "$(touch pwned)"}, "is not the name of a suite"),
        ({"suites": "--help"}, "is not the name of a suite"),
        ({"docs": "../../etc"}, "leads out of the repository"),
        ({"docs": "/etc"}, "leads out of the repository"),
        ({"docs": "nowhere"}, "has no folder nowhere"),
        ({"base_ref": "--upload-pack=touch pwned"}, "is not the name of a branch"),
        ({"base_ref": "main:refs/heads/evil"}, "is not the name of a branch"),
        ({"base_ref": "$(touch${IFS}pwned)"}, "cannot be fetched from origin"),
        ({"lockgate": "--index-url=http://evil.example"}, "is an option of pip"),
    ],
)
def test_inputs_are_checked(bench: Bench, inputs: dict[str, str], words: str) -> None:
    done = bench.run(**inputs)
    assert done.code == 3
    assert words in done.log + bench.runner.summary
    assert bench.nothing_ran()


def test_a_hostile_branch_can_be_the_base(bench: Bench) -> None:
    done = bench.run(base_ref=HOSTILE_BRANCH)
    assert done.code == 0
    assert bench.nothing_ran()


def test_a_link_that_leads_out_of_the_repository_is_not_indexed(bench: Bench) -> None:
    (bench.repository / "link").symlink_to("/etc")
    assert bench.run(docs="link").code == 3


def test_no_secret_reaches_what_reads_the_pull_request(bench: Bench, tmp_path: Path) -> None:
    sign(tmp_path / "elsewhere", b"")
    key = (tmp_path / "elsewhere" / "keys" / "signing.pem").read_text()
    done = bench.run(signing_key=key)
    assert done.code == 0
    for call in bench.calls:
        assert not {"INPUT_TOKEN", "INPUT_SIGNING_KEY", "GITHUB_TOKEN"} & set(call["env"])
    everything = done.log + bench.runner.summary + json.dumps(bench.api.comments)
    kept = [
        path for folder in (bench.runner.artifacts, bench.runner.caches) for path in folder.rglob("*") if path.is_file()
    ]
    everything += "".join(path.read_text(errors="replace") for path in kept)
    assert "s3cret" not in everything
    assert key.splitlines()[1] not in everything
    state = bench.runner.home / "temp" / "lockgate" / "state" / "keys"
    assert (state / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert sign(state.parent, b"").key == sign(tmp_path / "elsewhere", b"").key


# The comment


def test_the_own_comment_is_updated(bench: Bench) -> None:
    for number in range(120):
        bench.api.add(f"talk {number}", "somebody")
    bench.run()
    bench.plan(verdict="FAIL")
    bench.run()
    assert len(bench.api.comments) == 121
    assert "## Lockgate: FAIL" in bench.api.comments[-1]["body"]
    bench.run(channel="staging")
    assert len(bench.api.comments) == 122


def test_a_comment_with_the_marker_that_somebody_else_wrote_is_left_alone(bench: Bench) -> None:
    bench.run()
    marked = bench.api.comments[0]["body"]
    bench.api.comments.clear()
    bench.api.add(marked, "mallory")
    bench.api.add(f"> {marked}")
    bench.api.add(None)
    bench.run()
    assert len(bench.api.comments) == 4
    assert bench.api.comments[0]["body"] == marked


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_token_that_may_only_read_leaves_the_table_in_the_summary(bench: Bench, status: int) -> None:
    """As that of a pull request from a fork."""
    bench.api.writes = status
    bench.plan(verdict="FAIL")
    done = bench.run()
    assert done.code == 1
    assert f"status {status}" in done.log
    assert "### table" in bench.runner.summary


def test_without_a_token_or_a_pull_request_nobody_is_asked(bench: Bench) -> None:
    assert bench.run(token="").code == 0
    assert bench.run(comment="false").code == 0
    assert bench.runner.run({"ref": "refs/heads/main"}, lockgate="installed", token="s3cret").code == 0
    assert bench.runner.run({"pull_request": "7"}, lockgate="installed", token="s3cret").code == 0
    assert bench.api.seen == []
    assert bench.runner.summary.count("### table") == 4


def test_the_token_follows_no_redirect_and_goes_over_no_plain_wire(bench: Bench) -> None:
    with open_api() as elsewhere:
        bench.api.redirect = f"{elsewhere.url}/repos/team/docs/issues/7/comments?page=1"
        done = bench.run()
        assert elsewhere.seen == []
    assert done.code == 0
    bench.runner.variables = {**bench.runner.variables, "GITHUB_API_URL": "http://api.example.com"}
    assert "is not https" in bench.run().log


def test_an_api_that_is_away_does_not_change_the_verdict(bench: Bench) -> None:
    bench.runner.variables = {**bench.runner.variables, "GITHUB_API_URL": "http://127.0.0.1:1"}
    bench.plan(verdict="INCONCLUSIVE")
    assert bench.run().code == 3


def test_a_comment_that_is_too_long_leaves_out_whole_tables(bench: Bench) -> None:
    bench.plan(report="x" * 64_500)
    assert bench.run().code == 0
    body = bench.api.comments[0]["body"]
    assert len(body) < 2_000
    assert "Too long for a comment, see the artifact: `docs-smoke`." in body


# The cache


def test_the_base_is_measured_once_and_comes_from_the_cache_then(bench: Bench) -> None:
    first = bench.run()
    assert "actions/cache/save" in first.ran
    assert len(bench.called("evals run")) == 2
    (kept,) = bench.runner.caches.iterdir()
    assert {path.name for path in kept.iterdir()} == {"release", "release.tar", "evidence.tar", "key"}
    second = bench.run()
    assert second.outputs["base-release"] == first.outputs["base-release"]
    assert "actions/cache/save" not in second.ran
    assert [call[4] for call in bench.called("evals run")] == [second.outputs["release"]]
    assert len(bench.called("evals evidence import")) == 1


@pytest.mark.parametrize("change", ["suite", "base", "channel", "off", "key"])
def test_whatever_the_measurement_depends_on_is_in_the_cache_s_name(bench: Bench, change: str, tmp_path: Path) -> None:
    bench.run()
    inputs = {}
    if change == "suite":
        (bench.repository / "evals/suites/docs-smoke/cases.jsonl").write_text("{}\n")
    elif change == "base":
        bench.base = commit_on_main(bench)
    elif change == "key":
        sign(tmp_path / "elsewhere", b"")
        inputs = {"signing_key": (tmp_path / "elsewhere" / "keys" / "signing.pem").read_text()}
    else:
        inputs = {"channel": "staging"} if change == "channel" else {"cache": "false"}
    bench.run(**inputs)
    assert len(bench.called("evals run")) == 2


@pytest.mark.parametrize(
    ("variable", "runs"),
    [
        ("LOCKGATE_CHUNK_TOKENS", 2),
        ("LOCKGATE_GENERATOR_URL", 2),
        ("LOCKGATE_JUDGE_API_KEY", 1),
        ("LOCKGATE_X_TOKEN", 1),
        ("OTHER", 1),
    ],
)
def test_the_settings_but_no_secret_are_in_the_cache_s_name(bench: Bench, variable: str, runs: int) -> None:
    before = dict(bench.runner.variables)
    for number, value in enumerate(("http://a:b@one.example", "http://a:b@two.example")):
        bench.runner.variables = {**before, variable: value}
        bench.run()
        assert len(bench.called("evals run")) == (runs if number else 2)


def commit_on_main(bench: Bench) -> str:
    git(bench.repository, "checkout", "-q", "main")
    (bench.repository / "docs" / "c.md").write_text("# C\n")
    found = commit(bench.repository)
    git(bench.repository, "checkout", "-q", HOSTILE_BRANCH)
    return found


@pytest.mark.parametrize(
    ("name", "text"),
    [("release", "x"), ("release", ""), ("key", "$(touch pwned)"), ("key", None), ("release.tar", None)],
)
def test_a_cache_that_is_damaged_is_measured_anew(bench: Bench, name: str, text: str | None) -> None:
    bench.run()
    (kept,) = bench.runner.caches.iterdir()
    if text is None:
        (kept / name).unlink()
        bench.plan(fail={"release import": [1, "error: no such file"]})
    else:
        (kept / name).write_text(text)
    done = bench.run(cache="true")
    assert done.code == 0
    assert bench.nothing_ran()


def test_a_cache_says_nothing_of_the_head(bench: Bench) -> None:
    """Whoever can write a cache could put good evidence of the head into it."""
    first = bench.run()
    (kept,) = bench.runner.caches.iterdir()
    bench.plan(foreign=first.outputs["release"])
    assert bench.run().code == 0
    assert len(bench.called("evals run")) == 2
    (kept / "release").write_text(first.outputs["release"])
    bench.plan()
    second = bench.run()
    assert second.outputs["base-release"] == first.outputs["base-release"]
    assert bench.called("evals evidence import") == []


@pytest.mark.parametrize(
    "event",
    [{"pull_request": {"number": 7}}, {"pull_request": {"base": None}}, {"pull_request": {"base": {"sha": "zz"}}}],
)
def test_an_event_of_another_shape_is_inconclusive(bench: Bench, event: dict[str, Any]) -> None:
    done = bench.runner.run(event, lockgate="installed")
    assert done.code == 3
    assert "Traceback" not in done.log


# The workflow of this repository


def test_the_workflow_uses_the_action_with_few_rights() -> None:
    import yaml

    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "evals.yml").read_text())
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert set(workflow[True]) == {"pull_request"}  # "on" is YAML for true; never pull_request_target
    (job,) = workflow["jobs"].values()
    uses = [step["uses"] for step in job["steps"]]
    assert uses[-1] == "./"
    assert re.fullmatch(r"actions/checkout@[0-9a-f]{40}", uses[0])
    assert not set(job["steps"][-1]["with"]) - set(load_action()["inputs"])
    assert job["steps"][0]["with"]["persist-credentials"] is False


# With Lockgate itself

REAL = """\
import sys
import ingestion.embedding
from tests.ingestion.fakes import WordEmbedder, handle

embedder = WordEmbedder()
ingestion.embedding.open_embedder = lambda _settings: handle(embedder)
from serving.cli import main

main()
"""
GATE = """\
channel: production
rules:
  - {rule: suite, suite: tiny, floors: {abstention_accuracy: 0.0}, max_drop: {abstention_accuracy: 0.9}, min_n: 4}
"""


def test_real_releases_are_measured_compared_and_told(tmp_path: Path) -> None:
    from tests.evals.projects import Project

    repository = tmp_path / "repository"
    repository.mkdir()
    project = Project(repository)
    (repository / "evals" / "gates").mkdir()
    (repository / "evals" / "gates" / "production.yaml").write_text(GATE)
    cases = repository / "evals" / "suites" / "tiny" / "cases.jsonl"
    cases.write_text(
        cases.read_text().replace("How far is the moon", f"{json.dumps(HOSTILE_TEXT)[1:-1]} How far is the moon")
    )
    git(repository, "init", "-q", "-b", "main")
    (repository / ".gitignore").write_text(".lockgate/\n")
    base = commit(repository)
    git(repository, "checkout", "-q", "-b", HOSTILE_BRANCH)
    guard = {"check": "input_length", "action": "block", "max_characters": 60, "message": "Too long."}
    project.write_policy(input=[guard])
    commit(repository)
    write_command(tmp_path / "bin", REAL)
    event = {"pull_request": {"number": 7, "base": {"sha": base}}}
    with open_api() as api:
        variables = {"GITHUB_API_URL": api.url, "HF_HUB_OFFLINE": "1", "GITHUB_HEAD_REF": HOSTILE_BRANCH}
        runner = Runner(repository, tmp_path, tmp_path / "bin", variables)
        inputs = {"lockgate": "installed", "token": "s3cret", "pull_models": "false"}
        first = runner.run(event, **inputs)
        assert first.code in (1, 3), first.log
        body = api.comments[0]["body"]
        assert (
            f"Release `{first.outputs['release'][:12]}`, compared with `{first.outputs['base-release'][:12]}`" in body
        )
        assert "abstention_accuracy" in body
        outside = re.sub(r"^(`{3,})\w*\n.*?\n\1$|(`+)[^`].*?\2", "", body, flags=re.DOTALL | re.MULTILINE)
        assert "@everyone" not in outside
        assert "<img" not in outside
        second = runner.run(event, **inputs)
        assert (second.code, second.outputs) == (first.code, first.outputs)
        assert "The cache is of no use" not in second.log
        assert second.log.count("| lockgate evals run") == 1
    assert not list(tmp_path.rglob("pwned"))
    with tarfile.open(runner.artifacts / "evidence.tar") as tar:
        name = tar.getmembers()[1].name
        envelope = json.loads((tar.extractfile(name) or sys.stdin.buffer).read())
    assert envelope["body"]["release"] == first.outputs["release"]
    assert "moon" in (runner.artifacts / "tiny.html").read_text()
