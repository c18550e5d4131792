"""What is put into a prompt: plain data of the declared types, bounded in size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

VariableType = Literal["str", "int", "float", "bool", "list", "dict"]

MAX_VALUES = 100_000
"""Items that the values of one rendering may hold, lists and mappings counted through."""

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}


def checked_values(
    values: Mapping[str, object], variables: Mapping[str, VariableType], *, needed: frozenset[str] | None = None
) -> dict[str, object]:
    """``values`` as plain data. ``needed`` are the variables that must be there; None: all of them.

    Raises ValueError that says which is missing, unknown, of the wrong type, or too much.
    """
    if missing := sorted((variables.keys() if needed is None else needed) - values.keys()):
        raise ValueError(f"no value for {', '.join(map(repr, missing))}")
    if unknown := sorted(values.keys() - variables.keys()):
        known = ", ".join(sorted(variables)) or "none"
        raise ValueError(f"no variable {', '.join(map(repr, unknown))}. Variables: {known}")
    counter = _Counter()
    try:
        plain = {name: counter.plain(value, name) for name, value in values.items()}
    except RecursionError:
        raise ValueError("a value is nested too deeply") from None
    for name, value in plain.items():
        wanted = variables[name]
        # True is an int to Python, but not to whoever declared an int.
        if not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "bool"):
            raise ValueError(f"the variable {name!r} is {wanted}, not {type(value).__name__}")
    return plain


class _Counter:
    """Turns values into plain data, so that a template can reach nothing else, and bounds their size."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def plain(self, value: Any, name: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"the values hold more than {MAX_VALUES} items")
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return str(value)
        if isinstance(value, list | tuple):
            return [self.plain(item, name) for item in value]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {str(key): self.plain(item, name) for key, item in value.items()}
        raise ValueError(
            f"the variable {name!r} holds {type(value).__name__}; text, numbers, lists and mappings can be used"
        )
