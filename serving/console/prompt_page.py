"""/prompts/{name}: its text, its versions with the releases and channels of each, and any two of them compared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.console.elements import (
    SHORT,
    box,
    link,
    moment,
    note,
    path_to,
    release_link,
    select,
    tag,
    warning,
    words,
)
from serving.console.frame import show_page, title
from serving.console.prompts_page import show_hash, show_use
from serving.console.safe_markdown import marked
from serving.console.texts import show_pieces, show_text
from serving.ports import Backend
from serving.prompt_views import PromptView, compare_versions, key_of, read_prompt

if TYPE_CHECKING:
    from prompts.difference import FileDifference
    from prompts.history import Version
    from serving.workbench import Workbench

VERSIONS = 100
PINS = 5


async def show(backend: Backend, name: str, before: str, after: str) -> None:
    """``before`` and ``after`` are keys of versions, from the address, so they may be anything."""

    def load(bench: Workbench) -> tuple[PromptView, _Choice | None]:
        view = read_prompt(bench, name)
        return view, _choose(view.versions, before, after)

    await show_page(backend, "/prompts", load, lambda found: _build(*found))


def _build(view: PromptView, choice: _Choice | None) -> None:
    row = view.row
    title(view.name)
    if row is None:
        warning("This prompt is not on disk any more; shown is its newest known text.")
    else:
        with box("lg-line-of"):
            show_hash(row.hash)
            show_use(row.use)
        if row.description:
            words(marked(row.description), tag="p")
        if row.problem:
            warning(f"The file on disk does not load: {row.problem}")
        note(f"{f'owner {row.owner} · ' if row.owner else ''}{row.file}")
        with box("lg-actions is-left"):
            link("Edit", f"{path_to('prompts', view.name)}/edit", "lg-button is-main")
    with box("lg-section", "section"):
        words("Text", tag="h2")
        for path in sorted(view.files, key=lambda path: (path != view.main, path)):
            note(path, "lg-note lg-code")
            show_text(view.files[path], f"Text of {path}")
    _versions(view)
    if choice is not None:
        _Comparison(view.versions, choice)


def _versions(view: PromptView) -> None:
    with box("lg-section", "section"):
        words("Versions", tag="h2")
        if not view.has_git:
            note("There is no git history here; these are the versions on disk and in releases.")
        for text in view.notes:
            warning(text)
        shown = view.versions[:VERSIONS]
        with box("lg-rows", "ol"):
            for version, older in zip(shown, [*view.versions[1 : VERSIONS + 1], None], strict=False):
                _version(view.name, version, older)
        if len(view.versions) > VERSIONS:
            note(f"{len(view.versions) - VERSIONS} older ones: lockgate prompts log {view.name}")


def _version(name: str, version: Version, older: Version | None) -> None:
    with box("lg-row", "li"):
        with box("lg-line-of"):
            show_hash(version.hash)
            words(marked(_what(version)), "lg-grow", "span")
            if older is not None:
                address = f"{path_to('prompts', name)}?a={key_of(older)}&b={key_of(version)}#changes"
                link("What changed", address)
        if version.commit is not None:
            note(f"{moment(version.commit.time)} by {version.commit.author}, commit {version.commit.id[:10]}")
        if version.name != name:
            note(f"It was called {version.name} then.")
        if version.broken:
            warning(f"Does not load: {version.broken}")
        if version.pins:
            with box("lg-line-of lg-note"):
                words("in release", tag="span")
                for pin in version.pins[:PINS]:
                    release_link(pin.release)
                    for use in pin.channels:
                        now = "now" if use.is_current else "before"
                        tag(f"{use.channel} of {use.chain} {now}", "is-good" if use.is_current else "")
                if len(version.pins) > PINS:
                    words(f"and {len(version.pins) - PINS} more", tag="span")


def _what(version: Version) -> str:
    if version.commit is not None:
        return version.commit.subject
    return "only in releases" if version.place == "release" else "on disk, not committed"


@dataclass(frozen=True, slots=True)
class _Choice:
    """Two keys of versions; ``changes`` is None where the address asks for no comparison."""

    before: str
    after: str
    changes: Sequence[FileDifference] | None = None
    is_unknown: bool = False


def _choose(versions: Sequence[Version], before: str, after: str) -> _Choice | None:
    """What the address asks for, else the two newest; None where there is one version only."""
    known = {key_of(version): version for version in reversed(versions)}
    if len(known) < 2:
        return None
    newest = list(dict.fromkeys(key_of(version) for version in versions))
    if not before and not after:
        return _Choice(newest[1], newest[0])
    if before not in known or after not in known:
        return _Choice(newest[1], newest[0], is_unknown=True)
    return _Choice(before, after, compare_versions(known[before], known[after]))


class _Comparison:
    """Two versions word by word, chosen from lists."""

    def __init__(self, versions: Sequence[Version], choice: _Choice) -> None:
        self._versions = {key_of(version): version for version in reversed(versions)}
        self._before, self._after = choice.before, choice.after
        options = [(key, _option(version)) for key, version in reversed(self._versions.items())]
        with box("lg-section", "section").props("id=changes"):
            words("Compare two versions", tag="h2")
            if choice.is_unknown:
                warning("The address names a version that is not known here.")
            with box("lg-line-of"):
                select("The older version", options, self._before, self._choose_before)
                words("→", tag="span").props('aria-label="to"')
                select("The newer version", options, self._after, self._choose_after)
            self._body = box("lg-stack").props("role=status")
        if choice.changes is not None:
            with self._body:
                _differences(choice.changes)

    async def _choose_before(self, key: str) -> None:
        self._before = key
        await self._draw()

    async def _choose_after(self, key: str) -> None:
        self._after = key
        await self._draw()

    async def _draw(self) -> None:
        first, second = self._versions[self._before], self._versions[self._after]
        changes = await asyncio.to_thread(compare_versions, first, second)
        if self._body.is_deleted:
            return
        self._body.clear()
        with self._body:
            _differences(changes)


def _differences(changes: Sequence[FileDifference]) -> None:
    if not changes:
        note("The texts are equal.")
    for change in changes:
        note(change.title, "lg-note lg-code")
        show_pieces(change.pieces, f"Changes of {change.title}")


def _option(version: Version) -> str:
    digest = version.hash[:SHORT] or "unreadable"
    if version.commit is not None:
        return f"{digest} · {version.commit.time:%Y-%m-%d} · {version.commit.subject[:60]}"
    return f"{digest} · {_what(version)}"
