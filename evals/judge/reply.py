"""What a judge's reply says: JSON of the asked shape and nothing else, or a reason why it cannot be used."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

T = TypeVar("T", bound=BaseModel)

MAX_REPLY = 200_000
"""Characters; no schema here needs a tenth of it."""

_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)


class BadReply(ValueError):
    """The text is not a reply; says what is wrong with it."""


def read_reply(text: str | None, schema: type[T]) -> T:
    """``text`` as ``schema``. Raises BadReply.

    A reasoning model's thought before the whole is taken off. JSON in a code fence, or with other text around it, is
    refused: whoever reads it would have to guess which part was meant.
    """
    if text is None or not text.strip():
        raise BadReply("it is empty")
    if len(text) > MAX_REPLY:
        raise BadReply(f"it has {len(text)} characters")
    body = _THOUGHT.sub("", text, count=1) if text.lstrip().startswith("<think>") else text
    body = body.strip()
    if body.startswith("```"):
        raise BadReply("it is in a code fence")
    try:
        value = json.loads(body, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadReply):
            raise
        raise BadReply(_why_not_json(body)) from None
    if not isinstance(value, dict):
        raise BadReply(f"a JSON object was expected, not {type(value).__name__}")
    try:
        # Strict: a "yes", a "1" or a 1.0 where a whole number was asked for is not what was asked for.
        return schema.model_validate(value, strict=True)
    except ValidationError as error:
        item = error.errors()[0]
        place = ".".join(str(part) for part in item["loc"]) or "the whole"
        message = item["msg"].removeprefix("Value error, ")
        raise BadReply(f"{place[:80]}: {message[:200]}") from None
    except RecursionError:
        raise BadReply("it is nested too deeply") from None


def _why_not_json(body: str) -> str:
    if body[:1] in ("{", "["):
        return "it is not complete JSON"
    return "it is not JSON" if "{" not in body else "it is not JSON alone"


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise BadReply("a key is given twice")
    return made


def _no_constant(name: str) -> None:
    raise BadReply(f"{name} is not a number that JSON has")
