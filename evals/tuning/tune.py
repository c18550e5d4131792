"""Tuning a chain: a search on the dev half of a suite, then one look at the test half, then the definition's file.

The search is given the dev cases and nothing else; the test cases are asked when the choice is made. What it chose is
written unless the test half says that it is worse; a gain is claimed only where the interval there leaves out zero.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chains.chain import ChainParts
from chains.definition import ChainDefinition, load_chain
from evals.case import Case
from evals.comparing.compare import Comparison, Side, compare_rows
from evals.runs.row import Row
from evals.statistics.difference import Difference
from evals.suite import Suite, check_gold, load_suite
from evals.tuning.candidates import CandidateLists
from evals.tuning.chain_file import definition_file, edited, is_uncommitted, write_definition
from evals.tuning.objective import Objective, read_objective, reported_metrics
from evals.tuning.search import Found, search
from evals.tuning.setting import Setting, coordinates, setting_of
from evals.tuning.trials import KeptVectors, Trials
from lockgate.content import read_text
from lockgate.errors import UserError
from lockgate.ports import Progress
from lockgate.settings import Settings

if TYPE_CHECKING:
    from ingestion.service import IndexService, OpenSnapshot
    from lockgate.store.database import Database

COMMAND = "lockgate evals tune"
LEAST_CASES = 10
"""Of each half; fewer choose by chance, and show nothing."""

FEW_CASES = 100
"""Of the dev half; below, the choice is often another one with other cases."""

Decision = Literal["written", "would be written", "kept"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """``budget`` bounds the settings that are tried."""

    chain: str
    suite: str | None = None
    budget: int = 600
    seed: int = 0
    metrics: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Half:
    """What the default and the tuned setting are worth on the cases of one half."""

    cases: int
    default: float
    tuned: float
    difference: Difference
    comparison: Comparison

    def as_json(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "default": self.default,
            "tuned": self.tuned,
            "difference": self.difference.as_json(),
            "metrics": {
                each.metric: {
                    "default": each.old.value,
                    "tuned": each.new.value,
                    "difference": each.difference.value,
                    "low": each.difference.low,
                    "high": each.difference.high,
                    "n": each.difference.n,
                }
                for each in self.comparison.metrics
            },
        }


@dataclass(frozen=True, slots=True)
class Tuning:
    """What came of it. Without anything better on dev, ``found.best`` is the default."""

    request: TuneRequest
    suite: Suite
    snapshot: str
    objective: Objective
    default: Setting
    found: Found
    dev: Half
    test: Half
    decision: Decision
    reason: str
    file: Path
    warnings: tuple[str, ...]
    asked: int

    @property
    def command(self) -> str:
        metrics = "".join(f" --metric '{name}'" for name in self.request.metrics)
        options = f"--suite {self.suite.name} --budget {self.request.budget} --seed {self.request.seed}{metrics}"
        return f"{COMMAND} --chain {self.request.chain} {options}"

    @property
    def gained(self) -> bool:
        low = self.test.difference.low
        return low is not None and low > 0

    def as_json(self) -> dict[str, Any]:
        definition = self.suite.definition
        return {
            "chain": self.request.chain,
            "suite": {"name": self.suite.name, "version": definition.version, "hash": self.suite.hash},
            "snapshot": self.snapshot,
            "seed": self.request.seed,
            "budget": self.request.budget,
            "tried": self.found.tried,
            "answers": self.asked,
            "objective": self.objective.names,
            "default": self.default.as_json(),
            "tuned": self.found.best.as_json(),
            "dev": self.dev.as_json(),
            "test": self.test.as_json(),
            "decision": self.decision,
            "gained": self.gained,
            "reason": self.reason,
            "file": str(self.file),
            "warnings": list(self.warnings),
            "command": self.command,
        }


def tune(settings: Settings, request: TuneRequest, *, progress: Progress, say: Say) -> Tuning:
    """Tune the chain's parameters, and write them to its file. ``say`` is told the warnings before the search.

    Raises UserError for a suite that cannot tune, NotFound without a snapshot, Conflict while a server has the index
    or when the file was changed meanwhile.
    """
    definition = load_chain(settings.project_dir, request.chain)
    source, target = definition_file(settings.project_dir, request.chain)
    text = read_text(source)
    suite = load_suite(settings.project_dir, request.suite or definition.suite)
    halves = _halves(suite, request.chain)
    with _opened(settings) as (db, service):
        opened = service.current()
        _check_gold(db, suite, opened)
        warnings = [*_chain_warnings(definition, target), *_suite_warnings(*halves)]
        for line in warnings:
            say(line)
        with _parts(settings, definition, service, opened) as parts:
            lists = CandidateLists(service, opened)
            tuner = _Tuner(request, definition, parts, lists, suite, progress)
            objective, found, dev_trials = tuner.choose(halves[0])
            test_trials = tuner.trials(halves[1], objective)
            dev, test = (tuner.half(each, objective, found.best) for each in (dev_trials, test_trials))
            asked = dev_trials.asked + test_trials.asked
    better = found.best != setting_of(definition)
    decision, reason = _decide(test, better=better, dry_run=request.dry_run)
    tuning = Tuning(
        request, suite, opened.record.id, objective, setting_of(definition), found, dev, test, decision, reason, target,
        tuple(warnings), asked,
    )  # fmt: skip
    new = edited(text, found.best.changes(tuning.default), notes(tuning), where=str(source)) if better else text
    if decision == "written":
        write_definition(source, target, text, new)
    return tuning


def notes(tuning: Tuning) -> list[str]:
    """What the block in the definition says: the command, the suite, the seed, and the figures of both halves."""
    suite, default = tuning.suite, tuning.default.as_json()
    best = tuning.found.best.as_json()
    changed = ", ".join(f"{name} {default[name]} -> {best[name]}" for name in best if best[name] != default[name])
    lines = [
        f"command: {tuning.command}",
        f"suite: {suite.name} version {suite.definition.version}, hash {suite.hash}",
        f"snapshot: {tuning.snapshot}; seed: {tuning.request.seed}; settings tried: {tuning.found.tried}",
        f"objective: mean of {', '.join(tuning.objective.names)}",
        f"changed: {changed}",
    ]
    for name, half in (("dev, chosen on it", tuning.dev), ("test, never seen by the search", tuning.test)):
        lines.append(f"{name}: {half.default:.3f} -> {half.tuned:.3f} over {half.cases} cases")
    return [*lines, f"test, difference: {tuning.test.difference.in_words()}; {claim(tuning)}{worse(tuning.test)}"]


def worse(half: Half) -> str:
    """The single metrics that became worse beyond chance, whatever their mean did; "" when none did."""
    found = [
        f"{each.metric} {each.difference.in_words()}"
        for each in half.comparison.metrics
        if each.difference.high is not None and each.difference.high < 0
    ]
    return f"; worse there: {', '.join(found)}" if found else ""


def claim(tuning: Tuning) -> str:
    return "a gain" if tuning.gained else "no gain is claimed, the interval includes zero"


@dataclass(frozen=True, slots=True)
class _Tuner:
    request: TuneRequest
    definition: ChainDefinition
    parts: ChainParts
    lists: CandidateLists
    suite: Suite
    progress: Progress

    def choose(self, cases: Sequence[Case]) -> tuple[Objective, Found, Trials]:
        """The best setting for ``cases``, which are the dev half and all that is looked at."""
        answers = self.definition.mode == "extractive"
        objective = read_objective(self.request.metrics, cases, answers=answers)
        trials = self.trials(cases, objective)
        start = setting_of(self.definition)
        first = trials.rows(start, lambda done: self.progress("default, dev", done, len(cases)))
        weights = objective.weights(first)
        abstentions = any(not case.answerable for case in cases)
        found = search(
            start,
            coordinates(self.lists.kind, answers=answers, abstentions=abstentions),
            lambda setting: objective.value(trials.rows(setting), weights),
            budget=self.request.budget,
            seed=self.request.seed,
            tried=lambda done: self.progress("settings", done, self.request.budget),
        )
        self.progress("settings", self.request.budget, self.request.budget)
        return objective, found, trials

    def trials(self, cases: Sequence[Case], objective: Objective) -> Trials:
        metrics = reported_metrics(self.suite.metrics("offline"), objective)
        if self.definition.mode != "extractive":
            metrics = tuple(each for each in metrics if each.group in ("retrieval", "abstention"))
        return Trials(self.parts, self.lists, self.suite, cases, metrics)

    def half(self, trials: Trials, objective: Objective, best: Setting) -> Half:
        split, count = trials.cases[0].split, len(trials.cases)
        old, new = (
            trials.rows(each, lambda done, name=name: self.progress(f"{name}, {split}", done, count))  # type: ignore[misc]
            for name, each in (("default", setting_of(self.definition)), ("tuned", best))
        )
        weights = objective.weights(old)
        return Half(
            cases=count,
            default=objective.value(old, weights),
            tuned=objective.value(new, weights),
            difference=objective.difference(old, new),
            comparison=self._compared(old, new, trials),
        )

    def _compared(self, old: Sequence[Row], new: Sequence[Row], trials: Trials) -> Comparison:
        sides = Side("", "", "default"), Side("", "", "tuned")
        suite = self.suite.name, str(self.suite.definition.version), self.suite.hash
        return compare_rows(old, new, trials.metrics, sides=sides, suite=suite)


def _decide(test: Half, *, better: bool, dry_run: bool) -> tuple[Decision, str]:
    if not better:
        return "kept", "No setting was better than the chain's own on the dev half. The file is as it was."
    low, high = test.difference.low, test.difference.high
    figures = f"{test.default:.3f} -> {test.tuned:.3f}, difference {test.difference.in_words()}"
    if low is None or high is None:
        return "kept", f"The test half is too few pages to tell ({figures}). The file is kept as it was."
    if high < 0:
        return "kept", f"The tuned setting is worse on the test half ({figures}). The file is kept as it was."
    said = "A gain on the test half" if low > 0 else "No gain is claimed: the interval on the test half includes zero"
    return ("would be written" if dry_run else "written"), f"{said} ({figures}{worse(test)})."


def _halves(suite: Suite, chain: str) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    targets = suite.definition.targets
    if targets and chain not in targets:
        raise UserError(
            f"The suite {suite.name!r} measures the chain {' or '.join(targets)}, not {chain!r}.",
            hint="Add the chain to 'targets' in suite.yaml, or choose another suite with --suite.",
        )
    dev, test = suite.select("dev"), suite.select("test")
    for name, cases in (("dev", dev), ("test", test)):
        if len(cases) < LEAST_CASES:
            raise UserError(
                f"The suite {suite.name!r} has {len(cases)} cases in split {name!r}; tuning needs {LEAST_CASES}.",
                hint=f"Give cases the split {name!r} in {suite.folder / suite.definition.cases}.",
            )
        if not any(case.answerable for case in cases):
            raise UserError(f"The suite {suite.name!r} has no answerable case in split {name!r}.")
    return dev, test


def _suite_warnings(dev: Sequence[Case], test: Sequence[Case]) -> Iterator[str]:
    if len(dev) < FEW_CASES:
        yield f"Only {len(dev)} dev cases: other cases might well choose another setting."
    if all(case.answerable for case in dev):
        yield "No dev case is unanswerable: nothing says when to abstain, so the relevance keys stay as they are."
    elif all(case.answerable for case in test):
        yield "No test case is unanswerable: what tuning does to abstaining is not checked."


def _chain_warnings(definition: ChainDefinition, target: Path) -> Iterator[str]:
    if is_uncommitted(target):
        yield f"{target}: is not as it is committed; the tuned values come on top of what is not."
    if definition.mode != "extractive":
        yield (
            f"The chain's mode is {definition.mode}: no model is asked here, so only the search and the decision to "
            "abstain are tuned, and `passages` stays."
        )
    if definition.condense == "model":
        yield "Follow-up questions are completed by the rule here, not by the chain's model."


def _check_gold(db: Database, suite: Suite, opened: OpenSnapshot) -> None:
    from lockgate.store.snapshots import pages_at

    pages: dict[str, list[str]] = {}
    for page in pages_at(db, opened.record.seq):
        pages.setdefault(page.path, []).extend(page.chunk_ids)
    check_gold(suite, suite.cases, pages, f"snapshot {opened.record.id}")


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Database, IndexService]]:
    """The index in this process: weights are tried below what a server's API offers."""
    from ingestion.embedding import open_embedder
    from ingestion.service import IndexService
    from lockgate.owner import acquire
    from lockgate.store.database import open_database

    with (
        acquire(settings.state_dir, COMMAND),
        open_database(settings.database) as db,
        IndexService(settings, db, open_embedder(settings)) as service,
    ):
        yield db, service


@contextlib.contextmanager
def _parts(
    settings: Settings, definition: ChainDefinition, service: IndexService, opened: OpenSnapshot
) -> Iterator[ChainParts]:
    """The chain's parts as its files have them. Traces of trials are nobody's, and go to a database of their own."""
    from guardrails.policy import load_policy
    from ingestion.retriever import SnapshotRetriever
    from lockgate.store.database import open_database
    from prompts.collection import find_prompt

    def no_model() -> Any:
        raise UserError("Tuning asks no model.")

    definition = definition.model_copy(update={"mode": "extractive", "condense": "rule"})
    vectors = KeptVectors(opened.embedder.load()) if opened.record.kind == "hybrid" else None

    def embedder() -> Any:
        return vectors if vectors is not None else opened.embedder.load()

    with (
        tempfile.TemporaryDirectory(prefix="lockgate-tune-") as folder,
        open_database(f"sqlite:///{Path(folder) / 'traces.db'}") as traces,
    ):
        yield ChainParts(
            definition=definition,
            release="",
            mode="extractive",
            retriever=SnapshotRetriever(service, definition.retrieval, lambda: opened),
            embedder=embedder,
            chat_model=no_model,
            model="",
            answer_prompt=find_prompt(settings.project_dir, definition.prompts.answer),
            condense_prompt=find_prompt(settings.project_dir, definition.prompts.condense),
            policy=load_policy(settings.project_dir, definition.policy),
            db=traces,
            count_tokens=opened.embedder.count_tokens,
        )


def changed_values(tuning: Tuning) -> Mapping[str, tuple[float, float]]:
    """Key: the value before and after, for those that tuning changes."""
    default, best = tuning.default.as_json(), tuning.found.best.as_json()
    return {name: (default[name], best[name]) for name in best if best[name] != default[name]}
