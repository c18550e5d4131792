"""The front matter of a prompt file: its keys, and what is wrong with them, all at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from lockgate.content import ContentModel, parse_yaml
from lockgate.errors import UserError
from prompts.problem import Line, Problem, at
from prompts.sandbox import reserved
from prompts.schema import OutputSchema
from prompts.values import VariableType

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")

MAX_HEADER = 20_000
"""Characters of YAML: more would take longer to read than the second in which a bad file has to be refused."""

MAX_NESTING = 500
"""Brackets, braces and dashes that open something on one line: YAML's reader takes quadratic time over them."""

_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_OPENERS = ("[", "{", "- ", "? ", ": ")
_SUITE = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class Defaults(ContentModel):
    """How to generate with this prompt unless the chain says otherwise."""

    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None


class ExampleChoice(ContentModel):
    """Which rows of examples.jsonl a request gets: the first ones, or those whose ``by`` is nearest to its own."""

    choose: Literal["fixed", "similar"] = "fixed"
    count: Annotated[int, Field(ge=1, le=50)] = 3
    by: str = "question"


class FrontMatter(ContentModel):
    """The keys that a prompt file begins with."""

    name: str
    description: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    variables: dict[str, VariableType] = Field(default_factory=dict)
    trusted: tuple[str, ...] = Field(default=(), description="Variables that never hold what a user or document says.")
    output: dict[str, Any] | None = Field(default=None, description="JSON Schema of the answer.")
    defaults: Defaults = Defaults()
    suites: tuple[Annotated[str, Field(pattern=_SUITE)], ...] = Field(default=(), description="Suites that guard it.")
    examples: ExampleChoice | None = None

    @field_validator("variables")
    @classmethod
    def _names(cls, value: dict[str, VariableType]) -> dict[str, VariableType]:
        for name in value:
            if not _VARIABLE.match(name) or reserved(name):
                raise ValueError(f"{name!r} cannot be the name of a variable (lower case, digits, underscores)")
        return value

    @field_validator("trusted")
    @classmethod
    def _declared(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if unknown := sorted(set(value) - info.data.get("variables", {}).keys()):
            raise ValueError(f"{', '.join(map(repr, unknown))} is not one of the variables")
        return value

    @cached_property
    def output_schema(self) -> OutputSchema | None:
        """Raises ValueError for what a schema cannot hold here; ``read_header`` has seen to it that it does not."""
        return OutputSchema(self.output) if self.output is not None else None


class _Variables(BaseModel):
    """The one key without which the body cannot be judged."""

    variables: dict[str, VariableType] = {}


def read_header(lines: Sequence[Line], where: str) -> tuple[FrontMatter | None, frozenset[str] | None, list[Problem]]:
    """(the front matter or None, the names of its variables as far as they can be read, problems).

    ``lines`` are those between the two lines of dashes; the first of them is line 2 of the file.
    """
    text = "".join(f"{line.text}\n" for line in lines)
    if len(text) > MAX_HEADER:
        message = f"the front matter has {len(text)} characters; at most {MAX_HEADER} are read."
        return None, None, [at(lines[0], "too-long", message)]
    for line in lines:
        if sum(map(line.text.count, _OPENERS)) > MAX_NESTING:
            return None, None, [at(line, "bad-yaml", f"more than {MAX_NESTING} levels or items on one line.")]
    try:
        front = parse_yaml(text, FrontMatter, where=where, first_line=2)
        problems = [*_schema_problems(front, lines)]
        front = front.model_copy(update={"output": None}) if problems else front
        return front, frozenset(front.variables), problems
    except UserError as error:
        problems = [*_problems(error.message, lines, where)]
    except ValueError as error:  # a number with more digits than Python prints
        return None, None, [at(lines[0], "bad-value", f"{error}.")]
    try:
        return None, frozenset(parse_yaml(text, _Variables, where=where).variables), problems
    except (UserError, ValueError):
        return None, None, problems


def _schema_problems(front: FrontMatter, lines: Sequence[Line]) -> Iterator[Problem]:
    try:
        _ = front.output_schema
    except ValueError as error:
        line = next((line for line in lines if line.text.startswith("output")), lines[0])
        yield at(line, "bad-schema", f"the output schema cannot be used: {error}.")


def _problems(message: str, lines: Sequence[Line], where: str) -> Iterator[Problem]:
    """The lines of ``parse_yaml``'s error, each with its rule; it names lines, the columns are looked up here."""
    for text in re.split(rf"\n(?={re.escape(where)}:)", message):
        found = re.match(r"(?::(\d+))?(?::(\d+))?: (.*)", text.removeprefix(where), re.DOTALL)
        number, column, said = (int(found[1] or 0), found[2], found[3]) if found else (0, None, text)
        if "recursion" in said:
            said = "the front matter is nested too deeply."
        key = re.search(r"key '([^']*)'", said)
        rule = next((rule for sign, rule in _RULES.items() if sign in said), "bad-value")
        if not 2 <= number < len(lines) + 2:
            yield Problem(rule, said, where, min(number, len(lines) + 2), int(column or 1))
        elif column:
            yield Problem(rule, said, where, number, int(column))
        else:
            line = lines[number - 2]
            yield at(line, rule, said, word=key[1].rpartition(".")[2] if key and key[1] in said else "")


_RULES = {
    "unknown key": "unknown-key",
    "is missing": "missing-key",
    "not valid YAML": "bad-yaml",
    "nested too deeply": "bad-yaml",
}
