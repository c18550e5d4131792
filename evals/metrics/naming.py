"""Names of metrics with their parameters, such as ``recall@5`` or ``rouge_l[beta=2.0]``: one name for one meaning.

``FAMILY@K[NAME=VALUE,...]``: ``@K`` is the parameter ``k``; parameters at their default are left out, the others stand
in the order of their declaration. A value with other characters than those of a word or path is written as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pydantic import BaseModel

MAX_NAME = 300

_FAMILY = re.compile(r"[a-z][a-z0-9_]*(?:[:.][a-z][a-z0-9_-]*)?")
_KEY = re.compile(r"([a-z][a-z0-9_]*)=")
_BARE = re.compile(r"[A-Za-z0-9_./+-]+")
_JSON = re.compile(r"[\[{\"]")


def format_name(family: str, parameters: BaseModel) -> str:
    """The canonical name; ``split_name`` reads it back."""
    name, chosen = family, []
    for key, declared in type(parameters).model_fields.items():
        value = parameters.model_dump(mode="json")[key]
        if key == "k":
            name += f"@{value}" if value is not None else ""
        elif declared.is_required() or getattr(parameters, key) != declared.get_default(call_default_factory=True):
            chosen.append(f"{key}={_written(value)}")
    chosen += [f"{key}={_written(value)}" for key, value in sorted((parameters.model_extra or {}).items())]
    return f"{name}[{','.join(chosen)}]" if chosen else name


def split_name(name: str) -> tuple[str, Mapping[str, object]]:
    """(family, parameters). Raises ValueError that says what of ``name`` cannot be read."""
    if len(name) > MAX_NAME:
        raise ValueError(f"a metric's name has at most {MAX_NAME} characters")
    family = _FAMILY.match(name)
    if not family:
        raise ValueError("the name of a metric was expected, such as recall@5")
    place = family.end()
    parameters: dict[str, object] = {}
    if number := re.compile(r"@([0-9]{1,6})").match(name, place):
        parameters["k"] = int(number[1])
        place = number.end()
    if name[place : place + 1] == "[" and name.endswith("]"):
        _read_parameters(name[place + 1 : -1], parameters)
        place = len(name)
    if place != len(name):
        raise ValueError(f"cannot read {name[place:]!r}; a name looks like recall@5 or rouge_l[beta=2.0]")
    return family[0], parameters


def _written(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    # The bare word null means no value; a text of that word is written as JSON.
    if isinstance(value, str | int | float) and _BARE.fullmatch(text) and text != "null":
        return text
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _read_parameters(text: str, into: dict[str, object]) -> None:
    place = 0
    while place < len(text):
        key = _KEY.match(text, place)
        if not key or key[1] in into:
            raise ValueError(f"cannot read {text[place:]!r}: NAME=VALUE was expected, each name once")
        into[key[1]], place = _read_value(text, key.end())
        if place < len(text):
            if text[place] != "," or place + 1 == len(text):
                raise ValueError(f"cannot read {text[place:]!r} in the parameters")
            place += 1


def _read_value(text: str, place: int) -> tuple[object, int]:
    if _JSON.match(text, place):
        try:
            return json.JSONDecoder().raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"cannot read the value {text[place:]!r}") from None
    bare = _BARE.match(text, place)
    if not bare:
        raise ValueError(f"cannot read the value {text[place:]!r}")
    return None if bare[0] == "null" else bare[0], bare.end()
