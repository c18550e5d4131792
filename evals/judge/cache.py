"""Where replies are kept, so that the same call is made once: named by everything that it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lockgate.release import canonical_json
from lockgate.types import Message


class CallCache(Protocol):
    """Keeps texts by key. Neither raises for a key that is new or known.

    ``serves``: what one call said may stand for the same call made elsewhere; never so for repeats.
    """

    @property
    def serves(self) -> bool: ...

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str) -> None: ...


def call_key(
    *,
    model: str,
    base_url: str,
    messages: Sequence[Message],
    parameters: Mapping[str, Any],
    schema: Mapping[str, Any],
) -> str:
    """SHA-256 over the canonical JSON of a call."""
    body = {
        "kind": "judge",
        "model": model,
        "base_url": base_url.rstrip("/"),
        "messages": [[message.role, message.content] for message in messages],
        "parameters": dict(parameters),
        "schema": dict(schema),
    }
    return hashlib.sha256(canonical_json(body)).hexdigest()
