"""A workbench over a real project: pages indexed, releases built, a model server that a script speaks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from chains.assembly import SharedModels
from ingestion.service import IndexService
from lockgate.actor import Actor
from lockgate.git import run_git
from lockgate.store.channels import Move, Rollout, get_channel, move_channel
from lockgate.store.database import open_database
from serving.workbench import Workbench
from tests.chains.model_server import ModelServer, free_port, run_model_server
from tests.chains.projects import PAGES, Project, make_project
from tests.ingestion.fakes import WordEmbedder, handle

ANN = Actor("ann")
PROMPT = """---
name: answer
description: Answers from passages.
owner: docs-team
variables:
  question: str
  passages: list
---

# system

Answer from the passages only. {% include "shared/tone.md" %}

# user

{% for passage in passages %}
{{ passage.number }} {{ passage.text | fence }}
{% endfor %}
Question: {{ question | fence }}
"""
OWN_PROMPT = PROMPT.replace(' {% include "shared/tone.md" %}', "")


@dataclass(frozen=True)
class Bench:
    """The workbench, and the model server that its releases ask."""

    project: Project
    server: ModelServer
    workbench: Workbench

    @property
    def folder(self) -> Path:
        return self.project.folder

    @property
    def prompt(self) -> Path:
        return self.folder / "prompts" / "library" / "answer.md"

    def point(
        self, channel: str, release: str, *, forced: bool = False, reason: str = "", rollout: Rollout | None = None
    ) -> None:
        """Move a channel past its gate, as the store lets its callers."""
        before = get_channel(self.project.db, channel, "docs")
        move_channel(
            self.project.db,
            Move(
                channel,
                "docs",
                "rollout" if rollout else "promote",
                release,
                before.version,
                ANN,
                reason=reason,
                forced=forced,
                evidence=[
                    {
                        "kind": "gate",
                        "verdict": "FAIL" if forced else "PASS",
                        "gate": "ab" * 32,
                        "rules": [
                            {"rule": "verify", "verdict": "FAIL" if forced else "PASS", "reason": "All is here."}
                        ],
                    }
                ],
                rollout=rollout,
            ),
        )

    def without_server(self) -> Workbench:
        """The same project, whose model server is gone."""
        gone = f"http://127.0.0.1:{free_port()}/v1"
        settings = self.project.settings.model_copy(update={"openai_base_url": gone})
        return replace(self.workbench, settings=settings, models=SharedModels(settings))

    def git(self, *arguments: str) -> str:
        return run_git(self.folder, *arguments)

    def begin_git(self) -> None:
        """Make the project a repository whose files are committed; its state is ignored."""
        (self.folder / ".gitignore").write_text(".lockgate/\nmodels/\n")
        self.git("init", "--quiet", "--initial-branch=main")
        for key, value in (("user.name", "Ann"), ("user.email", "ann@example.com")):
            self.git("config", key, value)
        self.commit("Begin")

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", message)


@contextlib.contextmanager
def open_bench(folder: Path) -> Iterator[Bench]:
    """A project whose model is behind a server of one word a piece, with a prompt of its own and pages indexed."""
    with run_model_server(ModelServer()) as server:
        settings = make_project(folder, PAGES).model_copy(update={"openai_base_url": server.url})
        prompt = folder / "prompts" / "library" / "answer.md"
        prompt.parent.mkdir(parents=True)
        prompt.write_text(OWN_PROMPT)
        with (
            open_database(settings.database) as db,
            IndexService(settings, db, handle(WordEmbedder())) as service,
        ):
            project = Project(settings, db, service)
            project.sync({})
            models = SharedModels(settings)
            try:
                yield Bench(project, server, Workbench(settings, db, service, models))
            finally:
                models.close()
