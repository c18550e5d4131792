"""A policy: which checks run on what goes in and what comes out, and what each of them does."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from guardrails.links import LinkRules
from guardrails.output import OutputFilter
from lockgate.content import ContentModel, parse_yaml, read_text
from lockgate.errors import NotFound, PolicyRefused, UserError

SHIPPED = Path(__file__).parent / "policies"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\Z")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class InputLength(ContentModel):
    """Blocks a text that is longer than ``max_characters``; ``message`` is what its writer reads."""

    check: Literal["input_length"]
    action: Literal["block"]
    max_characters: Annotated[int, Field(ge=1, le=1_000_000)]
    message: Annotated[str, Field(min_length=1, max_length=500)]


class Citations(ContentModel):
    """Removes markers such as [7] when no seventh passage was given."""

    check: Literal["citations"]
    action: Literal["redact"]


class Links(ContentModel):
    """Removes images, tags that load or run something, and links to places that are not allowed."""

    check: Literal["links"]
    action: Literal["redact"]
    allowed_hosts: tuple[str, ...] = ()

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not _HOST.match(host):
                raise ValueError(
                    f"{host!r} is not a host name in lower case, such as docs.example.org or *.example.org"
                )
        return value


class PolicyFile(ContentModel):
    """The keys of a policy file."""

    name: str
    description: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    input: tuple[InputLength, ...] = ()
    output: tuple[Annotated[Citations | Links, Field(discriminator="check")], ...] = ()

    @field_validator("input", "output")
    @classmethod
    def _once(cls, value: tuple[InputLength | Citations | Links, ...]) -> tuple[InputLength | Citations | Links, ...]:
        names = [check.check for check in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the check {name!r} is given twice")
        return value


@dataclass(frozen=True, slots=True)
class Policy:
    """A loaded policy. ``hash`` is the SHA-256 of the file's text with LF line ends."""

    name: str
    hash: str
    description: str
    owner: str
    input: tuple[InputLength, ...]
    output: tuple[Citations | Links, ...]
    text: str
    where: str

    def check_input(self, text: str) -> str:
        """``text`` without control characters (line ends as LF). Raises PolicyRefused when a check blocks it."""
        for check in self.input:
            if len(text) > check.max_characters:
                limit = f"{len(text)} characters, at most {check.max_characters}"
                raise PolicyRefused(f"{check.message} ({limit})")
        return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))

    def output_filter(self, allowed_urls: Set[str], citation_count: int) -> OutputFilter:
        """A filter for one answer to ``citation_count`` passages, which hold ``allowed_urls``."""
        links: LinkRules | None = None
        count: int | None = None
        for check in self.output:
            if isinstance(check, Links):
                links = LinkRules(frozenset(check.allowed_hosts), frozenset(allowed_urls))
            else:
                count = citation_count
        return OutputFilter(links=links, citation_count=count)


def load_policy(project_dir: Path, name: str) -> Policy:
    """The policy called ``name``: the project's own, else the one that ships with Lockgate.

    Raises NotFound, which lists the names, and UserError naming file, line and key.
    """
    files: dict[str, Path] = {}
    for folder in (SHIPPED, project_dir / "guardrails" / "policies"):
        files |= {file.stem: file for file in folder.glob("*.yaml") if file.is_file()}
    if not _NAME.match(name) or name not in files:
        raise NotFound(f"No policy is called {name[:80]!r}.", hint=f"Policies: {', '.join(sorted(files)) or 'none'}.")
    text = read_text(files[name]).replace("\r\n", "\n").replace("\r", "\n")
    return policy_from_text(name, text, where=str(files[name]))


def policy_from_text(name: str, text: str, *, where: str) -> Policy:
    """The policy that ``text`` (LF line ends) is; ``where`` is what to call it in errors. Raises UserError."""
    loaded = parse_yaml(text, PolicyFile, where=where)
    if loaded.name != name:
        raise UserError(f"{where}: the name is {loaded.name!r}, but must be that of the file, {name!r}.")
    return Policy(
        name=name,
        hash=hashlib.sha256(text.encode()).hexdigest(),
        description=loaded.description,
        owner=loaded.owner,
        input=loaded.input,
        output=loaded.output,
        text=text,
        where=where,
    )
