"""A check that does not work shows wherever somebody may look: readyz, the answer, doctor, and the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from evals.gate import judge, load_gate
from evals.gate_context import gate_context
from guardrails import catalogue
from guardrails.check import NOTHING, Found, Seen
from guardrails.checks.secrets import Secrets
from lockgate.owner import acquire
from lockgate.store.channels import get_channel
from lockgate.store.database import open_database
from lockgate.store.releases import open_releases
from serving.api import create_app
from serving.check_trials import CheckTrials
from serving.doctor import examine
from serving.wiring import Application
from tests.chains.projects import make_project
from tests.ingestion.fakes import WordEmbedder, handle, write_pages
from tests.serving.fakes import wait_for

POLICY = "name: default\ndescription: d\nowner: me\n{stage}:\n  - check: secrets\n    action: block\n{more}"
QUESTION = {"model": "docs", "messages": [{"role": "user", "content": "How do I rotate a signing key?"}]}


class Breakable(Secrets):
    broken = False

    def look(self, _seen: Seen) -> Found:
        if Breakable.broken:
            raise FileNotFoundError("the weights are missing")
        return NOTHING


@pytest.fixture(autouse=True)
def _breakable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(catalogue.CHECKS, "secrets", Breakable)
    monkeypatch.setattr("serving.check_trials.AGAIN_SECONDS", 0.0)
    Breakable.broken = True
    yield
    Breakable.broken = False


@pytest.mark.parametrize(("stage", "on_error"), [("input", ""), ("output", ""), ("output", "    on_error: flag\n")])
def test_it_shows_in_readyz_the_answer_doctor_and_the_gate_until_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, on_error: str
) -> None:
    settings = make_project(tmp_path)
    write_pages(tmp_path, {"guardrails/policies/default.yaml": POLICY.format(stage=stage, more=on_error)})
    monkeypatch.setattr("ingestion.embedding.open_embedder", lambda _settings: handle(WordEmbedder()))
    monkeypatch.setattr("lockgate.models.generator.load_generator", lambda _settings, _files: object())
    closes = not on_error
    with acquire(settings.state_dir, "test") as owner:
        application = Application(settings, owner)
        try:
            _serve(application, settings, tmp_path, stage, closes=closes)
        finally:
            application.close()
    (found,) = (each for each in examine(settings) if each.name == "checks")
    assert (found.ok, "the weights are missing" in found.detail) == (True, False)


def _serve(application: Application, settings: Any, folder: Path, stage: str, *, closes: bool) -> None:
    Breakable.broken = False  # so that the gate of staging lets it in
    application.start(keep_staging=True, sync=str(folder / "docs"))
    assert wait_for(lambda: application.readiness().ready, 30)
    with TestClient(create_app(application), base_url="http://127.0.0.1:8000") as client:
        Breakable.broken = True
        answer = client.post("/v1/chat/completions", json=QUESTION)
        _check_answer(answer, stage, closes=closes)
        state = client.get("/readyz")
        body = state.json()
        assert (state.status_code, body["ready"], body["degraded"]) == (
            (503, False, False) if closes else (200, True, True)
        )
        told = " ".join(body["missing"]) if closes else body["warning"]
        assert f"The check secrets at the stage {stage} does not work" in told
        assert "the weights are missing" in told
        assert body["checks"] == [
            {
                "stage": stage,
                "check": "secrets",
                "ok": False,
                "problem": "FileNotFoundError: the weights are missing",
                "on_error": "block" if closes else "flag",
            }
        ]
        (found,) = (each for each in examine(settings) if each.name == "checks")
        assert found.ok is False
        assert "the weights are missing" in found.detail
        _check_gate(settings, application, stage, closes=closes)
        Breakable.broken = False
        # Nobody asks a server that is not ready; it finds out by itself.
        assert wait_for(lambda: client.get("/readyz").json()["checks"][0]["ok"], 30)
        assert client.get("/readyz").status_code == 200


def _check_answer(answer: Any, stage: str, *, closes: bool) -> None:
    body = answer.json()
    if stage == "input":
        assert (answer.status_code, body["error"]["code"]) == (400, "policy_refused")
        return
    done = "blocked" if closes else "flagged"
    assert body["choices"][0]["finish_reason"] == ("content_filter" if closes else "stop")
    said = body["lockgate"]["guardrails"]
    assert f"output secrets: {done} (failed: FileNotFoundError: the weights are missing)" in said
    assert ("rotate command" in body["choices"][0]["message"]["content"]) != closes


def _check_gate(settings: Any, application: Application, stage: str, *, closes: bool) -> None:
    with open_database(settings.database) as db:
        release = get_channel(db, "staging", "docs").release
        assert release is not None
        manifest = open_releases(settings, db).manifest(release)
        context = gate_context(settings, db, manifest, "staging", application.asker)
        report = asyncio.run(judge(load_gate(settings.project_dir, "staging"), context))
    (rule,) = report.rules
    if stage == "input":
        assert rule.verdict == "INCONCLUSIVE"  # the refusal tells the user nothing of checks; the suite safety does
    else:
        assert rule.verdict == "FAIL"
        assert "Checks of its policy do not work: output secrets" in rule.reason


def test_a_guard_is_tried_once_and_again_only_while_something_is_broken() -> None:
    class Counted:
        tries, problem = 0, "broken"

        def health(self) -> dict[str, str]:
            return {"input x": self.problem}

        async def try_out(self) -> dict[str, str]:
            self.tries += 1
            return {}

    trials, guard = CheckTrials(again_seconds=0.0), Counted()
    see_to: Any = trials.see_to
    for expected in (1, 2):
        see_to(guard)
        assert wait_for(lambda: guard.tries == expected and guard not in cast("Any", trials._running))  # noqa: B023 - asked at once
    guard.problem = ""
    see_to(guard)
    assert guard.tries == 2
