"""The offline tier: hundreds of stored answers, and nobody outside this machine is looked up or reached."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from evals.runs.score_source import score_source
from evals.suite import load_suite
from lockgate.settings import Settings
from tests.evals.conftest import WriteSuite

SUITE = """\
name: tiny
version: 1
license: Apache-2.0
corpus: docs
metrics: [recall@5, mrr, ndcg@10, token_f1, exact_match, rouge_l, citation_precision, citation_recall, lexical_support,
  abstention_accuracy, abstention_balanced, latency_seconds, answer_relevance, faithfulness]
timeout_s: 5
"""
COUNT = 300


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was looked up or connected to; each such call fails."""
    seen: list[str] = []

    def refuse(name: str) -> Any:
        def call(*arguments: Any, **_: Any) -> None:
            seen.append(f"{name}{arguments[-1:]} in {threading.current_thread().name}")
            raise OSError("there is no network")

        return call

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse(name))
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse(name))
    return seen


def test_three_hundred_stored_answers_are_scored_without_a_look_up(
    write_suite: WriteSuite, looked_up: list[str]
) -> None:
    cases = [
        {
            "id": f"q{number}",
            "question": f"What is setting {number}?",
            "reference": f"Setting {number} is the port.",
            "pages": ["api.md"],
            "answerable": True,
            "split": "dev",
        }
        for number in range(COUNT)
    ]
    project = write_suite(yaml=SUITE, cases=cases)
    answers = project / "answers.jsonl"
    answers.write_text(
        "".join(
            json.dumps(
                {
                    "case": each["id"],
                    "answer": f"{each['reference']} [1]",
                    "passages": [f"{each['reference']} And more."] * 5,
                    "ranking": ["faq.md", "api.md"],
                    "citations": [{"path": "api.md"}],
                    "seconds": 1.5,
                }
            )
            + "\n"
            for each in cases
        )
    )
    # A judge is set, and the offline tier does not ask it.
    settings = Settings(project=project, judge_base_url="http://judge.example.org/v1", judge_model="m", _env_file=None)
    run = score_source(
        settings,
        load_suite(project, "tiny"),
        str(answers),
        tier="offline",
        progress=lambda *_: None,
        say=lambda _: None,
    )
    metrics = run.aggregates["metrics"]
    assert {name: each["n"] for name, each in metrics.items()} == dict.fromkeys(metrics, COUNT)
    assert len(metrics) == 12
    assert looked_up == []
