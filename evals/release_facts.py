"""Everything a person must answer for in a release: what it pins, who built it, where it is served, how it measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from chains.provenance import ProvenanceCheck, verify_provenance
from chains.release_commands import channel_marks, describe, release_named
from evals.targets import TargetRow, TargetTable, read_targets
from lockgate.release import Manifest
from lockgate.settings import Settings
from lockgate.store.database import Database
from lockgate.store.eval_runs import EvalRunRecord, list_release_runs
from lockgate.store.releases import ReleaseRecord, open_releases
from lockgate.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

RUNS_SHOWN = 10
_SHORT = 12

Row = tuple[str, str, str]
"""Label, value, style."""


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """``channels`` are in words, forced ones marked; ``check`` is of the provenance's signature."""

    record: ReleaseRecord
    manifest: Manifest
    channels: tuple[str, ...]
    check: ProvenanceCheck
    targets: TargetTable
    runs: tuple[EvalRunRecord, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            **describe(self.record),
            "channels": list(self.channels),
            "provenance_check": asdict(self.check),
            "manifest": self.manifest.model_dump(mode="json"),
            "targets": [row.as_json() for row in self.targets.rows],
            "targets_problem": self.targets.problem,
            "eval_runs": [_run_json(run) for run in self.runs],
        }


def read_facts(settings: Settings, db: Database, name: str) -> ReleaseFacts:
    """Raises NotFound, and Corrupt for a manifest that was touched."""
    release = release_named(settings, db, name)
    store = open_releases(settings, db)
    manifest, record = store.manifest(release), store.find(release)
    return ReleaseFacts(
        record=record,
        manifest=manifest,
        channels=tuple(channel_marks(db)[release]),
        check=verify_provenance(record.provenance, release, state_dir=settings.state_dir),
        targets=read_targets(db, settings.project_dir, release, mode=manifest.route.mode),
        runs=tuple(list_release_runs(db, release)),
    )


def render(facts: ReleaseFacts, console: Console) -> None:
    from rich.text import Text

    manifest = facts.manifest
    for title, rows in (
        ("Release", _identity(facts)),
        ("Provenance", _provenance(facts)),
        ("Pinned", _pinned(manifest)),
    ):
        console.print(Text(title, style="bold"))
        console.print(_grid(list(rows)))
        console.print()
    if facts.targets.problem:
        console.print(_text(f"Targets are not shown: {facts.targets.problem}", "red"))
        console.print()
    elif facts.targets.rows:
        console.print(_targets(facts.targets.rows))
        console.print()
    if facts.runs:
        console.print(_runs(facts.runs))
    else:
        console.print(_text(f"No eval run yet. Run: lockgate evals run SUITE --release {manifest.id[:_SHORT]}"))


def _identity(facts: ReleaseFacts) -> Iterator[Row]:
    yield "id", facts.record.id, "bold"
    yield "chain", _with_note(facts.manifest.name, str(facts.manifest.chain.get("description") or "")), ""
    for number, channel in enumerate(facts.channels or ("none points at it",)):
        yield "" if number else "channels", channel, "bold red" if channel.endswith("(forced)") else ""


def _provenance(facts: ReleaseFacts) -> Iterator[Row]:
    body = facts.record.provenance.get("body")
    said = body if isinstance(body, dict) else {}
    changed = said.get("dirty")
    without = "no commit yet" if changed else "none: the project was in no git repository"
    commit = str(said.get("commit") or without)
    yield "commit", f"{commit}, with changes that are not committed" if changed else commit, "yellow" if changed else ""
    proof = "verified" if said.get("verified") else "not verified: the name was only said"
    yield "built by", f"{said.get('builder', 'unknown')} ({proof})", ""
    yield "built at", f"{said.get('built_at', 'unknown')}, with Lockgate {said.get('lockgate', 'unknown')}", ""
    yield "kept here", f"{facts.record.created_at:%Y-%m-%d %H:%M:%S} UTC", ""
    check = facts.check
    whose = "this installation's own" if check.own else "another installation's"
    yield "key", f"{check.fingerprint or 'none'}{f' ({whose})' if check.fingerprint else ''}", ""
    yield "signature", "holds" if check.ok else f"DOES NOT HOLD: {check.problem}", "green" if check.ok else "bold red"


def _pinned(manifest: Manifest) -> Iterator[Row]:
    for role, prompt in manifest.prompts.items():
        files = f", {len(prompt.files)} files" if len(prompt.files) > 1 else ""
        yield f"prompt {role}", f"{prompt.name}  {prompt.hash[:_SHORT]}{files}", ""
    snapshot, model = manifest.snapshot, manifest.model
    size = f"{_count(snapshot.documents, 'document')}, {_count(snapshot.chunks, 'chunk')}"
    yield "snapshot", f"{snapshot.id[:_SHORT]}  {snapshot.kind}, {size}", ""
    yield "embedder", f"{manifest.embedder.name}  {manifest.embedder.digest[:_SHORT]}", ""
    where = "files on this machine" if model.provider == "local" else "behind OPENAI_BASE_URL, its weights unseen"
    digest = model.digest[:_SHORT] or "no digest"
    yield "model", f"{model.name}  {digest}  {where}{f', revision {model.revision}' if model.revision else ''}", ""
    yield "limits", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in model.limits.items()) or "none", ""
    adapter = manifest.adapter
    yield "adapter", f"{adapter.digest[:_SHORT]} on {adapter.base}" if adapter else "none", ""
    yield "policy", f"{manifest.policy.name}  {manifest.policy.hash[:_SHORT]}", ""
    yield "mode", manifest.route.mode, ""
    yield "cache", manifest.cache.kind, ""
    yield "built for", f"Lockgate {manifest.lockgate}, manifest schema {manifest.schema_version}", ""


def _grid(rows: Sequence[Row]) -> RenderableType:
    from rich.padding import Padding
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=15, style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value, style in rows:
        grid.add_row(label, _text(value, style))
    return Padding(grid, (0, 0, 0, 2))


def _targets(rows: Sequence[TargetRow]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Targets of scope.yaml", title_justify="left", title_style="bold")
    for name in ("target", "metric", "bound"):
        table.add_column(name, overflow="fold")
    table.add_column("measured", justify="right")
    table.add_column("n", justify="right")
    table.add_column("")
    table.add_column("from", overflow="fold")
    for row in rows:
        word, style = {True: ("met", "green"), False: ("MISSED", "bold red"), None: ("-", "dim")}[row.met]
        measured = "not measured" if row.measured is None else f"{row.measured:.4g}"
        cells = (row.name, row.metric, row.bound, measured, str(row.n) if row.n else "-")
        table.add_row(*map(_text, cells), _text(word, style), _text(row.source))
    return table


def _runs(runs: Sequence[EvalRunRecord]) -> RenderableType:
    from rich.table import Table

    more = f" (the newest {RUNS_SHOWN} of {len(runs)})" if len(runs) > RUNS_SHOWN else ""
    table = Table(title=f"Eval runs of this release{more}", title_justify="left", title_style="bold")
    for name in ("run", "suite", "mode"):
        table.add_column(name)
    table.add_column("cases", justify="right")
    table.add_column("failed", justify="right")
    table.add_column("answer score", justify="right")
    for run in runs[:RUNS_SHOWN]:
        told = _run_json(run)
        score = told["answer_score"]
        cases = f"{told['cases']}{'' if told['complete'] else ' (part)'}"
        failed = _text(str(told["failed"]), "red" if told["failed"] else "")
        shown = "-" if score is None else f"{score:.3f}"
        table.add_row(_text(run.id), _text(f"{run.suite} v{run.suite_version}"), run.mode, cases, failed, shown)
    return table


def _run_json(run: EvalRunRecord) -> dict[str, Any]:
    score = run.aggregates.get("answer_score")
    return {
        "run": run.id,
        "suite": run.suite,
        "suite_version": run.suite_version,
        "mode": run.mode,
        "started_at": run.started_at.isoformat(),
        "cases": run.aggregates.get("cases", 0),
        "failed": run.aggregates.get("failed", 0),
        "complete": bool(run.aggregates.get("complete")),
        "answer_score": float(score) if isinstance(score, int | float) else None,
        "metrics": {name: each.get("value") for name, each in run.aggregates.get("metrics", {}).items()},
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _with_note(text: str, note: str) -> str:
    return f"{text}  {' '.join(note.split())}" if note else text


def _text(value: str, style: str = "") -> Text:
    """Untrusted text: nothing in it is markup, and nothing drives the terminal."""
    from rich.text import Text

    return Text(plain(value), style=style)
