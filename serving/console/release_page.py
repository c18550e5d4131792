"""/releases/{id}: all that a release pins, who built it, how it measures; and what changes between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nicegui import ui

from serving.console.elements import (
    SHORT,
    box,
    command,
    facts,
    link,
    moment,
    note,
    path_to,
    release_link,
    select,
    table,
    tag,
    warning,
    words,
)
from serving.console.frame import show_page, title
from serving.console.safe_markdown import marked
from serving.console.texts import show_text, show_unified
from serving.ports import Backend
from serving.release_views import ReleaseRow, compare_releases, read_release, read_releases

if TYPE_CHECKING:
    from chains.release_diff import PageCount, ReleaseDiff, SnapshotChange, TextChange
    from evals.release_facts import ReleaseFacts
    from evals.targets import TargetRow
    from lockgate.release import Manifest
    from lockgate.store.eval_runs import EvalRunRecord
    from serving.workbench import Workbench

RUNS = 10
MET = {True: "met", False: "MISSED", None: "not measured"}


async def show(backend: Backend, release: str) -> None:
    def load(bench: Workbench) -> tuple[ReleaseFacts, tuple[ReleaseRow, ...]]:
        return read_release(bench, release), read_releases(bench).releases

    await show_page(backend, "/releases", load, lambda found: _build(*found))


async def show_comparison(backend: Backend, before: str, after: str) -> None:
    await show_page(backend, "/releases", lambda bench: compare_releases(bench, before, after), _build_comparison)


def _build(found: ReleaseFacts, others: Sequence[ReleaseRow]) -> None:
    manifest = found.manifest
    title(f"Release {manifest.id[:SHORT]}")
    with box("lg-line-of"):
        for channel in found.channels:
            tag(channel, "is-bad" if channel.endswith("(forced)") else "is-good")
        if not found.channels:
            tag("no channel points at it")
    if not found.check.ok:
        warning(f"The signature of its provenance does not hold: {found.check.problem}.")
    _compare_with(manifest.id, others)
    _section_facts("Identity", [("id", manifest.id), ("chain", manifest.name), *_provenance(found)])
    _section_facts("What it pins", list(_pinned(manifest)))
    _prompts(manifest)
    with box("lg-section", "section"):
        words(f"Policy {marked(manifest.policy.name)}", tag="h2")
        show_text(manifest.policy.text, f"Policy {manifest.policy.name}")
    with box("lg-section", "section"):
        words("Chain settings", tag="h2")
        table("Chain settings", ("key", "value"), list(_flat(manifest.chain, "")))
    _targets(found.targets.rows, found.targets.problem)
    _runs(manifest.id, found.runs)
    with box("lg-section", "section"):
        words("Promote it", tag="h2")
        note("The channel's gate decides; --percent or --shadow tries it beside the current release first.")
        command(f"lockgate release promote {manifest.id[:SHORT]} staging")
        command(f"lockgate release verify {manifest.id[:SHORT]}")


def _compare_with(release: str, others: Sequence[ReleaseRow]) -> None:
    options = [
        (row.record.id, f"{row.record.id[:SHORT]} · {', '.join(row.channels) or moment(row.record.created_at)}")
        for row in others
        if row.record.id != release
    ]
    if not options:
        return

    def go(other: str) -> None:
        if other:
            ui.navigate.to(path_to("releases", other, "diff", release))

    with box("lg-line-of"):
        words("What changed since ", "lg-note", "span")
        select("Release to compare with", [("", "choose a release"), *options], "", go)


def _provenance(found: ReleaseFacts) -> Iterator[tuple[str, str]]:
    body = found.record.provenance.get("body")
    said: Mapping[str, Any] = body if isinstance(body, dict) else {}
    commit = str(said.get("commit") or "none: the project was in no git repository")
    yield "commit", f"{commit}, with changes that are not committed" if said.get("dirty") else commit
    proof = "" if said.get("verified") else " (not verified: the name was only said)"
    yield "built by", f"{said.get('builder', 'unknown')}{proof}"
    yield "built at", f"{said.get('built_at', 'unknown')}, with Lockgate {said.get('lockgate', 'unknown')}"
    yield "kept here", moment(found.record.created_at)
    whose = "this installation's own key" if found.check.own else "another installation's key"
    state = "holds" if found.check.ok else f"DOES NOT HOLD: {found.check.problem}"
    yield "signature", f"{state} ({whose} {found.check.fingerprint or 'none'})"


def _pinned(manifest: Manifest) -> Iterator[tuple[str, str]]:
    snapshot, model = manifest.snapshot, manifest.model
    yield "snapshot", snapshot.id
    yield "pages", f"{snapshot.documents:,} pages, {snapshot.chunks:,} passages, {snapshot.kind}"
    yield "chunking", ", ".join(f"{name} {value}" for name, value in snapshot.chunking.items()) or "none"
    yield "embedder", f"{manifest.embedder.name} {manifest.embedder.digest}"
    where = "files on this machine" if model.provider == "local" else "behind OPENAI_BASE_URL, its weights unseen"
    revision = f", revision {model.revision}" if model.revision else ""
    yield "model", f"{model.name} {model.digest or 'no digest'}, {where}{revision}"
    yield "limits", ", ".join(f"{name} {value}" for name, value in model.limits.items()) or "none"
    yield "adapter", f"{manifest.adapter.digest} on {manifest.adapter.base}" if manifest.adapter else "none"
    yield "policy", f"{manifest.policy.name} {manifest.policy.hash}"
    yield "mode", manifest.route.mode
    yield "cache", manifest.cache.kind
    yield "built for", f"Lockgate {manifest.lockgate}, manifest schema {manifest.schema_version}"


def _prompts(manifest: Manifest) -> None:
    for role, prompt in manifest.prompts.items():
        with box("lg-section", "section"):
            words(f"Prompt for the role {role}", tag="h2")
            with box("lg-line-of"):
                link(marked(prompt.name), path_to("prompts", prompt.name), "lg-anchor lg-strong")
                words(prompt.hash[:SHORT], "lg-code lg-note", "span")
            for path, text in sorted(prompt.files.items()):
                note(path, "lg-note lg-code")
                show_text(text, f"Text of {path}")


def _targets(rows: Sequence[TargetRow], problem: str) -> None:
    if not rows and not problem:
        return
    with box("lg-section", "section"):
        words("Targets of scope.yaml", tag="h2")
        if problem:
            warning(f"Targets are not shown: {problem}")
            return
        cells = [
            (
                row.name,
                row.metric,
                row.bound,
                "–" if row.measured is None else f"{row.measured:.4g}",
                str(row.n) if row.n else "–",
                MET[row.met],
                row.source,
            )
            for row in rows
        ]
        heads = ("target", "metric", "bound", "measured", "n", "", "from")
        table("Targets beside measurements", heads, cells, numbers=(3, 4))


def _runs(release: str, runs: Sequence[EvalRunRecord]) -> None:
    with box("lg-section", "section"):
        words("Eval runs", tag="h2")
        if not runs:
            note("None yet.")
            command(f"lockgate evals run SUITE --release {release[:SHORT]}")
            return
        rows = []
        for run in runs[:RUNS]:
            score = run.aggregates.get("answer_score")
            shown = f"{score:.3f}" if isinstance(score, int | float) else "–"
            cases, failed = (str(run.aggregates.get(key, 0)) for key in ("cases", "failed"))
            part = "" if run.aggregates.get("complete") else " (part)"
            suite = f"{run.suite} v{run.suite_version}"
            rows.append((moment(run.started_at), suite, run.mode, f"{cases}{part}", failed, shown))
        heads = ("started", "suite", "mode", "cases", "failed", "answer score")
        table("Eval runs of this release", heads, rows, numbers=(3, 4, 5))
        if len(runs) > RUNS:
            note(f"The newest {RUNS} of {len(runs)}.")


def _build_comparison(diff: ReleaseDiff) -> None:
    title("What changes")
    with box("lg-line-of"):
        release_link(diff.before)
        words("→", tag="span").props('aria-label="to"')
        release_link(diff.after)
        link("The other way round", path_to("releases", diff.after, "diff", diff.before), "lg-anchor lg-note")
    if diff.same:
        note("Both are the same release.")
        return
    for prompt in diff.prompts:
        with box("lg-section", "section"):
            words(f"Prompt for the role {prompt.role}", tag="h2")
            note(f"{prompt.before or 'none'} → {prompt.after or 'none'}", "lg-note lg-code")
            _texts(prompt.files)
    if diff.policy:
        with box("lg-section", "section"):
            words("Policy", tag="h2")
            _texts(diff.policy)
    if diff.snapshot is not None:
        _snapshot(diff.snapshot)
    if diff.settings:
        with box("lg-section", "section"):
            words("Settings", tag="h2")
            rows = [(one.key, one.before or "(none)", one.after or "(none)") for one in diff.settings]
            table("Settings that differ", ("key", "before", "after"), rows)


def _texts(changes: Sequence[TextChange]) -> None:
    for change in changes:
        note(f"{change.name}: {change.change}", "lg-note lg-code")
        show_unified(change.lines, f"Difference of {change.name}")


def _snapshot(change: SnapshotChange) -> None:
    before, after = change.before, change.after
    with box("lg-section", "section"):
        words("Snapshot", tag="h2")
        facts(
            [
                ("snapshot", f"{before.id[:SHORT]} ({before.kind}) → {after.id[:SHORT]} ({after.kind})"),
                ("pages", f"{before.documents:,} → {after.documents:,}"),
                ("passages", f"{before.chunks:,} → {after.chunks:,}"),
            ]
        )
        if change.problem:
            warning(change.problem)
        for what, pages in (("added", change.added), ("removed", change.removed), ("changed", change.changed)):
            if pages is not None:
                _pages(what, pages)


def _pages(what: str, pages: PageCount) -> None:
    words(
        f"{pages.count:,} page{'' if pages.count == 1 else 's'} {what}",
        "lg-count" if pages.count else "lg-count is-none",
    )
    if not pages.examples:
        return
    with box("lg-pages", "ul"):
        for source, path in pages.examples:
            words(marked(f"{path} ({source})"), "lg-code", "li")
        if pages.count > len(pages.examples):
            words(f"and {pages.count - len(pages.examples):,} more", "lg-note", "li")


def _section_facts(name: str, rows: list[tuple[str, str]]) -> None:
    with box("lg-section", "section"):
        words(name, tag="h2")
        facts(rows)


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
