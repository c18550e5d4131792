"""A prompt: one Markdown file with front matter; its content hash is its version."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, field_validator

from lockgate.content import ContentModel, parse_yaml, read_text, split_front_matter
from lockgate.errors import UserError
from lockgate.types import Message, Role
from prompts.sandbox import CheckedTemplate, check_template, reserved
from prompts.sections import split_sections

VariableType = Literal["str", "int", "float", "bool", "list", "dict"]

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")

MAX_CHARACTERS = 100_000
"""A prompt file longer than this is a mistake: no model here could read it."""

MAX_VALUES = 100_000
"""Items that the values of one rendering may hold, lists and mappings counted through."""

_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}


class Defaults(ContentModel):
    """How to generate with this prompt unless the chain says otherwise."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None


class FrontMatter(ContentModel):
    """The keys that a prompt file begins with."""

    name: str
    description: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    variables: dict[str, VariableType] = Field(default_factory=dict)
    defaults: Defaults = Defaults()

    @field_validator("variables")
    @classmethod
    def _names(cls, value: dict[str, VariableType]) -> dict[str, VariableType]:
        for name in value:
            if not _VARIABLE.match(name) or reserved(name):
                raise ValueError(f"{name!r} cannot be the name of a variable (lower case, digits, underscores)")
        return value


@dataclass(frozen=True, slots=True)
class Prompt:
    """A loaded prompt. ``hash`` is the SHA-256 of ``text``, the whole file with LF line ends."""

    name: str
    hash: str
    description: str
    owner: str
    variables: Mapping[str, VariableType]
    defaults: Defaults
    text: str
    path: Path
    sections: tuple[tuple[Role, CheckedTemplate], ...] = dataclasses.field(repr=False)

    def render(self, **values: object) -> list[Message]:
        """The messages. Values are inserted as they are and never read as a template or as a section.

        Raises UserError for a value that is missing, unknown or of the wrong type, and beyond the limits.
        """
        plain = self._checked(values)
        return [Message(role, template.render(plain)) for role, template in self.sections]

    def _checked(self, values: Mapping[str, object]) -> dict[str, object]:
        if missing := sorted(self.variables.keys() - values.keys()):
            self._refuse(f"no value for {', '.join(map(repr, missing))}.")
        if unknown := sorted(values.keys() - self.variables.keys()):
            known = ", ".join(sorted(self.variables)) or "none"
            self._refuse(f"no variable {', '.join(map(repr, unknown))}. Variables: {known}.")
        counter = _Counter()
        try:
            plain = {name: counter.plain(value, name) for name, value in values.items()}
        except (ValueError, RecursionError) as error:
            self._refuse(f"{error or 'a value is nested too deeply'}.")
        for name, value in plain.items():
            wanted = self.variables[name]
            # True is an int to Python, but not to whoever declared an int.
            if not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "bool"):
                self._refuse(f"the variable {name!r} is {wanted}, not {type(value).__name__}.")
        return plain

    def _refuse(self, reason: str) -> NoReturn:
        raise UserError(f"{self.path}: prompt {self.name!r}: {reason}")


def load_prompt(path: Path) -> Prompt:
    """Read and check one prompt file. Raises NotFound, or UserError naming file, line and what is wrong."""
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    where = str(path)
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{where}: {len(text)} characters; a prompt has at most {MAX_CHARACTERS}.")
    header, body, first_line = split_front_matter(text, where=where)
    front = parse_yaml(header, FrontMatter, where=where, first_line=2)
    if front.name != path.stem or not NAME.match(front.name):
        raise UserError(
            f"{where}: the name is {front.name!r}, but must be that of the file, {path.stem!r}: "
            "lower-case letters, digits and dashes."
        )
    names = frozenset(front.variables)
    sections = tuple(
        (section.role, check_template(section.source, names, where=where, first_line=section.line))
        for section in split_sections(body, where=where, first_line=first_line)
    )
    return Prompt(
        name=front.name,
        hash=hashlib.sha256(text.encode()).hexdigest(),
        description=front.description,
        owner=front.owner,
        variables=front.variables,
        defaults=front.defaults,
        text=text,
        path=path,
        sections=sections,
    )


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
