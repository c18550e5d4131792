"""What changes from one release to another, in groups: prompts, policy, snapshot, settings."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ingestion.manifest import ManifestPage, read_pages
from lockgate.errors import LockgateError
from lockgate.release import Manifest, PinnedPrompt, PinnedSnapshot, PromptRole
from lockgate.store.objects import ObjectStore
from prompts.difference import file_pairs

MAX_LINES = 2000
"""A text of more lines is not compared line by line: that takes time that grows with the square."""

EXAMPLES = 10
NAMED_FILES = 3


@dataclass(frozen=True, slots=True)
class TextChange:
    """A file that came, went or changed; ``lines`` are those of a unified diff, without line ends.

    ``name`` is "old -> new" for one that has another name now.
    """

    name: str
    change: str  # added, removed, changed
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptChange:
    """``before`` and ``after`` are name@hash, "" where there is no prompt of that role."""

    role: PromptRole
    before: str
    after: str
    files: tuple[TextChange, ...]


@dataclass(frozen=True, slots=True)
class PageCount:
    """How many pages, and the first of them by source and path."""

    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SnapshotChange:
    """``problem`` says why pages cannot be compared; then the three counts are None."""

    before: PinnedSnapshot
    after: PinnedSnapshot
    added: PageCount | None
    removed: PageCount | None
    changed: PageCount | None
    problem: str


@dataclass(frozen=True, slots=True)
class SettingChange:
    """``key`` is dotted; the values are JSON, None where the key is not there."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class ReleaseDiff:
    """Groups are empty where nothing changed; ``same`` says that it is one release."""

    before: str
    after: str
    prompts: tuple[PromptChange, ...]
    policy: tuple[TextChange, ...]
    snapshot: SnapshotChange | None
    settings: tuple[SettingChange, ...]

    @property
    def same(self) -> bool:
        return self.before == self.after

    def as_json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "same": self.same,
            "prompts": [
                {"role": p.role, "before": p.before, "after": p.after, "files": [_text_json(text) for text in p.files]}
                for p in self.prompts
            ],
            "policy": [_text_json(text) for text in self.policy],
            "snapshot": _snapshot_json(self.snapshot) if self.snapshot else None,
            "settings": [_setting_json(setting) for setting in self.settings],
        }


def diff_releases(before: Manifest, after: Manifest, objects: ObjectStore) -> ReleaseDiff:
    """``objects`` holds the page lists of the two snapshots; without them only the numbers of pages are compared."""
    return ReleaseDiff(
        before=before.id,
        after=after.id,
        prompts=tuple(_prompts(before, after)),
        policy=tuple(_texts({before.policy.name: before.policy.text}, {after.policy.name: after.policy.text})),
        snapshot=_snapshot(before.snapshot, after.snapshot, objects),
        settings=tuple(_settings(before, after)),
    )


def text_diff(before: str, after: str, name: str, new_name: str = "") -> tuple[str, ...]:
    """A unified diff; one line that says so for texts too long to compare. ``new_name`` is for a renamed file."""
    old, new = _lines(before), _lines(after)
    if max(len(old), len(new)) > MAX_LINES:
        return (f"@@ {len(old)} lines before, {len(new)} lines after: too long to compare line by line @@",)
    diff = difflib.unified_diff(old, new, f"a/{name}", f"b/{new_name or name}", lineterm="")
    return tuple(part for line in diff for part in line.split("\n"))


def _lines(text: str) -> list[str]:
    """At line feeds only, with git's remark on a last line that has none."""
    *lines, last = text.split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def _texts(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[TextChange]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            change = "added" if old is None else "removed" if new is None else "changed"
            yield TextChange(name, change, text_diff(old or "", new or "", name))


def _prompts(before: Manifest, after: Manifest) -> Iterator[PromptChange]:
    for role in sorted(before.prompts.keys() | after.prompts.keys()):
        old, new = before.prompts.get(role), after.prompts.get(role)
        if old != new:
            yield PromptChange(role, _prompt_name(old), _prompt_name(new), tuple(_prompt_texts(old, new)))


def _prompt_texts(old: PinnedPrompt | None, new: PinnedPrompt | None) -> Iterator[TextChange]:
    """A renamed prompt's files are compared with what they were called before."""
    if old is None or new is None:
        yield from _texts(old.files if old else {}, new.files if new else {})
        return
    left_before, left_after = dict(old.files), dict(new.files)
    for before, after in file_pairs(old, new):
        if before != after and before in old.files and after in new.files:
            lines = text_diff(left_before.pop(before), left_after.pop(after), before, after)
            yield TextChange(f"{before} -> {after}", "changed", lines)
    yield from _texts(left_before, left_after)


def _prompt_name(prompt: PinnedPrompt | None) -> str:
    return f"{prompt.name}@{prompt.hash[:12]}" if prompt else ""


def _snapshot(before: PinnedSnapshot, after: PinnedSnapshot, objects: ObjectStore) -> SnapshotChange | None:
    if before == after:
        return None
    if before.manifest == after.manifest:
        none = PageCount(0, ())
        return SnapshotChange(before, after, none, none, none, "")
    try:
        pages = [read_pages(objects.get(snapshot.manifest)) for snapshot in (before, after)]
        added, removed, changed = _count_pages(*pages)
    except LockgateError as error:
        problem = f"Which pages differ cannot be told, because a page list is not here: {error.message}"
        return SnapshotChange(before, after, None, None, None, problem)
    return SnapshotChange(before, after, added, removed, changed, "")


def _count_pages(before: Iterator[ManifestPage], after: Iterator[ManifestPage]) -> tuple[PageCount, ...]:
    """(added, removed, changed). Both lists are in order, so one walk along the two is enough."""
    found: dict[str, list[tuple[str, str]]] = {"added": [], "removed": [], "changed": []}
    counts = dict.fromkeys(found, 0)

    def note(what: str, page: ManifestPage) -> None:
        counts[what] += 1
        if len(found[what]) < EXAMPLES:
            found[what].append((page.source, page.path))

    old, new = next(before, None), next(after, None)
    while old or new:
        if old and (new is None or (old.source, old.path) < (new.source, new.path)):
            note("removed", old)
            old = next(before, None)
        elif new and (old is None or (new.source, new.path) < (old.source, old.path)):
            note("added", new)
            new = next(after, None)
        else:
            if new and old != new:
                note("changed", new)
            old, new = next(before, None), next(after, None)
    return tuple(PageCount(counts[what], tuple(found[what])) for what in found)


def _settings(before: Manifest, after: Manifest) -> Iterator[SettingChange]:
    old, new = _flat_settings(before), _flat_settings(after)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield SettingChange(key, old.get(key), new.get(key))
    for part in ("embedder", "model"):
        hashes = [_file_hashes(manifest, part) for manifest in (before, after)]
        if hashes[0] != hashes[1]:
            yield SettingChange(f"{part}.files.files", f'"{len(hashes[0])} files"', json.dumps(_files_change(*hashes)))


def _flat_settings(manifest: Manifest) -> dict[str, str]:
    """Everything that is neither a text nor a list of file hashes, as JSON by dotted key."""
    body = manifest.body()
    for part in ("embedder", "model"):
        (body[part]["files"] or {}).pop("files", None)
    kept = ("schema_version", "lockgate", "chain", "embedder", "model", "adapter", "route", "cache")
    shown = {key: body[key] for key in kept}
    shown["policy"] = {key: value for key, value in body["policy"].items() if key != "text"}
    shown["snapshot"] = {key: body["snapshot"][key] for key in ("kind", "embedder", "chunking")}
    return dict(_flat(shown, ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else name)
    else:
        yield key, json.dumps(value, ensure_ascii=False, sort_keys=True)


def _file_hashes(manifest: Manifest, part: str) -> dict[str, str]:
    files = manifest.embedder.files if part == "embedder" else manifest.model.files
    return dict(files.files) if files else {}


def _files_change(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Such as "3 files: 1 changed (model.safetensors)"."""
    groups = {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
    }
    parts = [f"{len(names)} {what} ({_some(names)})" for what, names in groups.items() if names]
    return f"{len(after)} files: {', '.join(parts)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED_FILES]) + (", ..." if len(names) > NAMED_FILES else "")


def _text_json(text: TextChange) -> dict[str, Any]:
    return {"name": text.name, "change": text.change, "lines": list(text.lines)}


def _snapshot_json(snapshot: SnapshotChange) -> dict[str, Any]:
    def count(pages: PageCount | None) -> dict[str, Any] | None:
        if pages is None:
            return None
        examples = [{"source": source, "path": path} for source, path in pages.examples]
        return {"count": pages.count, "examples": examples}

    return {
        "before": snapshot.before.model_dump(mode="json"),
        "after": snapshot.after.model_dump(mode="json"),
        "pages": {what: count(getattr(snapshot, what)) for what in ("added", "removed", "changed")},
        "problem": snapshot.problem,
    }


def _setting_json(setting: SettingChange) -> dict[str, Any]:
    """A value that is not there has no key, so it cannot be taken for null."""
    body: dict[str, Any] = {"key": setting.key}
    for side in ("before", "after"):
        value = getattr(setting, side)
        if value is not None:
            body[side] = json.loads(value)
    return body
