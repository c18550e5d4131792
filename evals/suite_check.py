"""One suite as a check in somebody's own tests: measured, or from evidence that still counts, and judged like a gate.

The rules are those of a gate file's ``suite`` rule, the evidence is the same, and so is the verdict: whatever is
missing or broken is INCONCLUSIVE, never PASS.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field, ValidationError

from evals.evidence import Evidence, find_evidence
from evals.gate import Gate, judge, load_gate
from evals.gate_context import gate_context
from evals.metrics.metric import Tier
from evals.rules.definitions import SuiteRule
from evals.runs.measuring import RunRequest, RunStopped, measure
from evals.suite import Suite, load_suite
from evals.verdict import GateReport, Verdict
from lockgate.atomic import disk_errors
from lockgate.content import ContentModel
from lockgate.errors import Conflict, LockgateError, UserError
from lockgate.file_lock import wait_for_lock
from lockgate.owner import find_owner
from lockgate.release import canonical_json
from lockgate.store.channels import PRODUCTION, get_channel
from lockgate.store.database import open_database
from lockgate.store.releases import open_releases

if TYPE_CHECKING:
    from lockgate.release import Manifest
    from lockgate.settings import Settings
    from lockgate.store.database import Database

LOCK_FILE = "suite-check.lock"
RULE_KEYS = ("floors", "max_drop", "slices", "zero_tolerance", "min_n", "max_unscored", "max_age_days")
POLL_SECONDS = 0.2

T = TypeVar("T")


class SuiteCheck(ContentModel):
    """What to measure and the bounds to judge it by, as somebody wrote it into a test.

    ``release`` is an id or its first characters, ``channel`` the release that a channel points at; without both, a
    release is built from the project's files. ``against`` is the release or channel that ``max_drop`` compares with;
    without it, what production points at. ``gate`` takes the bounds from that channel's gate file instead.
    """

    suite: str
    release: str | None = None
    channel: str | None = None
    chain: str | None = None
    against: str | None = None
    gate: str | None = None
    tier: Tier | None = None
    concurrency: int = Field(default=2, ge=1, le=64)
    floors: dict[str, Any] | None = None
    max_drop: dict[str, Any] | None = None
    slices: dict[str, Any] | None = None
    zero_tolerance: tuple[Any, ...] | None = None
    min_n: Any = None
    max_unscored: Any = None
    max_age_days: Any = None

    @property
    def bounds(self) -> dict[str, Any]:
        return {key: value for key in RULE_KEYS if (value := getattr(self, key)) is not None}


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """``run`` False asks nothing: only evidence that is there counts. Evidence from before ``since`` is not taken.
    ``wait`` bounds, in seconds, how long another process is waited for that measures too or has the index."""

    run: bool = True
    since: datetime | None = None
    wait: float = 600.0


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """``metrics`` are the aggregates that the evidence states; ``measured`` is False where it was there already."""

    suite: str
    release: str
    compared_with: str | None
    report: GateReport
    evidence: str
    measured: bool
    metrics: Mapping[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return self.report.verdict

    def value(self, metric: str) -> float | None:
        """What ``metric`` was measured at; None where nothing could be scored. Raises KeyError for one that the suite
        does not measure."""
        value = self.metrics[metric]["value"]
        return None if value is None else float(value)

    def line(self) -> str:
        how = "measured now" if self.measured else "from evidence"
        where = f"{how} {self.evidence[:12]}" if self.evidence else "no evidence"
        return f"{self.verdict}  {self.suite}, release {self.release[:12]}, {where}"

    def reasons(self) -> list[str]:
        """What speaks against the release, a line each, with what would resolve it."""
        lines = []
        for rule in self.report.rules:
            checks = [each for each in rule.details.get("checks", ()) if each["verdict"] != "PASS"]
            if rule.verdict != "PASS" and not checks:
                lines.append(_reason(rule.verdict, rule.reason, rule.hint))
            lines += [_reason(each["verdict"], each["reason"], each["resolve"]) for each in checks]
        return lines


def read_check(suite: object, keywords: Mapping[str, Any]) -> SuiteCheck:
    """Raises UserError that names the keyword, its value and what it may be."""
    known = sorted(set(SuiteCheck.model_fields) - {"suite"})
    if unknown := [name for name in keywords if name not in known]:
        raise UserError(f"unknown keyword {unknown[0]!r}.", hint=f"Known keywords: {', '.join(known)}.")
    try:
        check = SuiteCheck.model_validate({"suite": suite, **keywords})
        if check.bounds or check.gate is None:
            _own_rule(check)
    except ValidationError as error:
        raise UserError(" ".join(_problem(item) for item in error.errors())) from None
    if check.gate is not None and check.bounds:
        raise UserError(f"gate brings its own bounds: leave out {', '.join(check.bounds)}.")
    if check.release is not None and check.channel is not None:
        raise UserError("release and channel both say what to measure: leave out one.")
    return check


def check_suite(settings: Settings, check: SuiteCheck, options: CheckOptions) -> SuiteResult:
    """Measure what has no evidence that counts, and judge. One process of a project does so at a time.

    Raises UserError, NotFound and Unavailable for whatever keeps it from judging; KeyboardInterrupt is passed on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries behind a release are not what the tests are about
        return _outside_loops(partial(_check, settings, check, options))


def _check(settings: Settings, check: SuiteCheck, options: CheckOptions) -> SuiteResult:
    suite = load_suite(settings.project_dir, check.suite)
    rules = _rules(settings, check)
    deadline = time.monotonic() + options.wait
    said: list[str] = []
    with _alone(settings.state_dir, deadline), open_database(settings.database) as db:
        manifest = _manifest(settings, db, check)
        compared_with = _against(settings, db, check, manifest) if any(rule.max_drop for rule in rules) else None
        age = min((rule.max_age_days for rule in rules if rule.max_age_days is not None), default=None)
        ensure = partial(_ensure, settings, db, suite, check, options, age, deadline=deadline, say=said.append)
        found, measured = ensure(manifest)
        if compared_with not in (None, manifest.id):
            ensure(open_releases(settings, db).manifest(str(compared_with)))
        gate = _gate(settings, check, rules)
        context = gate_context(settings, db, manifest, gate.channel, _nobody)
        report = asyncio.run(judge(gate, replace(context, current=compared_with)))
    return SuiteResult(
        suite=suite.name,
        release=manifest.id,
        compared_with=compared_with,
        report=report,
        evidence=found.id if found else "",
        measured=measured,
        metrics=found.body.aggregates if found else {},
        said=tuple(said),
    )


def _rules(settings: Settings, check: SuiteCheck) -> tuple[SuiteRule, ...]:
    if check.gate is None:
        return (_own_rule(check),)
    gate = load_gate(settings.project_dir, check.gate)
    rules = [each for each in gate.rules if isinstance(each, SuiteRule) and each.suite in (None, check.suite)]
    if not rules:
        raise UserError(f"{gate.path}: has no rule about the suite {check.suite!r}.", hint="Add a rule `rule: suite`.")
    return tuple(each.model_copy(update={"suite": check.suite}) for each in rules)


def _own_rule(check: SuiteCheck) -> SuiteRule:
    return SuiteRule.model_validate({"rule": "suite", "suite": check.suite, **check.bounds})


def _gate(settings: Settings, check: SuiteCheck, rules: tuple[SuiteRule, ...]) -> Gate:
    text = canonical_json([rule.model_dump(mode="json") for rule in rules])
    return Gate(check.gate or PRODUCTION, "", rules, settings.project_dir, hashlib.sha256(text).hexdigest())


def _manifest(settings: Settings, db: Database, check: SuiteCheck) -> Manifest:
    from chains.release import build_from_project
    from chains.release_commands import release_named

    if check.release is None and check.channel is None:
        name = build_from_project(settings, check.chain or settings.chain).id
    else:
        by_channel = f"{check.chain or settings.chain}@{check.channel}"
        name = release_named(settings, db, by_channel if check.release is None else check.release)
    manifest = open_releases(settings, db).manifest(name)
    if check.chain is not None and manifest.name != check.chain:
        raise UserError(f"Release {name[:12]} is of chain {manifest.name!r}, not {check.chain!r}.")
    return manifest


def _against(settings: Settings, db: Database, check: SuiteCheck, manifest: Manifest) -> str | None:
    """The release to compare with. A name that was given has to be there; production may be empty."""
    from chains.release_commands import release_named

    if check.against is None:
        return get_channel(db, check.gate or PRODUCTION, manifest.name).release
    try:
        return get_channel(db, check.against, manifest.name).release or release_named(settings, db, check.against)
    except UserError:
        return release_named(settings, db, check.against)


def _ensure(
    settings: Settings,
    db: Database,
    suite: Suite,
    check: SuiteCheck,
    options: CheckOptions,
    max_age_days: float | None,
    manifest: Manifest,
    *,
    deadline: float,
    say: Callable[[str], None],
) -> tuple[Evidence | None, bool]:
    """(the evidence that counts, whether it was measured now)"""
    found = find_evidence(settings, db, manifest.id, suite.name, suite.hash)
    if found.evidence is not None and _is_enough(found.evidence, suite, check, options, max_age_days, manifest):
        return found.evidence, False
    if not options.run:
        return found.evidence, False
    _wait_for_index(settings.state_dir, deadline)
    request = RunRequest(suite.name, release=manifest.id, tier=check.tier, concurrency=check.concurrency)
    try:
        measure(settings, request, progress=_silent, say=say)
    except RunStopped as error:
        if error.interrupted:
            raise KeyboardInterrupt from None
        raise
    return find_evidence(settings, db, manifest.id, suite.name, suite.hash).evidence, True


def _is_enough(
    evidence: Evidence,
    suite: Suite,
    check: SuiteCheck,
    options: CheckOptions,
    max_age_days: float | None,
    manifest: Manifest,
) -> bool:
    """Whether measuring again could not tell more than this evidence does."""
    body = evidence.body
    tier: Tier = "offline" if body.tier == "offline" else "judged"
    if options.since is not None and body.finished_at < options.since:
        return False
    if len(suite.metrics(check.tier or suite.tier)) > len(suite.metrics(tier)):
        return False
    if max_age_days is not None and datetime.now(UTC) - body.finished_at > timedelta(days=max_age_days):
        return False
    return body.mode not in ("extractive", "generative", "mixed") or body.mode == manifest.route.mode


@contextlib.contextmanager
def _alone(state_dir: Path, deadline: float) -> Iterator[None]:
    """Of several test processes, one measures; the others find its evidence when their turn comes."""
    path = state_dir / LOCK_FILE
    with disk_errors(path):
        state_dir.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not wait_for_lock(fd, deadline):
            raise Conflict(
                f"{path}: another test process is still measuring.",
                hint="Wait longer (--lockgate-wait), or run it alone.",
            )
        yield
    finally:
        os.close(fd)


def _wait_for_index(state_dir: Path, deadline: float) -> None:
    """Until no command has the index; a server is no hindrance. The error of opening names whoever has it then."""
    while (card := find_owner(state_dir)) is not None and card.url is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _outside_loops(work: Callable[[], T]) -> T:
    """``work`` starts event loops of its own, so it needs a thread without one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    result: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="lockgate-suite", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]


def _problem(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"] if part != "suite" or len(item["loc"]) == 1)
    message = str(item["msg"]).removeprefix("Value error, ")
    given = repr(item.get("input"))
    shown = f", got {given if len(given) <= 80 else given[:77] + '...'}" if name else ""
    return f"{name or 'the bounds'}: {message}{shown}."


def _reason(verdict: str, reason: str, resolve: str) -> str:
    text = " ".join(reason.split())
    return f"{verdict}: {text}" + (f" -> {' '.join(resolve.split())}" if resolve else "")


def _nobody(_release: str) -> Any:
    raise LockgateError("A suite check asks no question of its own.")


def _silent(_stage: str, _done: int, _total: int) -> None:
    return None
