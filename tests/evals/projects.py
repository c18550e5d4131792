"""A whole small project: pages to sync, a chain, a policy, a suite; and releases built from it as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from chains.release import build_manifest, keep_release
from lockgate.actor import Actor
from lockgate.release import Manifest
from lockgate.settings import Settings
from lockgate.store.database import Database, open_database
from prompts.prompt import Prompt
from tests.ingestion.fakes import WordEmbedder, handle, open_service, quiet, settings_for, write_pages

PAGES = {
    "keys.md": "# Keys\n\nRotate a key every ninety days. Run the rotate command to make a new key.\n",
    "gate.md": "# Gate\n\nThe gate refuses a release without evidence from ftp://files.example/list at all times.\n",
}
CASES: tuple[dict[str, Any], ...] = (
    {
        "id": "rotate",
        "question": "How often do I rotate a key?",
        "reference": "Every ninety days.",
        "pages": ["keys.md"],
        "answerable": True,
        "split": "dev",
    },
    {
        "id": "gate",
        "question": "What does the gate refuse?",
        "reference": "A release without evidence.",
        "pages": ["gate.md"],
        "answerable": True,
        "split": "test",
    },
    {
        "id": "follow",
        "question": "And how often should I do that?",
        "history": [{"role": "user", "content": "How do I rotate a key?"}, {"role": "assistant", "content": "Run it."}],
        "reference": "Every ninety days.",
        "pages": ["keys.md"],
        "answerable": True,
        "split": "test",
    },
    {"id": "moon", "question": "How far is the moon from here tonight?", "answerable": False, "split": "dev"},
)
POLICY: dict[str, Any] = {
    "name": "strict",
    "description": "Short questions.",
    "owner": "tests",
    "input": [{"check": "input_length", "action": "block", "max_characters": 500, "message": "Too long."}],
    "output": [{"check": "citations", "action": "redact"}],
}


class Project:
    """``docs/`` is what is synced; everything that a release pins can be rewritten between two builds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: Settings = settings_for(folder)
        self.embedder = WordEmbedder()
        write_pages(folder / "docs", PAGES)
        self.write_chain()
        self.write_policy()
        suite = folder / "evals" / "suites" / "tiny"
        suite.mkdir(parents=True)
        (suite / "suite.yaml").write_text(
            "name: tiny\nversion: 1\ncorpus: docs\nmetrics: [token_f1, abstention_accuracy]\ntimeout_s: 60\n"
        )
        (suite / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in CASES))

    def write_chain(self, **keys: Any) -> None:
        definition = {"name": "docs", "policy": "strict", "suite": "tiny", "mode": "extractive", **keys}
        self._write("chains/definitions/docs.yaml", definition)

    def write_policy(self, **keys: Any) -> None:
        self._write("guardrails/policies/strict.yaml", {**POLICY, **keys})

    def sync(self, pages: Mapping[str, str] | None = None) -> str:
        """Index the pages, after writing ``pages``; gives the snapshot's id."""
        write_pages(self.folder / "docs", dict(pages or {}))
        with self.database() as db, open_service(self.folder, db, self.embedder) as service:
            return service.sync(self.folder / "docs", quiet).snapshot

    def build(self, **options: Any) -> Manifest:
        """A kept release of the project as it stands now."""
        prompts: Mapping[Any, Prompt] | None = options.pop("prompts", None)
        with self.database() as db:
            manifest = build_manifest(self.settings, db, handle(self.embedder), "docs", prompts=prompts, **options)
            keep_release(self.settings, db, manifest, Actor("ada"))
        return manifest

    @contextmanager
    def database(self) -> Iterator[Database]:
        with open_database(self.settings.database) as db:
            yield db

    def serve_fakes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let commands in this process use the word embedder, and this project."""
        monkeypatch.setenv("LOCKGATE_PROJECT", str(self.folder))
        monkeypatch.setattr("ingestion.embedding.open_embedder", lambda _settings: handle(self.embedder))

    def _write(self, name: str, body: Mapping[str, Any]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(dict(body), sort_keys=False))
