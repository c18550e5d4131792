"""Git repositories and releases to test with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from lockgate.actor import Actor
from lockgate.git import run_git
from lockgate.release import Manifest
from lockgate.settings import Settings
from lockgate.store.channels import Action, Move, Rollout, get_channel, move_channel
from lockgate.store.database import open_database
from lockgate.store.releases import open_releases
from lockgate.store.tables import Snapshot
from prompts.prompt import prompt_from_files
from tests.lockgate.samples import PROVENANCE, manifest_body
from tests.prompts.texts import write_library

PERSON = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


class Repository:
    """A git repository with a project in it, in the subfolder ``inside``."""

    def __init__(self, top: Path, inside: str = "") -> None:
        self.top = top
        self.project = top / inside
        self.project.mkdir(parents=True, exist_ok=True)
        run_git(top, "init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        return run_git(self.top, *arguments)

    def commit(self, message: str = "c", files: Mapping[str, str] | None = None) -> str:
        """Write ``files`` into the library, commit everything, return the commit."""
        write_library(self.project, files or {})
        self.git("add", "--all")
        self.git(*PERSON, "commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def state(self) -> tuple[str, ...]:
        """Everything that an edit must leave alone."""
        files = [
            f"{path.relative_to(self.top)}={path.read_bytes()!r}"
            for path in sorted(self.top.rglob("*"))
            if path.is_file() and ".git" not in path.parts
        ]
        index = (self.top / ".git" / "index").read_bytes()
        head = (self.top / ".git" / "HEAD").read_text() + self.git("rev-parse", "HEAD")
        return (head, repr(index), self.git("status", "--porcelain"), self.git("worktree", "list"), *files)


def settings_in(project: Path) -> Settings:
    return Settings(_env_file=None, project=project, state=project / ".lockgate", models_dir=project / "models")


def write_release(settings: Settings, name: str, files: Mapping[str, str], *, chain: str = "docs") -> Manifest:
    """A release that pins the prompt ``name`` as its answer prompt, and its snapshot."""
    prompt = prompt_from_files(name, files, where="test")
    body = manifest_body(name=chain)
    body["prompts"]["answer"] = {"name": name, "hash": prompt.hash, "files": dict(prompt.files)}
    manifest = Manifest.model_validate(body)
    with open_database(settings.database) as db:
        open_releases(settings, db).write(manifest, PROVENANCE)
        with db.session() as session:
            if session.scalar(select(Snapshot.seq).where(Snapshot.id == manifest.snapshot.id)) is None:
                session.add(_snapshot(manifest))
    return manifest


def _snapshot(manifest: Manifest) -> Snapshot:
    pinned = manifest.snapshot
    return Snapshot(
        id=pinned.id,
        kind=pinned.kind,
        parent=None,
        manifest=pinned.manifest,
        lexicon=pinned.lexicon,
        embedder=pinned.embedder,
        chunking={},
        documents=pinned.documents,
        chunks=pinned.chunks,
        created_at=datetime.now(UTC),
    )


def point(
    settings: Settings,
    release: str,
    *,
    channel: str = "production",
    chain: str = "docs",
    action: Action = "promote",
    rollout: Rollout | None = None,
) -> None:
    with open_database(settings.database) as db:
        version = get_channel(db, channel, chain).version
        move_channel(db, Move(channel, chain, action, release, version, Actor("ada"), "because", rollout=rollout))
