"""Suites: ``evals/suites/<name>/suite.yaml`` with its cases, validated before anything is asked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from evals.case import Case
from evals.metrics import METRICS
from lockgate.content import ContentModel, load_yaml, read_jsonl
from lockgate.errors import LockgateError, NotFound, UserError

SplitChoice = Literal["dev", "test", "all"]
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric; known metrics: {', '.join(METRICS)}")
    return name


def _file_name(name: str) -> str:
    if Path(name).name != name:
        raise ValueError("must be the name of a file beside suite.yaml")
    return name


class SuiteDefinition(ContentModel):
    """The keys of ``suite.yaml``. ``corpus`` is the folder that gold pages are relative to, itself relative to the
    project; ``timeout_s`` bounds one case."""

    name: str
    version: int = Field(ge=1)
    description: str = ""
    license: str = ""
    corpus: str
    cases: Annotated[str, AfterValidator(_file_name)] = "cases.jsonl"
    metrics: tuple[Annotated[str, AfterValidator(_known_metric)], ...] = Field(min_length=1)
    timeout_s: float = Field(default=120, gt=0, le=3600)


@dataclass(frozen=True, slots=True)
class Suite:
    """A loaded suite. ``hash`` changes whenever a byte of its definition or cases does."""

    definition: SuiteDefinition
    cases: tuple[Case, ...]
    folder: Path
    hash: str

    @property
    def name(self) -> str:
        return self.definition.name

    def select(self, split: SplitChoice = "all", limit: int | None = None) -> tuple[Case, ...]:
        """The cases of one split in file order, at most ``limit`` of them."""
        chosen = [case for case in self.cases if split in ("all", case.split)]
        return tuple(chosen[:limit])


def suites_folder(project_dir: Path) -> Path:
    return project_dir / "evals" / "suites"


def list_suites(project_dir: Path) -> list[str]:
    """Names of the folders that hold a suite.yaml."""
    return sorted(path.parent.name for path in suites_folder(project_dir).glob("*/suite.yaml"))


def load_suite(project_dir: Path, name: str) -> Suite:
    """Load and check one suite.

    Raises NotFound that lists the known suites, or UserError with file and line for an unknown key or metric, an id
    used twice, a gold page that the corpus does not have, and a suite without cases.
    """
    folder = suites_folder(project_dir) / name
    if not NAME.fullmatch(name) or not (folder / "suite.yaml").is_file():
        known = ", ".join(list_suites(project_dir)) or "none"
        raise NotFound(
            f"There is no suite {name!r} in {suites_folder(project_dir)}.",
            hint=f"Suites there: {known}. Set LOCKGATE_PROJECT when your project is another folder.",
        )
    path = folder / "suite.yaml"
    definition = load_yaml(path, SuiteDefinition)
    if definition.name != name:
        raise UserError(
            f"{path}: the suite is named {definition.name!r}, its folder {name!r}.", hint="Make them equal."
        )
    cases_path = folder / definition.cases
    cases = _load_cases(cases_path, _corpus_folder(project_dir, definition.corpus, path))
    digest = hashlib.sha256()
    for file in (path, cases_path):
        data = file.read_bytes()
        digest.update(len(data).to_bytes(8, "big") + data)
    return Suite(definition, cases, folder, digest.hexdigest())


def _corpus_folder(project_dir: Path, corpus: str, suite_path: Path) -> Path:
    folder = project_dir / corpus
    if not folder.is_dir():
        raise UserError(
            f"{suite_path}: key 'corpus': {folder} is not a folder.", hint="Gold pages are looked up in it."
        )
    return folder


def _load_cases(path: Path, corpus: Path) -> tuple[Case, ...]:
    lines: dict[str, int] = {}
    cases: list[Case] = []
    problems: list[str] = []
    for line, case in read_jsonl(path, Case):
        if case.id in lines:
            problems.append(f"{path}:{line}: the id {case.id!r} is used twice, first on line {lines[case.id]}.")
        lines.setdefault(case.id, line)
        problems += [
            f"{path}:{line}: the gold page {page!r} is not in {corpus}."
            for page in case.pages
            if not _is_page(corpus, page)
        ]
        cases.append(case)
    if problems:
        raise UserError("\n".join(problems))
    if not cases:
        raise UserError(f"{path}: holds no cases.")
    return tuple(cases)


def _is_page(corpus: Path, page: str) -> bool:
    relative = Path(page)
    return not relative.is_absolute() and ".." not in relative.parts and (corpus / relative).is_file()


def describe_suite(project_dir: Path, name: str) -> dict[str, object]:
    """One line of ``lockgate evals list``; a broken suite is listed with its error instead of hiding the others."""
    try:
        suite = load_suite(project_dir, name)
    except LockgateError as error:
        return {"name": name, "error": str(error)}
    return {
        "name": name,
        "version": suite.definition.version,
        "hash": suite.hash,
        "description": suite.definition.description,
        "cases": len(suite.cases),
        "answerable": sum(case.answerable for case in suite.cases),
        "unanswerable": sum(not case.answerable for case in suite.cases),
        "dev": len(suite.select("dev")),
        "test": len(suite.select("test")),
        "metrics": list(suite.definition.metrics),
    }
