"""Suites: ``evals/suites/<name>/suite.yaml`` with its cases, validated before anything is asked."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from evals.case import Case, Name
from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import Metric, Tier
from evals.slices import OTHER, Slice
from lockgate.content import ContentModel, load_yaml, read_jsonl
from lockgate.errors import LockgateError, NotFound, UserError

SplitChoice = Literal["dev", "test", "all"]
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
README = "README.md"
SHIPPED = Path(__file__).parent / "suites"
ANYWHERE = ("safety",)
"""Shipped suites that every project has, as they ask nothing about its documents; its own of that name replaces it."""
MAX_REPEATS = 100


def _metric_name(spec: Any) -> str:
    """The canonical name of a metric, however the suite writes it."""
    if not isinstance(spec, str | dict):
        raise ValueError("a metric is a name, or a mapping with the key 'metric' and the metric's parameters")
    return resolve_metric(spec).name


def _file_name(name: str) -> str:
    if Path(name).name != name:
        raise ValueError("must be the name of a file beside suite.yaml")
    return name


class SuiteDefinition(ContentModel):
    """The keys of ``suite.yaml``.

    ``corpus`` is the folder that gold pages are relative to, itself relative to the project; ``targets`` are the chains
    that the suite measures, none for any; ``metrics`` are names or mappings with parameters, kept by their canonical
    names; ``repeats`` is how often each case is asked; ``tier`` is what a run measures unless told otherwise;
    ``timeout_s`` bounds one case.
    """

    name: str
    version: int = Field(ge=1)
    description: str = ""
    license: str = ""
    corpus: str
    cases: Annotated[str, AfterValidator(_file_name)] = "cases.jsonl"
    targets: tuple[str, ...] = ()
    metrics: tuple[Annotated[str, BeforeValidator(_metric_name)], ...] = Field(min_length=1)
    slices: dict[Name, Slice] = Field(default_factory=dict)
    repeats: int = Field(default=1, ge=1, le=MAX_REPEATS)
    tier: Tier | None = None
    timeout_s: float = Field(default=120, gt=0, le=3600)

    @model_validator(mode="after")
    def _fits_together(self) -> SuiteDefinition:
        if twice := [name for name, count in Counter(self.metrics).items() if count > 1]:
            raise ValueError(f"metrics: {twice[0]} is given twice")
        if self.tier == "judged" and "judged" not in {resolve_metric(name).tier for name in self.metrics}:
            raise ValueError("tier: none of the metrics asks a judge")
        for name in self.metrics:
            if (passes := resolve_metric(name).passes) > self.repeats:
                raise ValueError(f"repeats: {name} needs each case asked {passes} times, and it is {self.repeats}")
        return self


@dataclass(frozen=True, slots=True)
class Suite:
    """A loaded suite. ``hash`` changes whenever a byte of its definition or cases does; ``lines`` says on which
    line of the cases' file each case stands."""

    definition: SuiteDefinition
    cases: tuple[Case, ...]
    folder: Path
    hash: str
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def tier(self) -> Tier:
        """What a run measures unless told otherwise: everything."""
        if self.definition.tier:
            return self.definition.tier
        return "judged" if any(each.tier == "judged" for each in self.metrics()) else "offline"

    def metrics(self, tier: Tier = "judged") -> tuple[Metric, ...]:
        """The metrics of a tier, in the suite's order; the judged tier has the offline ones too."""
        found = (resolve_metric(name) for name in self.definition.metrics)
        return tuple(each for each in found if tier == "judged" or each.tier == "offline")

    def select(self, split: SplitChoice = "all", limit: int | None = None) -> tuple[Case, ...]:
        """The cases of one split in file order, at most ``limit`` of them."""
        chosen = [case for case in self.cases if split in ("all", case.split)]
        return tuple(chosen[:limit])

    def slices_of(self, case: Case) -> dict[str, str]:
        """The case's value in each slice of the suite that has one for it."""
        values = {name: each.value(case) for name, each in self.definition.slices.items()}
        return {name: value for name, value in values.items() if value}

    def where(self, case_id: str) -> str:
        """File and line of a case."""
        return f"{self.folder / self.definition.cases}:{self.lines.get(case_id, 0)}"


def suites_folder(project_dir: Path) -> Path:
    return project_dir / "evals" / "suites"


def list_suites(project_dir: Path) -> list[str]:
    """Names of the folders that hold a suite.yaml, and of the suites that every project has."""
    own = {path.parent.name for path in suites_folder(project_dir).glob("*/suite.yaml")}
    return sorted(own.union(ANYWHERE))


def suite_folder(project_dir: Path, name: str) -> Path:
    """Where the suite ``name`` is, or would be."""
    own = suites_folder(project_dir) / name
    return SHIPPED / name if name in ANYWHERE and not (own / "suite.yaml").is_file() else own


def load_suite(project_dir: Path, name: str, *, may_be_empty: bool = False) -> Suite:
    """Load and check one suite. ``may_be_empty``: it may be one that has no cases, or no file of them, yet.

    Raises NotFound that lists the known suites, or UserError with file and line for an unknown key, metric or
    parameter, an id used twice, a gold page that the corpus does not have, and a suite without cases.
    """
    folder = suite_folder(project_dir, name)
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
    corpus = _corpus_folder(project_dir, definition.corpus, path)
    if may_be_empty and not cases_path.exists():
        return Suite(definition, (), folder, _hash((path,)))
    cases, lines = _load_cases(cases_path, corpus, definition, may_be_empty=may_be_empty)
    return Suite(definition, cases, folder, _hash((path, cases_path)), lines)


def check_gold(suite: Suite, cases: Sequence[Case], pages: Mapping[str, Sequence[str]], release: str) -> None:
    """Check that every gold page and chunk is in the snapshot of ``release``, whose ``pages`` have these chunk ids.

    Raises UserError that names each one that is not, with file and line: a page that nobody can find would only lower
    the score, and a suite for other documents would look like a bad release.
    """
    chunks = {chunk for ids in pages.values() for chunk in ids}
    problems = [
        f"{suite.where(case.id)}: the gold {what} {each!r} is not in the snapshot of release {release[:12]}."
        for case in cases
        for what, wanted, known in (("page", case.pages, pages), ("chunk", case.chunks, chunks))
        for each in wanted
        if each not in known
    ]
    if problems:
        shown = problems[:20] + ([f"And {len(problems) - 20} more."] if len(problems) > 20 else [])
        raise UserError("\n".join(shown), hint="Sync the documents and build the release again, or correct the cases.")


def suite_warnings(suite: Suite) -> list[str]:
    """What a suite should have and works without."""
    readme = suite.folder / README
    try:
        text = readme.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    warnings = []
    if not text.strip():
        warnings.append(f"{readme}: is missing. Say where the cases come from, under which licence, and who labelled.")
    if not suite.definition.license:
        warnings.append(f"{suite.folder / 'suite.yaml'}: no license.")
    return warnings


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        data = file.read_bytes()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _corpus_folder(project_dir: Path, corpus: str, suite_path: Path) -> Path:
    folder = project_dir / corpus
    if not folder.is_dir():
        raise UserError(
            f"{suite_path}: key 'corpus': {folder} is not a folder.", hint="Gold pages are looked up in it."
        )
    return folder


def _load_cases(
    path: Path, corpus: Path, definition: SuiteDefinition, *, may_be_empty: bool
) -> tuple[tuple[Case, ...], dict[str, int]]:
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
            if not is_page(corpus, page)
        ]
        problems += [
            f"{path}:{line}: key 'slices': {key!r} is no slice of the suite that is read from a key."
            for key in case.slices
            if key not in {each.own_key for each in definition.slices.values()}
        ]
        cases.append(case)
    problems += [f"{path}:{lines[case.id]}: {text}" for case, text in _unpaired(cases)]
    if problems:
        raise UserError("\n".join(problems))
    if not cases and not may_be_empty:
        raise UserError(f"{path}: holds no cases.")
    return tuple(cases), lines


def _unpaired(cases: Sequence[Case]) -> list[tuple[Case, str]]:
    """Cases that name a pair which cannot be compared."""
    pairs: dict[str, list[Case]] = {}
    for case in cases:
        if case.pair:
            pairs.setdefault(case.pair, []).append(case)
    problems = []
    for name, members in pairs.items():
        if len(members) < 2:
            problems.append((members[0], f"the pair {name!r} has no second case."))
        elif len({(case.answerable, case.split) for case in members}) > 1:
            text = f"the cases of the pair {name!r} differ in 'answerable' or 'split', so they cannot fare the same."
            problems.append((members[-1], text))
    return problems


def is_page(corpus: Path, page: str) -> bool:
    """Whether ``page`` is a file inside the folder ``corpus``."""
    relative = Path(page)
    try:
        return not relative.is_absolute() and ".." not in relative.parts and (corpus / relative).is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL in it
        return False


def describe_suite(project_dir: Path, name: str) -> dict[str, Any]:
    """One line of ``lockgate evals list``; a broken suite is listed with its error instead of hiding the others."""
    try:
        suite = load_suite(project_dir, name)
    except LockgateError as error:
        return {"name": name, "error": str(error)}
    slices = {
        name: dict(Counter(suite.slices_of(case).get(name, OTHER) for case in suite.cases))
        for name in suite.definition.slices
    }
    return {
        "name": name,
        "version": suite.definition.version,
        "hash": suite.hash,
        "description": suite.definition.description,
        "license": suite.definition.license,
        "cases": len(suite.cases),
        "answerable": sum(case.answerable for case in suite.cases),
        "unanswerable": sum(not case.answerable for case in suite.cases),
        "dev": len(suite.select("dev")),
        "test": len(suite.select("test")),
        "targets": list(suite.definition.targets),
        "metrics": list(suite.definition.metrics),
        "slices": slices,
        "repeats": suite.definition.repeats,
        "tier": suite.tier,
        "warnings": suite_warnings(suite),
    }
