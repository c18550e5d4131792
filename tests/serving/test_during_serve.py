"""Commands while a server owns the index: each finds it and goes through it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chains.assembly import SharedModels
from lockgate.owner import acquire
from lockgate.settings import Settings
from lockgate.store.database import open_database
from lockgate.store.eval_runs import list_eval_runs
from lockgate.store.traces import list_traces
from serving import cli
from serving.api import create_app
from serving.wiring import Application
from tests.chains.projects import make_project
from tests.ingestion.fakes import WordEmbedder, handle, write_pages
from tests.serving.fakes import run_server, wait_for

PAGES = {
    "keys.md": "# Keys\n\n## Rotation\n\nRotate a signing key with the rotate command every ninety days.\n",
    "ports.md": "# Ports\n\nThe server listens on port 8000 unless told otherwise.\n",
}
CASES = [
    {"id": "keys", "question": "How do I rotate a signing key?", "reference": "With the rotate command.",
     "pages": ["keys.md"], "answerable": True, "tags": [], "split": "test"},
    {"id": "paris", "question": "What is the capital of France?", "reference": "", "pages": [], "answerable": False,
     "tags": [], "split": "test"},
]  # fmt: skip
SUITE = """name: tiny
version: 1
description: Two questions.
license: Apache-2.0
corpus: docs
cases: cases.jsonl
metrics: [recall@5, token_f1, citation_precision, abstention_accuracy]
"""


class NoModel:
    """Nothing here needs a chat model; one that is loaded is enough."""

    generator = None


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    settings = make_project(tmp_path, PAGES)
    write_pages(
        tmp_path / "evals" / "suites" / "tiny",
        {"suite.yaml": SUITE, "cases.jsonl": "\n".join(map(json.dumps, CASES))},
    )
    monkeypatch.setattr("ingestion.embedding.open_embedder", lambda _settings: handle(WordEmbedder()))
    monkeypatch.setattr(SharedModels, "chat", lambda _self, _pinned: NoModel())
    monkeypatch.setenv("LOCKGATE_PROJECT", str(tmp_path))
    monkeypatch.setenv("LOCKGATE_MODELS_DIR", str(settings.models_path))
    with acquire(settings.state_dir, "lockgate serve") as owner:
        application = Application(settings, owner)
        with run_server(create_app(application)) as address:
            owner.announce(address)
            application.start(keep_staging=True, sync=str(tmp_path / "docs"))
            assert wait_for(lambda: application.readiness().ready, 30), application.readiness()
            yield settings
        application.close()


def test_asking(served: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["chains", "ask", "How do I rotate a signing key?"]) == 0
    out = capsys.readouterr().out
    assert "rotate command" in out
    assert "keys.md" in out
    with open_database(served.database) as db:
        traces = list_traces(db, limit=10)
    assert [trace.origin for trace in traces if trace.origin != "eval"] == ["cli"]


def test_syncing_and_then_finding_the_new_page(served: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    write_pages(served.project_dir / "docs", {"backup.md": "# Backup\n\nCopy the state folder to another disk.\n"})
    assert cli.run(["ingestion", "sync", str(served.project_dir / "docs"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["added"], report["unchanged"]) == (1, 2)
    assert cli.run(["ingestion", "search", "state folder", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passages"][0]["chunk"]["path"] == "backup.md"
    assert cli.run(["ingestion", "status", "--json"]) == 0
    assert "lockgate serve" in json.loads(capsys.readouterr().out)["owner"]


def test_a_sync_that_fails_in_the_server_fails_here(served: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["ingestion", "sync", str(served.project_dir / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_running_a_suite(served: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evals", "run", "tiny", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [case["case"] for case in report["cases"]] == ["keys", "paris"]
    assert report["aggregates"]["metrics"]["recall@5"]["value"] == 1.0
    with open_database(served.database) as db:
        assert len(list_eval_runs(db)) == 1
        origins = {trace.origin for trace in list_traces(db, limit=10)}
    assert origins == {"eval"}
