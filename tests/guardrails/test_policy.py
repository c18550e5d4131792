from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from guardrails.policy import SHIPPED, load_policy
from lockgate.errors import NotFound, UserError

HEADER = "name: own\ndescription: d\nowner: me\n"


def _own(project: Path, text: str, name: str = "own") -> None:
    folder = project / "guardrails" / "policies"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def test_the_shipped_policy_loads_and_its_hash_is_of_its_text(tmp_path: Path) -> None:
    policy = load_policy(tmp_path, "default")
    assert policy.hash == hashlib.sha256((SHIPPED / "default.yaml").read_bytes()).hexdigest()
    assert {"input_length", "secrets", "pii"} <= {each.check for each in policy.file.input}
    assert {"secrets", "prompt_leak", "grounding", "citations", "links"} <= {each.check for each in policy.file.output}


def test_a_projects_own_policy_replaces_a_shipped_one(tmp_path: Path) -> None:
    _own(tmp_path, HEADER.replace("own", "default", 1), "default")
    policy = load_policy(tmp_path, "default")
    assert policy.owner == "me"
    assert policy.checks("input") == ()
    output = policy.output_filter(frozenset(), 0)
    assert output.feed("[9] ![a](b)") + output.finish() == "[9] ![a](b)"


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
        (
            HEADER + "input: [{check: input_length, action: block}]\n",
            "own.yaml:4: key 'input.0.input_length.max_characters'",
        ),
        (
            HEADER + "input:\n  - {check: links, action: redact}\n",
            "own.yaml:4: key 'input': the check 'links' is for the stages output",
        ),
        (HEADER + "output:\n  - {check: liks, action: redact}\n", "own.yaml:5: key 'output.0'"),
        (HEADER + "output:\n  - {check: links, action: flag}\n", "own.yaml:5: key 'output.0.links.action'"),
        (HEADER + "output:\n  - {check: links, action: redact, hosts: []}\n", "own.yaml:5: unknown key"),
        (
            HEADER + "output: [{check: links, action: redact, allowed_hosts: ['https://a.b']}]\n",
            "'https://a.b' is not a",
        ),
        (HEADER + "output: [{check: citations, action: redact}, {check: citations, action: redact}]\n", "given twice"),
        (HEADER + "output: [{check: input_length, action: block, max_characters: 5}]\n", "is for the stages"),
        (HEADER + "overrides: [{dry_run: true}]\n", "an override needs channels or groups"),
        (HEADER + "overrides: [{channels: [staging]}]\n", "an override needs dry_run or checks"),
        (HEADER + "overrides: [{channels: [a], checks: {links: {threshold: 0.9}}}]\n", "which no stage has"),
        (HEADER + "examples: [{text: x, expect: pass, check: links}]\n", "the stage input does not have"),
        (HEADER + "examples: [{text: x, expect: maybe}]\n", "own.yaml:4: key 'examples.0.expect"),
        (HEADER + "input: [{check: input_length, action: block, max_characters: 5, threshold: 0}]\n", "threshold"),
        ("- a\n", "a mapping of keys to values was expected"),
        ("name: [\n", "not valid YAML"),
        ("", "key 'name' is missing"),
    ],
)
def test_a_malformed_policy_is_refused_with_file_line_and_key(tmp_path: Path, text: str, says: str) -> None:
    _own(tmp_path, text)
    with pytest.raises(UserError, match=says):
        load_policy(tmp_path, "own")


def test_overrides_change_the_policy_for_their_channel_and_group_and_later_ones_win(tmp_path: Path) -> None:
    text = (
        HEADER
        + "input: [{check: input_length, action: block, max_characters: 5}]\n"
        + "overrides:\n"
        + "  - {channels: [staging], dry_run: true}\n"
        + "  - {groups: [staff], checks: {input_length: {action: flag, threshold: 0.9}}}\n"
        + "  - {channels: [staging], groups: [staff], checks: {input_length: {action: log}}}\n"
    )
    _own(tmp_path, text)
    policy = load_policy(tmp_path, "own")

    def seen(channel: str, group: str) -> tuple[bool, str, float]:
        view = policy.view(channel, group)
        (check,) = view.checks("input")
        return view.dry_run, check.action, check.threshold

    assert seen("", "") == seen("production", "guests") == (False, "block", 0.5)
    assert seen("staging", "") == (True, "block", 0.5)
    assert seen("production", "staff") == (False, "flag", 0.9)
    assert seen("staging", "staff") == (True, "log", 0.9)
    assert policy.view("staging", "staff").hash == policy.hash


def test_an_override_cannot_ask_for_what_a_check_does_not_do(tmp_path: Path) -> None:
    text = HEADER + "output: [{check: links, action: redact}]\n"
    _own(tmp_path, text + "overrides: [{channels: [a], checks: {links: {action: block}}}]\n")
    with pytest.raises(UserError, match="the check 'links' can redact, not block"):
        load_policy(tmp_path, "own")
