"""The settings of the two checks that the output filter does itself: citations and links."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from guardrails.check import CheckSettings

_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\Z")


class Citations(CheckSettings):
    """Removes markers such as [7] when no seventh passage was given."""

    check: Literal["citations"]
    action: Literal["redact"]


class Links(CheckSettings):
    """Removes images, tags that load or run something, and links to places that are not allowed.

    ``from_passages`` of false removes links to URLs that stand in the passages too: whoever writes a page that is found
    then cannot have the answer link anywhere.
    """

    check: Literal["links"]
    action: Literal["redact"]
    allowed_hosts: tuple[str, ...] = ()
    from_passages: bool = True

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_host, value))


def checked_host(host: str) -> str:
    """``host``, a name in lower case or "*.example.org". Raises ValueError for what is none."""
    if not _HOST.match(host):
        raise ValueError(f"{host!r} is not a host name in lower case, such as docs.example.org or *.example.org")
    return host
