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
