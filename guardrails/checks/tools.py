"""Which tools a model may call, and with what: least privilege, whatever the model says."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote

from pydantic import Field, field_validator

from guardrails.check import NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage
from guardrails.checks.tool_patterns import LONGEST_ARGUMENT, compiled
from guardrails.links import LinkRules
from guardrails.markup import checked_host
from lockgate.content import ContentModel

_MOST_ITEMS = 100
_LONGEST_CALL = 100_000
# What a browser or an HTTP client takes for the beginning of an address; "https:x" and "https:\\x" are some too.
_ADDRESS = re.compile(
    r"(?:(?:https?|wss?|ftp):[/\\]{0,9}|[a-z][a-z0-9+.-]{0,20}:[/\\]{2}|(?<![:/\\])[/\\]{2}|(?<![a-z0-9])(?=www\.))"
    r"([^\s/\\?#\"'<>]{1,300})",
    re.IGNORECASE,
)


class AllowedTool(ContentModel):
    """What one tool may be given. ``arguments``: for each, a regular expression for its whole value, or the list of
    the values that it may have. ``hosts``: those that URLs in its arguments may lead to. ``effect``: whether the tool
    only reads; one that writes is not called while untrusted text is before the model."""

    arguments: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    effect: Literal["read", "write"] = "write"

    @field_validator("arguments")
    @classmethod
    def _patterns(cls, value: dict[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
        for each in value.values():
            if isinstance(each, str):
                compiled(each)
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_host, value))


class ToolsSettings(CheckSettings):
    """Lets through the tool calls that are listed, and no other; without a list, none.

    A value is matched as a whole and up to 2,000 characters; of a list, each item; a mapping never matches. ::

        - check: tools
          action: block
          on_error: block
          message: This cannot be done from here.
          allowed:
            search: {effect: read, arguments: {query: ".{1,200}", language: [en, de]}}
            fetch: {effect: read, arguments: {url: "https://.{1,300}"}, hosts: [docs.example.org]}
            open_ticket: {effect: write, arguments: {title: "[^<>]{1,100}"}}
    """

    check: Literal["tools"]
    action: Literal["block"]
    allowed: dict[Annotated[str, Field(min_length=1, max_length=100)], AllowedTool] = Field(default_factory=dict)


class Tools:
    """A call of a tool that the policy does not list, with an argument or a host that it does not list, or of a tool
    that changes something while a passage or a tool's result is before the model."""

    name: ClassVar[str] = "tools"
    stages: ClassVar[frozenset[Stage]] = frozenset({"tool_call"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block"})
    settings: ClassVar[type[CheckSettings]] = ToolsSettings

    def __init__(self, settings: ToolsSettings, _tools: GuardTools, /) -> None:
        self._allowed = settings.allowed
        self._hosts = {name: LinkRules(frozenset(tool.hosts)) for name, tool in settings.allowed.items()}
        self._patterns = {
            (name, argument): compiled(each)
            for name, tool in settings.allowed.items()
            for argument, each in tool.arguments.items()
            if isinstance(each, str)
        }

    def look(self, seen: Seen) -> Found:
        why = self._why_not(seen)
        return Found(1.0, (Span(0, len(seen.text), "tool call"),) if seen.text else (), why) if why else NOTHING

    def _why_not(self, seen: Seen) -> str:
        """Why this call is not made, "" for one that may be."""
        call = _call(seen.text)
        if call is None:
            return "it is not the JSON of a call"
        name, arguments = call
        tool = self._allowed.get(name)
        if tool is None:
            return f"the tool {name[:80]!r} is not allowed"
        if tool.effect == "write" and seen.passages:
            return f"the tool {name!r} writes, and untrusted text is before the model"
        for argument, value in arguments.items():
            if argument not in tool.arguments:
                return f"the tool {name!r} has no argument {argument[:80]!r}"
            items = _items(value)
            if items is None or not all(self._fits(name, argument, each) for each in items):
                return f"the argument {argument!r} of {name!r} is not of an allowed form"
            if not all(self._hosts[name].permit(f"https://{host}/") for each in items for host in _hosts_in(each)):
                return f"the argument {argument!r} of {name!r} leads to a host that is not allowed"
        return ""

    def _fits(self, name: str, argument: str, value: str) -> bool:
        listed = self._allowed[name].arguments[argument]
        if not isinstance(listed, str):
            return value in listed
        return len(value) <= LONGEST_ARGUMENT and self._patterns[name, argument].fullmatch(value) is not None


def _call(text: str) -> tuple[str, Mapping[str, Any]] | None:
    if len(text) > _LONGEST_CALL:
        return None
    try:
        body = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or set(body) != {"name", "arguments"}:
        return None
    name, arguments = body["name"], body["arguments"]
    return (name, arguments) if isinstance(name, str) and isinstance(arguments, dict) else None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice, one reader takes the first value and another the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _items(value: object) -> list[str] | None:
    """The value as text, or those of a list; None for what is neither."""
    values = value if isinstance(value, list) else [value]
    if len(values) > _MOST_ITEMS or any(isinstance(each, list | dict) for each in values):
        return None
    return [each if isinstance(each, str) else json.dumps(each) for each in values]


def _hosts_in(value: str) -> Iterator[str]:
    """Every host, with what else stands in its place, that an address in ``value`` leads to, also one written in
    percent signs or in letters that a browser takes for plain ones."""
    for _ in range(3):
        for reading in {value, unicodedata.normalize("NFKC", value)}:
            # Browsers leave these out wherever they stand in an address.
            yield from _ADDRESS.findall(re.sub(r"[\t\r\n]", "", reading))
            yield from _ADDRESS.findall(reading)
        decoded = unquote(value)
        if decoded == value:
            return
        value = decoded
