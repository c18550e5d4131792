"""Checks that other distributions bring: entry points of the group ``lockgate.checks``, by the check's name.

One is loaded only when a policy names it. What is wrong with it is said with the name of its distribution.
"""

from __future__ import annotations

import inspect
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from guardrails.check import ACTIONS, STAGES, Check, CheckSettings
from lockgate.errors import UserError

GROUP = "lockgate.checks"


@cache
def plug_in(name: str) -> type[Check] | None:
    """The check ``name`` of an installed distribution, None where there is none. Raises UserError for one that cannot
    be used."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        return None
    if len(found) > 1:
        several = ", ".join(sorted(_distribution(each) for each in found))
        raise UserError(
            f"The check {name!r} comes from several distributions: {several}.", hint="Uninstall all but one."
        )
    (entry,) = found
    try:
        kind = entry.load()
    except Exception as error:
        raise _broken(entry, f"cannot be loaded: {type(error).__name__}: {error}") from error
    if problem := _problem(name, kind):
        raise _broken(entry, problem)
    checked: type[Check] = kind
    return checked


def _problem(name: str, kind: Any) -> str:
    """Why ``kind`` is no check called ``name``, as the rest of a sentence; "" when it is one."""
    if not inspect.isclass(kind):
        return "is no class"
    if getattr(kind, "name", None) != name:
        return f"calls itself {getattr(kind, 'name', None)!r}"
    for what, known in (("stages", STAGES), ("actions", ACTIONS)):
        given = getattr(kind, what, None)
        if not isinstance(given, frozenset | set) or not given or not given <= set(known):
            return f"has {what} that are no set of {', '.join(known)}"
    settings = getattr(kind, "settings", None)
    if not inspect.isclass(settings) or not issubclass(settings, CheckSettings):
        return "has settings that are no subclass of guardrails.check.CheckSettings"
    return "" if callable(getattr(kind, "look", None)) else "has no method look"


def _broken(entry: EntryPoint, problem: str) -> UserError:
    return UserError(
        f"The check {entry.name!r} ({entry.value}) of the distribution {_distribution(entry)} {problem[:300]}.",
        hint="Correct or update that distribution, or take the check out of the policy.",
    )


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "(unknown)"
