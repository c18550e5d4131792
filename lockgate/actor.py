"""Who does something that is written into a history. Keys will prove it; until then it is only said."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass

from lockgate.errors import UserError

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Actor:
    """``verified`` is False while nothing proves the name."""

    name: str
    verified: bool = False


LOCKGATE = Actor("lockgate")
"""Lockgate itself, such as when a rollout stops because its bound is reached."""


def current_actor() -> Actor:
    """``LOCKGATE_USER``, else the operating system's user. Raises UserError for a name that cannot be shown."""
    name = os.environ.get("LOCKGATE_USER", "").strip()
    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container's user may have no name
            name = f"uid-{os.getuid()}"
    if len(name) > MAX_NAME or not name.isprintable():
        raise UserError(f"LOCKGATE_USER: {name[:40]!r} is not a name of at most {MAX_NAME} printable characters.")
    return Actor(name)
