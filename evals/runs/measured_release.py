"""The release that a run measures: which it is, and what of it the run needs to know."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from evals.runs.asking import SHOWN
from lockgate.errors import NotFound, UserError
from lockgate.settings import Settings
from lockgate.types import AnswerMode


@dataclass(frozen=True, slots=True)
class MeasuredRelease:
    """``facts`` are what the run is kept by; ``pages`` are those of its snapshot with their chunk ids; ``shown`` is how
    many passages its chain reads; ``prompt_tokens`` and ``completion_tokens`` bound one answer of its model, which also
    completes follow-ups where it ``condenses``."""

    facts: Mapping[str, Any]
    mode: AnswerMode
    pages: Mapping[str, Sequence[str]] = field(repr=False)
    shown: int = SHOWN
    prompt_tokens: int = 0
    completion_tokens: int = 0
    check_output: Callable[[str], list[str]] | None = None
    condenses: bool = False

    @property
    def id(self) -> str:
        return str(self.facts["release"])

    @property
    def chain(self) -> str:
        return str(self.facts["chain"])


def measured_release(
    settings: Settings, release: str | None, channel: str | None, chain: str | None
) -> MeasuredRelease:
    """The release named, or the one that ``channel`` points at, or one built from the project's files.

    Raises UserError and NotFound.
    """
    from chains.assembly import definition_of, prompt_of
    from chains.release import build_from_project
    from chains.release_commands import release_named
    from lockgate.store.database import open_database
    from lockgate.store.releases import open_releases
    from lockgate.store.snapshots import find_snapshot, pages_at

    if release and (channel or chain):
        raise UserError("--release knows its own chain: leave out --channel and --chain.")
    if not release and not channel:
        release = build_from_project(settings, chain or settings.chain).id
    with open_database(settings.database) as db:
        name = release_named(settings, db, release or f"{chain or settings.chain}@{channel}")
        manifest = open_releases(settings, db).manifest(name)
        snapshot = find_snapshot(db, manifest.snapshot.id)
        if snapshot is None:
            raise NotFound(
                f"The snapshot {manifest.snapshot.id[:12]} of release {name[:12]} is not here.",
                hint="Import the release with its documents, or sync them.",
            )
        pages: dict[str, list[str]] = {}
        for page in pages_at(db, snapshot.seq):  # two sources may have a page of one name
            pages.setdefault(page.path, []).extend(page.chunk_ids)
    definition, schema = definition_of(manifest), prompt_of(manifest, "answer").output_schema
    return MeasuredRelease(
        facts={
            "chain": manifest.name,
            "model": manifest.model.name,
            "release": name,
            "lockgate": version("lockgate"),
            "environment": {
                "python": platform.python_version(),
                "system": platform.system().lower(),
                "machine": platform.machine(),
            },
        },
        mode=manifest.route.mode,
        pages=pages,
        shown=definition.passages,
        condenses=definition.condense == "model",
        prompt_tokens=definition.passage_budget,
        completion_tokens=definition.max_tokens,
        check_output=schema.text_errors if schema else None,
    )
