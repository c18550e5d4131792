"""A difference of releases for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lockgate.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from chains.release_diff import PageCount, ReleaseDiff, SnapshotChange, TextChange

_STYLES = {"+": "green", "-": "red", "@": "cyan", "\\": "dim"}


def render(diff: ReleaseDiff, console: Console) -> None:
    """Print it in groups; texts are shown without what could drive the terminal."""
    if diff.same:
        _say(console, f"Both are release {diff.before[:12]}.")
        return
    _say(console, f"{diff.before[:12]} -> {diff.after[:12]}", "bold")
    for prompt in diff.prompts:
        _head(console, f"Prompt {prompt.role}: {prompt.before or 'none'} -> {prompt.after or 'none'}")
        _texts(console, prompt.files)
    if diff.policy:
        _head(console, "Policy")
        _texts(console, diff.policy)
    if diff.snapshot:
        _head(console, "Snapshot")
        for line in _snapshot_lines(diff.snapshot):
            _say(console, line)
    if diff.settings:
        _head(console, "Settings")
        console.print(_table(diff))


def _snapshot_lines(snapshot: SnapshotChange) -> Iterator[str]:
    before, after = snapshot.before, snapshot.after
    yield f"{before.id[:12]} ({before.kind}) -> {after.id[:12]} ({after.kind})"
    yield f"pages {before.documents} -> {after.documents}, chunks {before.chunks} -> {after.chunks}"
    if before.lexicon != after.lexicon:
        yield f"word counts {before.lexicon[:12]} -> {after.lexicon[:12]}"
    if snapshot.problem:
        yield snapshot.problem
    for mark, what, pages in (
        ("+", "added", snapshot.added),
        ("-", "removed", snapshot.removed),
        ("~", "changed", snapshot.changed),
    ):
        if pages is not None:
            yield from _page_lines(mark, what, pages)


def _page_lines(mark: str, what: str, pages: PageCount) -> Iterator[str]:
    yield f"{pages.count} pages {what}"
    for source, path in pages.examples:
        yield f"  {mark} {path} ({source})"
    if pages.count > len(pages.examples):
        yield f"  {mark} and {pages.count - len(pages.examples)} more"


def _table(diff: ReleaseDiff) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("key", "before", "after", box=box.SIMPLE)
    for setting in diff.settings:
        values = (setting.key, setting.before or "(none)", setting.after or "(none)")
        table.add_row(*(Text(_line(value)) for value in values))
    return table


def _texts(console: Console, texts: tuple[TextChange, ...]) -> None:
    for text in texts:
        _say(console, f"{text.name}: {text.change}")
        for line in text.lines:
            _say(console, line, _STYLES.get(line[:1], ""))


def _head(console: Console, text: str) -> None:
    _say(console, "")
    _say(console, text, "bold")


def _say(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(_line(text), style=style), soft_wrap=True)


def _line(text: str) -> str:
    return plain(text).replace("\n", " ")
