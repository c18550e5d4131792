"""Which two runs a comparison is of: found by run id, release or channel, and of the same suite."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.release_commands import release_named
from evals.comparing.compare import Comparison, Side, compare_rows
from evals.metrics.catalogue import resolve_metric
from evals.metrics.metric import Metric
from evals.runs.run_store import record_rows
from lockgate.errors import NotFound, UserError
from lockgate.settings import Settings
from lockgate.store.database import Database
from lockgate.store.eval_runs import EvalRunRecord, get_eval_run, list_release_runs

_LIKE_A_RELEASE = re.compile(r"[0-9a-fA-F]{6,64}\Z")


@dataclass(frozen=True, slots=True)
class RunPair:
    """Two runs of one suite at one version, A and B. ``notes`` say what is not compared, and why."""

    old: EvalRunRecord
    new: EvalRunRecord
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...]


def find_pair(settings: Settings, db: Database, a: str, b: str, suite: str | None = None) -> RunPair:
    """The newest runs of ``a`` and ``b`` that can be compared; each is a run's id, a release or a channel.

    Raises NotFound for an unknown name, and UserError that lists the runs there are when no two are of the same suite,
    version and cases.
    """
    old, new = runs_named(settings, db, a), runs_named(settings, db, b)
    if pair := newest_pair(old, new, suite):
        return pair
    if len(old) == len(new) == 1 and old[0].id == new[0].id:
        raise UserError(f"{a!r} and {b!r} are the same run.")
    wanted = f"of the suite {suite!r} " if suite else ""
    raise UserError(
        f"{a!r} and {b!r} have no two runs {wanted}that asked the same cases of the same suite version.",
        hint=f"Runs of {a}: {_listed(old)}. Runs of {b}: {_listed(new)}. Run: lockgate evals run SUITE --release ID",
    )


def newest_pair(old: Sequence[EvalRunRecord], new: Sequence[EvalRunRecord], suite: str | None = None) -> RunPair | None:
    """The first of ``new`` that can be compared with one of ``old``, and the first of these; None when none can be."""
    for first in new:
        for second in old:
            if first.id != second.id and _comparable(first, second) and suite in (None, first.suite):
                return _pair(second, first)
    return None


def compare_pair(settings: Settings, pair: RunPair, margins: Mapping[str, float] | None = None) -> Comparison:
    """The comparison of the two runs' stored rows. Raises NotFound and Corrupt for rows that are not there any more."""
    return compare_rows(
        record_rows(settings, pair.old),
        record_rows(settings, pair.new),
        pair.metrics,
        margins=margins,
        sides=(Side(pair.old.id, pair.old.release), Side(pair.new.id, pair.new.release)),
        suite=(pair.new.suite, pair.new.suite_version, pair.new.suite_hash),
    )


def runs_named(settings: Settings, db: Database, name: str) -> list[EvalRunRecord]:
    """The run with that id, or the runs of the release that ``name`` is or points at, newest first. Raises NotFound."""
    try:
        return [get_eval_run(db, name)]
    except NotFound:
        release = _release(settings, db, name)
    found = list_release_runs(db, release)
    if not found:
        raise NotFound(
            f"The release {release[:12]} has no eval run.",
            hint=f"Run: lockgate evals run SUITE --release {release[:12]}",
        )
    return found


def _release(settings: Settings, db: Database, name: str) -> str:
    try:
        return release_named(settings, db, name)
    except UserError as error:
        if _LIKE_A_RELEASE.match(name):
            raise
        # It could have been meant as any of the three.
        raise NotFound(f"There is no eval run, release or channel {name[:80]!r}.", hint=error.hint) from None


def _comparable(first: EvalRunRecord, second: EvalRunRecord) -> bool:
    """The same suite byte for byte, the same part of it, asked equally often."""

    def asked(run: EvalRunRecord) -> tuple[object, ...]:
        return run.suite, run.suite_hash, *(run.metadata.get(key) for key in ("split", "limit", "repeats"))

    return asked(first) == asked(second)


def _pair(old: EvalRunRecord, new: EvalRunRecord) -> RunPair:
    measured = [_names(run) for run in (old, new)]
    names = [name for name in measured[1] if name in measured[0]]
    metrics = [resolve_metric(name) for name in names]
    notes = [
        f"{name} is in one of the runs only." for name in dict.fromkeys(measured[0] + measured[1]) if name not in names
    ]
    if old.metadata.get("judge") != new.metadata.get("judge"):
        judged = [metric.name for metric in metrics if metric.tier == "judged"]
        metrics = [metric for metric in metrics if metric.tier != "judged"]
        notes += [f"{name} is not compared: the runs had different judges." for name in judged]
    return RunPair(old, new, tuple(metrics), tuple(notes))


def _names(run: EvalRunRecord) -> list[str]:
    return list(run.aggregates.get("metrics", {}))


def _listed(runs: list[EvalRunRecord]) -> str:
    shown = [f"{run.id} ({run.suite} v{run.suite_version}, {run.suite_hash[:8]})" for run in runs[:5]]
    return ", ".join(shown)
