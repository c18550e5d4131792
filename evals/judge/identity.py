"""Who judged: the model, its server, the prompts' hashes and the parameters. A calibration holds for exactly that."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lockgate.errors import Corrupt
from lockgate.release import canonical_json

PROTOCOL = 2
"""Goes up when this package changes what a judge is asked, or how its replies become a score."""


@dataclass(frozen=True, slots=True)
class JudgeIdentity:
    """``host`` is the server's host, port and path, without any user, password or query.

    ``prompt_hashes`` maps what the judge is told by (a prompt, a rubric, a Ragas metric) to the hash of its content.
    """

    model: str
    host: str
    prompt_hashes: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    protocol: int = PROTOCOL

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of everything above."""
        return hashlib.sha256(canonical_json(self.as_json())).hexdigest()

    def narrowed(self, names: tuple[str, ...]) -> JudgeIdentity:
        """The same judge with only the prompts ``names``: what a metric's scores depend on."""
        kept = {name: self.prompt_hashes.get(name, "") for name in names}
        return dataclasses.replace(self, prompt_hashes=kept)

    def as_json(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "model": self.model,
            "host": self.host,
            "prompts": dict(self.prompt_hashes),
            "parameters": dict(self.parameters),
        }


def identity_from(body: Mapping[str, Any]) -> JudgeIdentity:
    """The identity that ``as_json`` wrote. Raises Corrupt for anything else."""
    try:
        identity = JudgeIdentity(
            str(body["model"]),
            str(body["host"]),
            dict(body["prompts"]),
            dict(body["parameters"]),
            int(body["protocol"]),
        )
        known = identity.as_json() == dict(body)
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise Corrupt("This is not the identity of a judge.")
    return identity


def host_of(base_url: str) -> str:
    """``base_url`` without scheme, user, password, query and fragment, such as "localhost:8001/v1"."""
    parts = urlsplit(base_url)
    return parts.netloc.rpartition("@")[2].lower() + parts.path.rstrip("/")
