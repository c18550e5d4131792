"""A project whose chain can be made better: pages about services, cases in both halves, a poor setting at first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.evals.projects import Project

CHAIN = """\
# The bot of the tests.   Two spaces, kept.
name: docs
retrieval:   # how it searches
    dense_weight: 0.9   # poor
    candidates: 30
policy: strict
# Nothing is let through.
relevance: {threshold: 1.0, cosine_weight: 0.2}
abstention: |
  Not here.
suite: services
"""


BIRDS = (
    "falcon", "osprey", "heron", "raven", "magpie", "jackdaw", "kestrel", "merlin", "harrier", "buzzard", "condor",
    "puffin",
)  # fmt: skip
TEAMS = ("amber", "cobalt", "crimson", "emerald", "indigo")
UNKNOWN = ("moon", "glacier", "opera", "violin", "sonnet", "marathon", "volcano", "saffron")


def pages() -> dict[str, str]:
    """A page for each service."""
    return {
        f"{name}.md": (
            f"# The {name} service\n\nThe {name} service listens on port {4100 + 7 * number}.\n\n## Owner\n\n"
            f"The {name} service is owned by the {TEAMS[number % len(TEAMS)]} team since year {1990 + number}.\n\n"
            # Unlike each other in length, so that no two of them score the same.
            f"Notes of the {name}: {' '.join(f'n{number}x{word}' for word in range(2 + 3 * number))}.\n"
        )
        for number, name in enumerate(BIRDS)
    }


def both_halves() -> list[dict[str, Any]]:
    """Answerable and unanswerable cases in either half: 16 each."""
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(BIRDS):
        gold = {"pages": [f"{name}.md"], "answerable": True, "split": "test" if number % 2 else "dev"}
        port = f"The {name} service listens on port {4100 + 7 * number}."
        team = f"The {name} service is owned by the {TEAMS[number % len(TEAMS)]} team."
        rows += [
            {"id": f"{name}-port", "question": f"Which port does the {name} service listen on?", "reference": port}
            | gold,
            {"id": f"{name}-owner", "question": f"Which team is the {name} service owned by?", "reference": team}
            | gold,
        ]
    for number, word in enumerate(UNKNOWN):
        question = f"Why would somebody write about {word} tonight?"
        rows.append({"id": word, "question": question, "answerable": False, "split": "test" if number % 2 else "dev"})
    return rows


class TuningProject(Project):
    """``chain_file`` is what tuning writes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name, text in pages().items():
            (folder / "docs" / name).write_text(text)
        self.chain_file = folder / "chains" / "definitions" / "docs.yaml"
        self.chain_file.write_text(CHAIN)
        self.write_cases(both_halves())
        self.sync()

    def write_cases(self, rows: Sequence[Mapping[str, Any]], extra: str = "") -> None:
        suite = self.folder / "evals" / "suites" / "services"
        suite.mkdir(parents=True, exist_ok=True)
        (suite / "suite.yaml").write_text(
            "name: services\nversion: 4\nlicense: Apache-2.0\ncorpus: docs\n"
            f"metrics: [recall@1, ndcg@10, token_f1, citation_recall, abstention_balanced]\n{extra}"
        )
        (suite / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TuningProject:
    project = TuningProject(folder)
    project.serve_fakes(monkeypatch)
    return project
