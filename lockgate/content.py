"""Content files (YAML, front matter, JSONL) read into pydantic models, with errors that name file, line and key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lockgate.errors import NotFound, UserError

MAX_BYTES = 10_000_000
"""A content file larger than this is a mistake; reading it would only cost memory."""


class ContentModel(BaseModel):
    """Base of every content file's model: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice and aliases (which can expand without bound)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed here", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            try:
                twice = key in seen
            except TypeError:
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark) from None
            if twice:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_text(path: Path) -> str:
    """The file as UTF-8 text. Raises NotFound or UserError that names the file (and byte, when it is not UTF-8)."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB, which no content file should be.")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, a file was expected.") from None
    except PermissionError:
        raise UserError(f"{path}: cannot be read.", hint="Check its owner and mode.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}).") from None


def parse_yaml(text: str, model: type[T], *, where: str, first_line: int = 1) -> T:
    """``text`` as ``model``; ``first_line`` is the line of the file that ``text`` begins on.

    Raises UserError naming ``where``, line and key for bad YAML, unknown keys and values of the wrong type.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader) if node is not None else {}  # noqa: S506 - _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + first_line}:{mark.column + 1}" if mark else ""
        raise UserError(f"{where}{line}: not valid YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{where}: not valid YAML: {error}.") from None
    if not isinstance(data, dict):
        raise UserError(f"{where}:{first_line}: a mapping of keys to values was expected, not {type(data).__name__}.")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [
            f"{where}:{_line_of(node, item['loc']) + first_line}: {_describe(item, model)}" for item in error.errors()
        ]
        raise UserError("\n".join(problems)) from None


def load_yaml(path: Path, model: type[T]) -> T:
    """Read and validate one YAML file."""
    return parse_yaml(read_text(path), model, where=str(path))


def key_line(text: str, loc: tuple[int | str, ...], *, first_line: int = 1) -> int:
    """The line of the file on which the value at ``loc`` stands, or the deepest key on the way to it.

    ``text`` is YAML that ``parse_yaml`` took; ``loc`` is a path of keys and list positions.
    """
    return _line_of(yaml.compose(text, Loader=_Loader), loc) + first_line


def split_front_matter(text: str, *, where: str) -> tuple[str, str, int]:
    """(front matter YAML, body, line on which the body begins). Raises UserError when there is none."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].strip() != "---":
        raise UserError(f"{where}:1: front matter was expected: a line of three dashes, YAML, and three dashes again.")
    for number, line in enumerate(lines[1:], start=2):
        if line.strip() == "---":
            return "".join(lines[1 : number - 1]), "".join(lines[number:]), number + 1
    raise UserError(f"{where}:1: the front matter is not closed by a line of three dashes.")


def read_jsonl(path: Path, model: type[T]) -> Iterator[tuple[int, T]]:
    """(line number, row) for each line that is not blank. Raises UserError naming file, line and key."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{path}:{number}: not valid JSON: {error}.") from None
        if not isinstance(data, dict):
            raise UserError(f"{path}:{number}: a JSON object was expected, not {type(data).__name__}.")
        try:
            yield number, model.model_validate(data)
        except ValidationError as error:
            problems = [f"{path}:{number}: {_describe(item, model)}" for item in error.errors()]
            raise UserError("\n".join(problems)) from None


def _describe(item: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "(the whole)"
    if item["type"] == "extra_forbidden":
        known = ", ".join(sorted(model.model_fields)) if len(item["loc"]) == 1 else ""
        return f"unknown key {key!r}." + (f" Known keys: {known}." if known else "")
    if item["type"] == "missing":
        return f"key {key!r} is missing."
    return f"key {key!r}: {item['msg'].removeprefix('Value error, ')}, got {_short(item.get('input'))}."


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = "a value too long to show"
    return text if len(text) <= 80 else text[:77] + "..."


def _line_of(node: yaml.Node | None, loc: tuple[int | str, ...]) -> int:
    """0-based line of the deepest node on the way to ``loc``."""
    line = node.start_mark.line if node is not None else 0
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line, value
                    break
            else:
                break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line
