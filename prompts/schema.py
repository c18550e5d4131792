"""The JSON Schema of a prompt's answer: a part of the language that is checked in bounded time and fetches nothing."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

MAX_DEPTH = 20
MAX_NODES = 500
"""Subschemas and values of a schema once its references are written out."""

MAX_VALUE_ITEMS = 2_000
"""Items of an answer that are checked; a larger one does not match."""

MAX_CHECKS = 60_000
"""Keywords that are applied to parts of one answer: bounds the time of one check."""

MAX_ERRORS = 5

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ONE = frozenset({"additionalProperties", "items", "contains", "not", "if", "then", "else", "propertyNames"})
_MANY = frozenset({"anyOf", "allOf", "oneOf", "prefixItems"})
_DATA = frozenset({"enum", "const", "default", "examples"})
_PLAIN = frozenset(
    {"type", "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"}
    | {"minContains", "maxContains", "title", "description", "deprecated", "format", "$schema", "$comment"}
)
_KNOWN = _ONE | _MANY | _DATA | _PLAIN | {"$ref", "$defs", "properties"}


class OutputSchema:
    """A checked schema.

    Raises ValueError that says what a schema cannot hold here, and where in it. ``pattern`` and its like are refused,
    since a regular expression can run without end; so are references that leave the schema or lead back to themselves.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.validators import extend
        from referencing import Registry

        if schema.get("$schema", DIALECT) != DIALECT:
            raise ValueError(f"$schema: only {DIALECT} is known")
        definitions = schema.get("$defs", {})
        if not isinstance(definitions, Mapping):
            raise ValueError("$defs: a mapping was expected")
        count = _Count(MAX_NODES)
        flat = _Flattening(definitions, count).subschema(schema, "", (), 0)
        try:
            Draft202012Validator.check_schema(flat)
        except SchemaError as error:
            place = ".".join(str(part) for part in error.absolute_path) or "the schema"
            raise ValueError(f"{place}: {_short(error)}") from None
        # An empty registry: with every reference written out there is nothing to look up, and nothing is fetched.
        keywords = {**Draft202012Validator.VALIDATORS, "uniqueItems": _unique}
        counted = {key: self._counted(check) for key, check in keywords.items()}
        checker: Any = extend(Draft202012Validator, counted)  # type: ignore[no-untyped-call]
        self._validator = checker(flat, registry=Registry())
        self._lock = threading.Lock()  # guards the counts
        self._left = 0
        self.checks = 0  # done so far, of all values

    def errors(self, value: object, *, checks: int = MAX_CHECKS) -> list[str]:
        """How the first places in ``value`` break the schema; empty when none does. ``checks`` bounds the work."""
        with self._lock:
            self._left = checks
            try:
                _plain(value, "", _Count(MAX_VALUE_ITEMS), 0)
                errors = list(islice(self._validator.iter_errors(value), MAX_ERRORS))
            except (ArithmeticError, ValueError, RecursionError) as error:
                return [str(error)]
        return [f"{'.'.join(map(str, error.absolute_path)) or 'the whole'}: {_short(error)}" for error in errors]

    def _counted(self, check: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self._left -= 1
            self.checks += 1
            if self._left < 0:
                raise ValueError("the whole: too large to check against this schema")
            return check(*arguments)

        return counted

    def text_errors(self, text: str, *, checks: int = MAX_CHECKS) -> list[str]:
        """The same for an answer as it was written: JSON, or, where the schema allows a string, just that."""
        try:
            value: object = json.loads(text)
        except (ValueError, RecursionError) as error:
            return [f"the whole: is not JSON ({error})"] if self.errors(text, checks=checks) else []
        found = self.errors(value, checks=checks)
        return found if found and self.errors(text, checks=checks) else []


class _Count:
    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    def one(self) -> None:
        self.used += 1
        if self.used > self.most:
            raise ValueError(f"has more than {self.most} items")


class _Flattening:
    """Writes every reference out, so that nothing is ever looked up, and what is checked has a known size."""

    def __init__(self, definitions: Mapping[str, Any], count: _Count) -> None:
        self._definitions = definitions
        self._count = count

    def subschema(self, schema: object, place: str, inside: tuple[str, ...], depth: int) -> Any:
        self._count.one()
        if isinstance(schema, bool) and depth:
            return schema
        if not isinstance(schema, Mapping):
            raise ValueError(f"{place or 'the schema'}: a mapping was expected, not {type(schema).__name__}")
        if depth > MAX_DEPTH:
            raise ValueError(f"{place}: nested more than {MAX_DEPTH} deep")
        made: dict[str, Any] = {}
        referred: list[Any] = []
        for key, value in schema.items():
            here = f"{place}.{key}" if place else str(key)
            if key == "$ref":
                referred.append(self._target(value, here, inside, depth))
            elif key == "$defs":
                for name, item in _named(value, here):
                    self.subschema(item, f"{here}.{name}", (*inside, name), depth + 1)
            else:
                made[key] = self._value(key, value, here, inside, depth + 1)
        if referred:
            made["allOf"] = [*made.get("allOf", []), *referred]
        return made

    def _value(self, key: object, value: object, here: str, inside: tuple[str, ...], depth: int) -> Any:
        if key in _ONE:
            return self.subschema(value, here, inside, depth)
        if key in _MANY:
            return [self.subschema(item, f"{here}.{number}", inside, depth) for number, item in _items(value, here)]
        if key == "properties":
            return {name: self.subschema(item, f"{here}.{name}", inside, depth) for name, item in _named(value, here)}
        if key not in _KNOWN:
            raise ValueError(f"{here}: {_why(key)}")
        return _plain(value, here, self._count, 0)

    def _target(self, value: object, here: str, inside: tuple[str, ...], depth: int) -> Any:
        name = value.removeprefix("#/$defs/") if isinstance(value, str) else ""
        if not isinstance(value, str) or name == value or name not in self._definitions:
            known = ", ".join(f"#/$defs/{known}" for known in self._definitions) or "none, there is no $defs"
            raise ValueError(f"{here}: {value!r:.100} cannot be referred to; only these can: {known}")
        if name in inside:
            raise ValueError(f"{here}: {value!r:.100} leads back to itself")
        return self.subschema(self._definitions[name], here, (*inside, name), depth + 1)


def _items(value: object, here: str) -> Iterator[tuple[int, object]]:
    if not isinstance(value, list):
        raise ValueError(f"{here}: a list was expected")
    return iter(enumerate(value))


def _named(value: object, here: str) -> list[tuple[str, object]]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{here}: a mapping was expected")
    if wrong := [key for key in value if not isinstance(key, str)]:
        raise ValueError(f"{here}: the key {wrong[0]!r} is not text; write it in quotes")
    return list(value.items())


def _plain(value: object, place: str, count: _Count, depth: int) -> Any:
    """``value`` if it is what JSON can say. YAML also has dates, sets and infinities."""
    count.one()
    here = place or "the whole"
    if depth > MAX_DEPTH:
        raise ValueError(f"{here}: nested more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return [_plain(item, place, count, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item, place, count, depth + 1) for key, item in _named(value, here)}
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"{here}: {str(value)[:40]!r} is not what JSON can say; write it in quotes")


def _unique(_validator: object, wanted: bool, value: object, _schema: object) -> Iterator[Any]:
    """jsonschema's own check compares every item with every other."""
    from jsonschema import ValidationError

    if wanted and isinstance(value, list) and len({_canonical(item) for item in value}) < len(value):
        yield ValidationError("has items that are equal")


def _canonical(value: object) -> str:
    """Equal for values that JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(sorted(f'{json.dumps(key)}:{_canonical(item)}' for key, item in value.items()))}}}"
    return json.dumps(value)


def _why(key: object) -> str:
    if key in ("pattern", "patternProperties"):
        return "regular expressions are not checked here, since one can run without end; use enum or maxLength"
    return f"not a key of the schemas that can be used here. Keys: {', '.join(sorted(_KNOWN))}"


def _short(error: Any) -> str:
    line = " ".join(str(error.message).split())
    return line if len(line) <= 160 else line[:157] + "..."
