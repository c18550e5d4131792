"""/releases: every channel on top, then the releases, the newest first. Read only; channels move by command."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from lockgate.errors import LockgateError
from serving.console.elements import (
    SHORT,
    box,
    command,
    forced_tag,
    link,
    moment,
    note,
    path_to,
    release_link,
    set_attribute,
    table,
    tag,
    words,
)
from serving.console.frame import show_page, title
from serving.console.safe_markdown import marked
from serving.ports import Backend
from serving.release_views import ChainView, ChannelView, ReleaseRow, ReleasesView, read_releases

REFRESH_SECONDS = 2.0


async def show(backend: Backend) -> None:
    def build(view: ReleasesView) -> None:
        title("Releases")
        note(
            "A release pins everything that an answer depends on; a channel points at one. Channels are moved on the "
            "command line, through their gates."
        )
        _Overview(backend, view)

    await show_page(backend, "/releases", read_releases, build)


class _Overview:
    """Drawn anew when something moved or was built."""

    def __init__(self, backend: Backend, view: ReleasesView) -> None:
        self._backend = backend
        self._view = view
        self._body = box("lg-stack")
        self._draw()
        ui.timer(REFRESH_SECONDS, self._refresh)

    async def _refresh(self) -> None:
        try:
            view = await asyncio.to_thread(lambda: read_releases(self._backend.workbench()))
        except LockgateError:
            return  # what is shown is the last that was known
        if view != self._view and not self._body.is_deleted:
            self._view = view
            self._draw()

    def _draw(self) -> None:
        self._body.clear()
        with self._body:
            for chain in self._view.chains:
                _chain(chain)
            _releases(self._view)


def _chain(chain: ChainView) -> None:
    with box("lg-section", "section"):
        words(f"Channels of {marked(chain.name)}", tag="h2")
        with box("lg-cards"):
            for view in chain.channels:
                _channel(view)


def _channel(view: ChannelView) -> None:
    record = view.record
    with box("lg-card", "article"):
        with box("lg-card-head"):
            words(record.channel, tag="h3")
            if record.forced:
                forced_tag()
        if record.release is None:
            note("Not set: a request for it is refused.")
            command(f"lockgate release promote RELEASE {record.channel}")
            return
        with box("lg-line-of"):
            words("Release ", tag="span")
            release_link(record.release)
        if view.since is not None:
            note(f"since {moment(view.since.created_at)}, by {view.since.actor}{_unverified(view.since.verified)}")
        if view.report is not None:
            show_rollout(view.report)
        link("History", path_to("channels", record.chain, record.channel))


def show_rollout(report: Mapping[str, Any]) -> None:
    """The figures of a rollout's arms, as ``serving.rollout_report`` has them."""
    rollout = report["rollout"]
    with box("lg-rollout"):
        with box("lg-line-of"):
            share = f"{rollout['share']:g} %"
            what = "of the requests aside" if rollout["kind"] == "shadow" else "of the conversations"
            tag("Rollout" if report["state"] == "running" else "Last rollout", "is-warn")
            words(f"{share} {what}: release ", tag="span")
            release_link(str(rollout["release"]))
            if rollout["forced"]:
                forced_tag()
        rows = []
        for name, arm in report["arms"].items():
            rows.append(
                (
                    "new" if name == "candidate" else name,
                    str(arm["release"])[:SHORT],
                    str(arm["n"]),
                    _share(arm["error_rate"]),
                    _share(arm["abstention_rate"]),
                    _time(arm["p95_ms"]),
                )
            )
        heads = ("arm", "release", "requests", "errors", "abstentions", "p95")
        table(f"Figures of the rollout in {report['channel']}", heads, rows, numbers=(2, 3, 4, 5))


def _releases(view: ReleasesView) -> None:
    with box("lg-section", "section"):
        words("Releases", tag="h2")
        if not view.releases:
            note("No release yet.")
            command("lockgate release build")
            return
        with box("lg-rows", "ul"):
            for row in view.releases:
                _release(row)
        if view.more:
            note("Older releases: lockgate release list --limit 1000")


def _release(row: ReleaseRow) -> None:
    record = row.record
    body = record.provenance.get("body")
    said = body if isinstance(body, dict) else {}
    commit = str(said.get("commit") or "")
    with box("lg-row", "li"):
        with box("lg-line-of"):
            release_link(record.id)
            words(marked(record.chain), "lg-strong", "span")
            for channel in row.channels:
                tag(channel, "is-bad" if channel.endswith("(forced)") else "is-good")
        built = f"built {moment(record.created_at)} by {said.get('builder') or 'unknown'}"
        source = f"commit {commit[:SHORT]}" if commit else "no commit"
        with box("lg-line-of lg-note"):
            words(marked(f"{built} · {source}"), tag="span")
            if said.get("dirty"):
                tag("with uncommitted changes", "is-warn")
            snapshot = words(f"snapshot {record.snapshot[:SHORT]}", "lg-code", "span")
            set_attribute(snapshot, "title", record.snapshot)


def _unverified(verified: bool) -> str:
    return "" if verified else " (unverified)"


def _share(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.1f} %"


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "–"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
