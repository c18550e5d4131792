"""The parts of a release that can change an answer: which of them differ between two, and mixtures of the two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lockgate.release import Manifest, canonical_json, manifest_from

Path = tuple[str, ...]

_SHORT = 12
_MAX_SHOWN = 60

PARTS: Mapping[Path, str] = MappingProxyType(
    {
        ("prompts", "answer"): "prompt answer",
        ("chain", "prompts", "answer"): "prompt answer",
        ("prompts", "condense"): "prompt condense",
        ("chain", "prompts", "condense"): "prompt condense",
        # A snapshot's vectors mean something to the embedder that made them only, so the two go together.
        ("snapshot",): "snapshot",
        ("embedder",): "snapshot",
        ("model",): "model",
        ("chain", "model"): "model",
        ("adapter",): "model",
        ("policy",): "policy",
        ("chain", "policy"): "policy",
        ("route",): "mode",
        ("chain", "mode"): "mode",
        ("chain", "max_tokens"): "budgets",
        ("chain", "passage_budget"): "budgets",
        ("model", "limits", "max_tokens"): "budgets",
        ("model", "limits", "passage_budget"): "budgets",
        ("chain", "retrieval"): "retrieval",
        ("chain", "relevance"): "relevance",
        ("chain", "passages"): "passages",
        ("chain", "condense"): "condensing",
        ("chain", "abstention"): "abstention text",
        ("cache",): "cache",
        # What changes no answer: names, and what only building a release reads.
        ("chain", "name"): "",
        ("chain", "description"): "",
        ("chain", "suite"): "",
        ("lockgate",): "",
        ("schema_version",): "",
    }
)
"""Where in a manifest each part lies; of a place that is not listed, the nearest one above it counts, and one that
nothing here knows is a part of its own."""


_REPEATED: frozenset[Path] = frozenset(
    {
        ("chain", "prompts", "answer"),
        ("chain", "prompts", "condense"),
        ("chain", "model"),
        ("chain", "policy"),
        ("chain", "mode"),
        ("model", "limits", "max_tokens"),
        ("model", "limits", "passage_budget"),
    }
)
"""Places that only repeat or name what stands elsewhere: they go with their part, but make no difference alone."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part in which two releases differ. ``change`` says how, in one line; ``paths`` are the places."""

    name: str
    change: str
    paths: tuple[Path, ...] = field(repr=False)


def differing_parts(good: Manifest, bad: Manifest) -> tuple[Part, ...]:
    """The parts that differ, in the order of ``PARTS``; what changes no answer is left out."""
    first, second = dict(_places(good.body())), dict(_places(bad.body()))
    found: dict[str, list[Path]] = {}
    for path in dict.fromkeys((*first, *second)):
        name = _part_of(path)
        if name and first.get(path, _ABSENT) != second.get(path, _ABSENT):
            found.setdefault(name, []).append(path)
    order = list(dict.fromkeys(PARTS.values()))
    real = [name for name, paths in found.items() if not _REPEATED.issuperset(paths)]
    names = sorted(real, key=lambda name: order.index(name) if name in order else len(order))
    return tuple(Part(name, _describe(found[name], first, second), tuple(sorted(found[name]))) for name in names)


def mix(good: Manifest, bad: Manifest, parts: Sequence[Part]) -> Manifest:
    """``good`` with ``parts`` from ``bad``. Raises Corrupt when the two do not make a manifest together."""
    body = good.body()
    other = bad.body()
    for path in (path for part in parts for path in part.paths):
        *above, last = path
        target, source = _inside(body, above), _inside(other, above)
        if last in source:
            target[last] = source[last]
        else:
            target.pop(last, None)
    names = ", ".join(part.name for part in parts)
    return manifest_from(canonical_json(body), where=f"Release {good.id[:_SHORT]} with {names} of {bad.id[:_SHORT]}")


_ABSENT = object()


def _places(body: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every place of a manifest that belongs to one part as a whole, with its value."""
    for key, value in body.items():
        path = (*above, key)
        if isinstance(value, Mapping) and any(len(known) > len(path) and known[: len(path)] == path for known in PARTS):
            yield from _places(value, path)
        else:
            yield path, value


def _part_of(path: Path) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in PARTS:
            return PARTS[path[:length]]
    return " ".join(path)


def _inside(body: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    for key in path:
        body = body.setdefault(key, {})
    return body


def _describe(paths: Sequence[Path], good: Mapping[Path, Any], bad: Mapping[Path, Any]) -> str:
    """The shortest that tells the two apart: hashes for texts and files, values for settings."""
    lines = [line for path in paths if (line := _line(path, good.get(path), bad.get(path)))]
    return "; ".join(dict.fromkeys(lines))


def _line(path: Path, before: Any, after: Any) -> str:
    if path[0] == "prompts":
        return f"{_named(before, 'hash')} -> {_named(after, 'hash')}"
    if path[0] in ("policy", "embedder"):
        digest = "hash" if path[0] == "policy" else "digest"
        return f"{_named(before, digest)} -> {_named(after, digest)}"
    if path == ("snapshot",):
        return f"{_snapshot(before)} -> {_snapshot(after)}"
    if path == ("adapter",):
        return f"adapter {_named(before, 'digest', 'base')} -> {_named(after, 'digest', 'base')}"
    if path == ("model", "files") or path in _REPEATED:
        return ""  # the digest, or the thing itself, says it
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]
        return ", ".join(f"{key} {_value(before.get(key))} -> {_value(after.get(key))}" for key in keys)
    return f"{path[-1].replace('_', ' ')} {_value(before)} -> {_value(after)}"


def _named(pinned: Any, digest: str, name: str = "name") -> str:
    return f"{pinned[name]} {pinned[digest][:_SHORT]}" if pinned else "none"


def _snapshot(pinned: Mapping[str, Any]) -> str:
    return f"{pinned['id'][:_SHORT]} ({pinned['documents']} pages, {pinned['kind']})"


def _value(value: Any) -> str:
    text = " ".join(str(value).split()) if value not in (None, "") else "none"
    if isinstance(value, str) and len(text) == 64 and all(char in "0123456789abcdef" for char in text):
        return text[:_SHORT]
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
