"""The chain definition as a file: numbers changed where they stand, everything else kept, a block that says why."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from chains.definition import SHIPPED, ChainDefinition
from evals.tuning.setting import Number
from evals.tuning.setting import Path as Place
from lockgate.atomic import write_atomic
from lockgate.content import parse_yaml, read_text
from lockgate.errors import Conflict, LockgateError, UserError
from lockgate.git import repository, run_git

BEGIN = "# tuned: the lines from here to the end mark are written by `lockgate evals tune`"
END = "# tuned: end"

_BLOCK = re.compile(rf"^{re.escape(BEGIN)}[ \t]*\r?\n(?:#[^\n]*\n)*?{re.escape(END)}[ \t]*(?:\r?\n|\Z)", re.MULTILINE)


def definition_file(project_dir: Path, chain: str) -> tuple[Path, Path]:
    """(the file that the definition is in, the project's own file to write): of a chain that ships with Lockgate the
    project gets a copy."""
    own = project_dir / "chains" / "definitions" / f"{chain}.yaml"
    return (own if own.is_file() else SHIPPED / f"{chain}.yaml"), own


def is_uncommitted(path: Path) -> bool:
    """Whether git says that the file differs from what is committed; False where there is no git to ask."""
    if repository(path.parent) is None:
        return False
    try:
        return bool(run_git(path.parent, "status", "--porcelain", "--", path.name).strip())
    except LockgateError:
        return False


def edited(text: str, changes: Mapping[Place, Number], notes: Sequence[str], *, where: str) -> str:
    """``text`` with other numbers and a block of ``notes`` at its end, in the place of an earlier one.

    Raises UserError when the result would not be exactly the same definition with these numbers.
    """
    before = parse_yaml(text, ChainDefinition, where=where)
    new = _BLOCK.sub("", text)
    newline = "\r\n" if "\r\n" in text else "\n"
    block = [BEGIN, *(f"# {' '.join(note.split())}" for note in notes), END]
    after = None
    with contextlib.suppress(UserError, yaml.YAMLError):
        for place, value in changes.items():
            new = _with_value(new, place, value)
        new = _ended(new, newline) + newline.join(block) + newline
        after = parse_yaml(new, ChainDefinition, where=where)
    if after != _changed(before, changes):
        values = ", ".join(f"{'.'.join(place)}: {_written(value)}" for place, value in changes.items())
        raise UserError(
            f"{where}: the values cannot be put into this file without changing more.", hint=f"Write by hand: {values}"
        )
    return new


def write_definition(source: Path, target: Path, read: str, new: str) -> None:
    """Replace ``target`` by ``new``, whole or not at all. Raises Conflict when ``source`` is not as it was read."""
    if read_text(source) != read or (source != target and target.exists()):
        raise Conflict(f"{target}: was changed while the chain was being tuned; it stays as it is.", hint="Tune again.")
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    bom = source == target and target.read_bytes().startswith(b"\xef\xbb\xbf")
    write_atomic(target, (b"\xef\xbb\xbf" if bom else b"") + new.encode(), mode=mode)


def _with_value(text: str, place: Place, value: Number) -> str:
    """``text`` with the value at ``place``; what is not there is added after the last key of its mapping."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, key in enumerate(place):
        if not isinstance(node, yaml.MappingNode):
            break
        found = next((each for name, each in node.value if name.value == key), None)
        if found is None:
            return _added(text, node, place[depth:], value, root=depth == 0)
        node = found
    if not isinstance(node, yaml.ScalarNode):
        return text  # parsing the result will tell
    return text[: node.start_mark.index] + _written(value) + text[node.end_mark.index :]


def _added(text: str, node: yaml.MappingNode, place: Place, value: Number, *, root: bool) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    if node.flow_style:
        inner = ": ".join((*place[:1], *(f"{{{key}" for key in place[1:]), _written(value))) + "}" * (len(place) - 1)
        start = node.start_mark.index + 1
        return text[:start] + inner + (", " if node.value else "") + text[start:]
    if root:
        lines = [f"{'  ' * depth}{key}:" for depth, key in enumerate(place)]
        lines[-1] += f" {_written(value)}"
        return _ended(text, newline) + newline.join(lines) + newline
    key, last = node.value[-1]
    end = text.find("\n", last.end_mark.index)
    end = len(text) if end < 0 else end - text[:end].endswith("\r")
    return text[:end] + f"{newline}{' ' * key.start_mark.column}{place[0]}: {_written(value)}" + text[end:]


def _ended(text: str, newline: str) -> str:
    return text if text.endswith("\n") else text + newline


def _changed(definition: ChainDefinition, changes: Mapping[Place, Number]) -> ChainDefinition:
    body = definition.model_dump()
    for place, value in changes.items():
        inner = body
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
    return ChainDefinition.model_validate(body)


def _written(value: Number) -> str:
    return repr(value)
