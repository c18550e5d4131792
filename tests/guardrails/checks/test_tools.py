from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from guardrails.check import GuardTools, Seen
from guardrails.checks.tool_patterns import compiled
from guardrails.checks.tools import Tools, ToolsSettings
from guardrails.guard import Guard
from guardrails.policy import load_policy, policy_from_text
from guardrails.tool_calls import guard_tool_call
from lockgate.errors import UserError

ALLOWED = {
    "search": {"effect": "read", "arguments": {"query": "[^<>]{1,200}", "language": ["en", "de"], "limit": "[1-9]"}},
    "fetch": {
        "effect": "read",
        "arguments": {"url": r"[\s\S]{1,300}"},
        "hosts": ["docs.example.org", "*.wiki.example.org"],
    },
    "open_ticket": {"arguments": {"title": ".{1,100}"}},
}


def look(text: str, passages: tuple[str, ...] = (), allowed: object = ALLOWED) -> float:
    settings = ToolsSettings.model_validate({"check": "tools", "action": "block", "allowed": allowed})
    return Tools(settings, GuardTools()).look(Seen(text, "tool_call", passages=passages)).score


def call(name: str, **arguments: object) -> str:
    return json.dumps({"name": name, "arguments": arguments})


@pytest.mark.parametrize(
    "text",
    [
        call("search", query="rotate a key", language="de", limit=3),
        call("search", query=["one", "two"]),
        call("search"),
        call("fetch", url="https://docs.example.org/keys?x=1#a"),
        call("fetch", url="https://a.wiki.example.org:8443/"),
        call("fetch", url="/keys"),
        call("open_ticket", title="A key does not work"),
    ],
)
def test_what_is_listed_is_let_through(text: str) -> None:
    assert look(text) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        call("send_mail", to="a@b.example"),
        call("Search", query="x"),
        call("se\u0430rch", query="x"),
        call("search\u200b", query="x"),
        call("search", query="x", cc="y"),
        call("search", query="<b>"),
        call("search", query="ok\n<b>"),
        call("search", query="x", limit=10),
        call("search", query="x", limit=True),
        call("search", query="x", language="fr"),
        call("search", query={"a": "x"}),
        call("search", query=[["x"]]),
        call("search", query="x" * 2_001),
        call("search", query=["x"] * 101),
    ],
)
def test_a_tool_an_argument_or_a_value_that_is_not_listed_is_blocked(text: str) -> None:
    assert look(text) == 1.0


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "HTTPS://EVIL.example",
        "see https://docs.example.org/ and https://evil.example/",
        "//evil.example/x",
        "\\\\evil.example\\share",
        "https:\\\\evil.example",
        "https:evil.example",
        "https:/evil.example",
        "www.evil.example",
        "https://docs.example.org@evil.example/",
        "https://docs.example.org:x@evil.example/",
        "https://docs.example.org.evil.example/",
        "https://evil.example\\@docs.example.org/",
        "/go?to=https%3A%2F%2Fevil.example",
        "/go?to=https%253A%252F%252Fevil.example",
        "\uff48ttps://evil.example/",
        "ht\ntps://evil.example/",
        "ftp://evil.example",
        "file://evil.example/x",
        "https://[::1]/",
        "https://wiki.example.org/",
    ],
)
def test_a_url_to_another_host_is_blocked_however_it_is_written(url: str) -> None:
    assert look(call("fetch", url=url)) == 1.0


def test_a_tool_that_writes_is_blocked_while_untrusted_text_is_before_the_model() -> None:
    assert look(call("open_ticket", title="x")) == 0.0
    assert look(call("open_ticket", title="x"), passages=("any",)) == 1.0
    assert look(call("search", query="x"), passages=("any",)) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "search(x)",
        "[]",
        "null",
        '{"name": "search"}',
        '{"name": ["search"], "arguments": {}}',
        '{"name": "search", "arguments": []}',
        '{"name": "search", "arguments": {}, "also": 1}',
        '{"name": "send", "name": "search", "arguments": {}}',
        '{"name": "search", "arguments": {"query": "a", "query": "b"}}',
        "[" * 50_000,
        call("search", query="x" * 100_001),
        '{"name": "search", "arguments": {"query": "\\ud800<"}}',
    ],
)
def test_what_is_not_the_json_of_one_call_is_blocked(text: str) -> None:
    assert look(text) == 1.0


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(?:a|aa)*b",
        "(a?){40}",
        ".*.*.*x",
        "(?=a)b",
        "(?i)a",
        "(",
        "(a|b)(a|b)" * 12,
        "a{0,999}b{0,999}c{0,999}",
    ],
)
def test_a_pattern_that_could_be_slow_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|expression|group|long"):
        compiled(pattern)


@pytest.mark.parametrize(
    "pattern", ["https://.{1,300}", r"[]()*+|a]+\(", "(?:en|de)(?:-[A-Z]{2})?", r"\w+-\w+", "[^]*+]*"]
)
def test_common_patterns_are_taken(pattern: str) -> None:
    assert compiled(pattern).pattern == pattern


def test_the_default_policy_lets_no_tool_be_called(tmp_path: Path) -> None:
    guard = Guard(load_policy(tmp_path, "default"))
    for name in ("search", "", "x" * 5_000):
        result = asyncio.run(guard_tool_call(guard, name, {"query": "x"}, question="How?"))
        assert result.blocked is not None
        assert result.blocked.check == "tools"
        assert result.text == ""
    assert guard.health()["tool_call tools"] == ""


def test_the_whole_stage_runs_and_gives_the_call_as_it_may_be_made() -> None:
    text = """
name: own
description: x
owner: x
tool_call:
  - {check: secrets, action: block}
  - {check: tools, action: block, allowed: {search: {effect: read, arguments: {query: ".{1,200}"}}}}
"""
    guard = Guard(policy_from_text("own", text, where="own.yaml"))
    passed = asyncio.run(guard_tool_call(guard, "search", {"query": "Zürich"}, passages=("p",)))
    assert json.loads(passed.text) == {"name": "search", "arguments": {"query": "Zürich"}}
    held = asyncio.run(guard_tool_call(guard, "search", {"query": "AKIAQ3EGRTYUIOP98ZX1"}))
    assert held.blocked is not None
    assert held.blocked.check == "secrets"
    with pytest.raises(UserError, match="no JSON"):
        asyncio.run(guard_tool_call(guard, "search", {"query": object()}))


def test_a_policy_with_a_bad_pattern_or_host_names_the_key() -> None:
    for bad in ('arguments: {q: "(a+)+"}', "hosts: [HTTPS://x]"):
        head = "name: own\ndescription: x\nowner: x\ntool_call:\n"
        text = f"{head}  - check: tools\n    action: block\n    allowed:\n      s: {{{bad}}}\n"
        with pytest.raises(UserError, match=r"own\.yaml"):
            policy_from_text("own", text, where="own.yaml")
