from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from guardrails.policy import SHIPPED, load_policy
from lockgate.errors import NotFound, PolicyRefused, UserError

HEADER = "name: own\ndescription: d\nowner: me\n"


def _own(project: Path, text: str, name: str = "own") -> None:
    folder = project / "guardrails" / "policies"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def test_the_shipped_policy_loads_and_its_hash_is_of_its_text(tmp_path: Path) -> None:
    policy = load_policy(tmp_path, "default")
    assert policy.hash == hashlib.sha256((SHIPPED / "default.yaml").read_bytes()).hexdigest()
    assert [check.check for check in (*policy.input, *policy.output)] == ["input_length", "citations", "links"]


def test_a_projects_own_policy_replaces_a_shipped_one(tmp_path: Path) -> None:
    _own(tmp_path, HEADER.replace("own", "default", 1), "default")
    policy = load_policy(tmp_path, "default")
    assert policy.owner == "me"
    assert policy.check_input("x" * 100_000)
    output = policy.output_filter(frozenset(), 0)
    assert output.feed("[9] ![a](b)") + output.finish() == "[9] ![a](b)"


def test_a_text_over_the_limit_is_refused_with_the_policys_words(tmp_path: Path) -> None:
    limit = "input: [{check: input_length, action: block, max_characters: 5, message: Too long.}]\n"
    _own(tmp_path, HEADER + limit)
    policy = load_policy(tmp_path, "own")
    assert policy.check_input("12345") == "12345"
    with pytest.raises(PolicyRefused, match=r"Too long\. \(6 characters, at most 5\)"):
        policy.check_input("123456")


def test_control_characters_are_taken_out_of_a_question(tmp_path: Path) -> None:
    policy = load_policy(tmp_path, "default")
    assert policy.check_input("a\x00b\x1b[1m\tc\r\nd\re\x9f\ud800ü🙂") == "ab[1m\tc\nd\neü🙂"


def test_urls_of_the_passages_and_hosts_of_the_policy_are_allowed(tmp_path: Path) -> None:
    _own(tmp_path, HEADER + "output: [{check: links, action: redact, allowed_hosts: ['*.ok.org']}]\n")
    output = load_policy(tmp_path, "own").output_filter({"https://page.example/x"}, 1)
    text = "https://a.ok.org/ https://page.example/x"
    assert output.feed(f"{text} https://evil.com [9]") + output.finish() == f"{text} [link removed] [9]"


@pytest.mark.parametrize("name", ["gone", "", "../default", "Default"])
def test_an_unknown_policy_is_not_found_and_the_names_are_listed(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound, match="Policies: default"):
        load_policy(tmp_path, name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEADER + "outputs: []\n", "own.yaml:4: unknown key 'outputs'"),
        (HEADER.replace("own", "other", 1), "must be that of the file, 'own'"),
        (HEADER + "input: [{check: input_length, action: block}]\n", "own.yaml:4: key 'input.0.max_characters'"),
        (HEADER + "input:\n  - {check: links, action: redact}\n", "own.yaml:5: key 'input.0"),
        (HEADER + "output:\n  - {check: liks, action: redact}\n", "own.yaml:5: key 'output.0'"),
        (HEADER + "output:\n  - {check: links, action: flag}\n", "own.yaml:5: key 'output.0.links.action'"),
        (HEADER + "output:\n  - {check: links, action: redact, hosts: []}\n", "own.yaml:5: unknown key"),
        (
            HEADER + "output: [{check: links, action: redact, allowed_hosts: ['https://a.b']}]\n",
            "'https://a.b' is not a",
        ),
        (HEADER + "output: [{check: citations, action: redact}, {check: citations, action: redact}]\n", "given twice"),
        ("- a\n", "a mapping of keys to values was expected"),
        ("name: [\n", "not valid YAML"),
        ("", "key 'name' is missing"),
    ],
)
def test_a_malformed_policy_is_refused_with_file_line_and_key(tmp_path: Path, text: str, says: str) -> None:
    _own(tmp_path, text)
    with pytest.raises(UserError, match=says):
        load_policy(tmp_path, "own")
