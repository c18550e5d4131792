"""What a report says of a run: the run, what it is compared with, what a gate said, and what to know before all that.

Every format is made of this one value, so that all of them show the same figures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from evals.comparing.compare import Comparison
from evals.reports.changes import CaseChange, counts_of, find_changes
from evals.reports.reported_run import ReportedRun, reported_run
from evals.runs.run import EvalRun
from evals.verdict import GateReport, Verdict
from lockgate.atomic import write_atomic

FORMAT = 1
"""Goes up when a key of the JSON report changes its meaning or goes away; new keys may come at any time."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to know first. ``bad``: the figures are not what a reader would take them for."""

    level: Literal["bad", "note"]
    text: str


@dataclass(frozen=True)
class Report:
    """``comparison`` is of ``run`` with ``base``; both are there or neither is. ``base_name`` says what the base was
    chosen as, such as "production". ``margins`` are the drops that the gate of ``margins_of`` allows, in the metrics'
    own units. ``notes`` say how the base was found and what is not compared."""

    run: ReportedRun
    base: ReportedRun | None = None
    base_name: str = ""
    comparison: Comparison | None = None
    gate: GateReport | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    margins_of: str = ""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.run.suite} v{self.run.suite_version}, {self.run.mode}"

    @property
    def verdict(self) -> Verdict | None:
        """The gate's, else that of a comparison against margins; None when nothing was asked that gives one."""
        if self.gate is not None:
            return self.gate.verdict
        return self.comparison.verdict if self.comparison else None

    @cached_property
    def changes(self) -> tuple[CaseChange, ...]:
        if self.base is None or self.comparison is None:
            return ()
        return find_changes(self.base, self.run, self.comparison)

    @cached_property
    def warnings(self) -> tuple[Warned, ...]:
        """What is wrong with the run first, then with what it is compared with, then what is only good to know."""
        found = [*_warnings(self.run)]
        if self.base is not None:
            found += [Warned(each.level, f"The base: {each.text}") for each in _warnings(self.base)]
        if self.gate is not None and (other := _judged_runs(self.gate, self.run)):
            found.append(
                Warned("note", f"The gate judged the release by another run than this one: {', '.join(other)}.")
            )
        return (*found, *(Warned("note", note) for note in self.notes))

    @property
    def sound(self) -> bool:
        """Whether the figures are those of a whole run with every score. Nothing else may look good."""
        return not any(each.level == "bad" for each in self.warnings)

    def as_json(self) -> dict[str, Any]:
        """The run as ``evals run --json`` prints it, and beside it what belongs to the report."""
        body = {
            "format": FORMAT,
            **self.run.as_json(),
            "verdict": self.verdict,
            "sound": self.sound,
            "warnings": [{"level": each.level, "text": each.text} for each in self.warnings],
            "base": None if self.base is None else {"name": self.base_name, **self.base.as_json()},
            "comparison": None if self.comparison is None else self.comparison.as_json(),
            "changes": [each.as_json() for each in self.changes],
            "change_counts": dict(counts_of(self.changes)) if self.comparison else None,
            "margins": dict(self.margins),
            "margins_of": self.margins_of or None,
            "gate": None if self.gate is None else self.gate.as_json(),
        }
        finite: dict[str, Any] = _finite(body)
        return finite


def to_json(report: Report) -> bytes:
    """NaN cannot get in, not even out of a stored row. Half of a surrogate pair, which UTF-8 cannot hold,
    becomes JSON's own escape of it."""
    text = json.dumps(report.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    """``value`` with null for numbers that JSON has no word for: whoever wrote them, they are no scores."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def write_reports(run: EvalRun, folder: Path) -> tuple[Path, Path]:
    """Write report.json and report.html into ``folder``, each atomically. Raises Unavailable when it cannot write."""
    from evals.reports.report_html import render_html

    report = Report(reported_run(run))
    json_path, html_path = folder / "report.json", folder / "report.html"
    write_atomic(json_path, to_json(report))
    write_atomic(html_path, render_html(report).encode())
    return json_path, html_path


def _warnings(run: ReportedRun) -> Iterator[Warned]:
    have, cases = len(run.rows), run.aggregates["cases"]
    if run.finished_at is None:
        of = f" of {run.expected}" if run.expected is not None else ""
        yield Warned(
            "bad",
            f"This run has not finished: {have}{of} rows are there, so none of its figures counts. "
            f"Go on with: lockgate evals run {run.suite} --resume {run.id}",
        )
    if not run.rows:
        yield Warned("bad", "This run has no rows: nothing was asked.")
    elif not run.scored_anything:
        yield Warned("bad", f"Nothing was scored: no metric has a score in any of the {cases} cases.")
    else:
        failed = run.aggregates["failed"]
        if failed:
            yield Warned("bad", f"{failed} of {have} rows failed and are unscored.")
        if run.missing_scores:
            each = {name: one["unscored"] for name, one in run.aggregates["metrics"].items() if one["unscored"]}
            named = ", ".join(f"{name} {count}" for name, count in each.items())
            yield Warned("bad", f"Scores are missing, by cases: {named}.")
    if source := run.metadata.get("scored"):
        yield Warned("note", f"These are stored answers, scored again (from {source}), and no run of a release.")
    elif run.rows and run.finished_at is not None and not run.aggregates.get("complete"):
        first = f", the first {run.limit} cases" if run.limit is not None else ""
        yield Warned("note", f"It covers a part of the suite only (split {run.split}{first}), so it is no evidence.")
    if len(run.snapshots) > 1:
        yield Warned("bad", f"The index changed during the run (snapshots {', '.join(run.snapshots)}): run it again.")
    if any(row.searched == "bm25" for row in run.rows):
        yield Warned("note", "Some questions were searched in a BM25-only snapshot: the index was still being built.")


def _judged_runs(gate: GateReport, run: ReportedRun) -> list[str]:
    """Runs of this suite that the gate looked at instead of this one."""
    rules = [each.details for each in gate.rules if each.details.get("suite") == run.suite]
    return [str(details["run"]) for details in rules if details.get("run") not in (None, run.id)]
