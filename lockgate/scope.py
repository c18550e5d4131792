"""``scope.yaml``: whom a project is for, what it answers and what not, and the targets it wants to reach."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from lockgate.content import ContentModel, key_line, parse_yaml, read_text
from lockgate.errors import LockgateError

FILE = "scope.yaml"

TargetKind = Literal["quality", "latency", "cost", "business"]
KnownMetrics = Mapping[TargetKind, Mapping[str, tuple[float, float]]]
"""For each kind the metrics that can be measured, each with the lowest and the highest value it can take."""

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
_Bound = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Target(ContentModel):
    """One number that the project wants to reach. ``suite`` narrows a quality target to the runs of one suite."""

    name: _Name
    kind: TargetKind
    metric: _Name
    suite: str = ""
    at_least: _Bound | None = None
    at_most: _Bound | None = None
    unit: str = Field(default="", max_length=20)

    @model_validator(mode="after")
    def _one_bound(self) -> Target:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a target needs exactly one of at_least and at_most")
        if self.suite and self.kind != "quality":
            raise ValueError("only a quality target is measured by a suite")
        return self

    @property
    def limit(self) -> float:
        return self.at_least if self.at_least is not None else self.at_most or 0.0

    @property
    def bound(self) -> str:
        """The bound in words, such as ``at most 3 s``."""
        return f"{'at most' if self.at_least is None else 'at least'} {self.limit:g} {self.unit}".rstrip()

    def is_met(self, measured: float) -> bool:
        return measured <= self.limit if self.at_least is None else measured >= self.limit


class DataRules(ContentModel):
    """What may go into documents, suites and questions, and what must not."""

    allowed: tuple[_Text, ...] = ()
    forbidden: tuple[_Text, ...] = ()


class ScopeFile(ContentModel):
    """The keys of ``scope.yaml``; ``in_scope`` and ``out_of_scope`` are examples of questions."""

    owner: _Text
    users: tuple[_Text, ...] = Field(min_length=1)
    in_scope: tuple[_Text, ...] = ()
    out_of_scope: tuple[_Text, ...] = ()
    data: DataRules = DataRules()
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """A loaded scope; ``text`` is what the file said, for messages that name a line."""

    path: Path
    text: str
    file: ScopeFile

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.file.targets


@dataclass(frozen=True, slots=True)
class ScopeProblem:
    """What is wrong, where. ``line`` is 1-based, 0 when the whole file is meant."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


def load_scope(project_dir: Path) -> Scope | None:
    """The project's scope, None when it has none. Raises UserError naming file, line and key."""
    path = project_dir / FILE
    if not path.exists():
        return None
    text = read_text(path)
    return Scope(path, text, parse_yaml(text, ScopeFile, where=str(path)))


def check_scope(scope: Scope, known: KnownMetrics) -> list[ScopeProblem]:
    """What loading cannot see: metrics that nothing measures, bounds that no value can reach, names used twice."""
    problems: list[ScopeProblem] = []
    lines: dict[str, int] = {}
    for index, target in enumerate(scope.targets):

        def problem(key: str, message: str, index: int = index) -> None:
            line = key_line(scope.text, ("targets", index, key))
            problems.append(ScopeProblem(scope.path, line, f"key 'targets.{index}.{key}': {message}"))

        if target.name in lines:
            problem("name", f"the name {target.name!r} is used twice, first on line {lines[target.name]}.")
        lines.setdefault(target.name, key_line(scope.text, ("targets", index, "name")))
        metrics = known.get(target.kind, {})
        if target.metric not in metrics:
            problem("metric", _unknown(target, known))
            continue
        low, high = metrics[target.metric]
        if not low <= target.limit <= high:
            key = "at_most" if target.at_least is None else "at_least"
            problem(key, f"{target.metric} lies between {low:g} and {high:g}, got {target.limit:g}.")
    return problems


def lint_scope(project_dir: Path, known: KnownMetrics) -> list[ScopeProblem] | None:
    """Every problem of the project's scope file, also those that keep it from loading; None when it has no file."""
    try:
        scope = load_scope(project_dir)
    except LockgateError as error:
        return [_loading_problem(project_dir / FILE, line) for line in error.message.split("\n")]
    return None if scope is None else check_scope(scope, known)


def _unknown(target: Target, known: KnownMetrics) -> str:
    elsewhere = [kind for kind, metrics in known.items() if target.metric in metrics]
    if elsewhere:
        return f"{target.metric!r} is a metric of kind {elsewhere[0]}, not {target.kind}."
    names = ", ".join(known.get(target.kind, {})) or "none"
    return f"unknown metric {target.metric!r}. Metrics of kind {target.kind}: {names}."


def _loading_problem(path: Path, message: str) -> ScopeProblem:
    """The error of a loader, ``FILE:LINE: ...``, taken apart."""
    rest = message.removeprefix(f"{path}:")
    found = re.match(r"(\d+)(?::\d+)?: (.*)", rest, re.DOTALL)
    return ScopeProblem(path, int(found[1]), found[2]) if found else ScopeProblem(path, 0, rest.strip())
