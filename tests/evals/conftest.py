"""A small project with one suite, and askers and retrievers that answer from a table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evals.suite import Suite, load_suite
from lockgate.types import Answer, AnswerEvent, AskRequest, Chunk, Citation, Finished, Passage, Retrieval, Token

SUITE_YAML = """\
name: tiny
version: 3
description: Two pages.
license: Apache-2.0
corpus: docs
metrics: [recall@1, mrr, ndcg@10, token_f1, citation_precision, citation_recall, abstention_accuracy,
  abstention_balanced, answered_rate, abstained_rate]
timeout_s: 0.4
"""

CASES: tuple[dict[str, Any], ...] = (
    {
        "id": "port",
        "question": "Which port?",
        "reference": "Port 8000.",
        "pages": ["api.md"],
        "answerable": True,
        "split": "dev",
    },
    {
        "id": "follow",
        "question": "And the host?",
        "history": [{"role": "user", "content": "Which port?"}, {"role": "assistant", "content": "8000."}],
        "reference": "127.0.0.1",
        "pages": ["api.md"],
        "answerable": True,
        "split": "test",
    },
    {"id": "moon", "question": "How far is the moon?", "answerable": False, "split": "dev"},
    {"id": "price", "question": "What does it cost?", "answerable": False, "split": "test"},
)

WriteSuite = Callable[..., Path]


@pytest.fixture
def write_suite(tmp_path: Path) -> WriteSuite:
    """Write the suite "tiny" into a fresh project and return the project folder."""

    def write(yaml: str = SUITE_YAML, cases: Sequence[Mapping[str, Any]] | str = CASES) -> Path:
        (tmp_path / "docs").mkdir(exist_ok=True)
        (tmp_path / "docs" / "api.md").write_text("# API\nPort 8000 on 127.0.0.1.\n")
        (tmp_path / "docs" / "faq.md").write_text("# FAQ\nNothing.\n")
        folder = tmp_path / "evals" / "suites" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "suite.yaml").write_text(yaml)
        text = cases if isinstance(cases, str) else "".join(json.dumps(case) + "\n" for case in cases)
        (folder / "cases.jsonl").write_text(text)
        return tmp_path

    return write


@pytest.fixture
def suite(write_suite: WriteSuite) -> Suite:
    return load_suite(write_suite(), "tiny")


def make_answer(text: str = "", pages: Sequence[str] = (), *, abstained: bool = False, question: str = "") -> Answer:
    citations = tuple(
        Citation(number, f"c{number}", "docs", page, page, (), "v1", "text") for number, page in enumerate(pages, 1)
    )
    return Answer(text, citations, abstained, "extractive", "trace-1", "snap-1", question=question)


@dataclass
class FakeAsker:
    """Answers by question: an Answer, an exception to raise, or a number of seconds to hang first."""

    answers: Mapping[str, Answer | Exception | float]
    requests: list[AskRequest] = field(default_factory=list)
    running: int = 0
    peak: int = 0
    closed: int = 0

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        self.requests.append(request)
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(0.001)
            reply = self.answers[request.question]
            if isinstance(reply, Exception):
                raise reply
            if isinstance(reply, float):
                await asyncio.sleep(reply)
                return
            yield Token(reply.text)
            yield Finished(reply)
        finally:
            self.running -= 1
            self.closed += 1


@dataclass
class FakeRetriever:
    """Ranks the pages given for a question; several passages of one page in a row where a page is named twice."""

    rankings: Mapping[str, Sequence[str] | Exception]
    asked: list[tuple[str, int]] = field(default_factory=list)

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        self.asked.append((question, limit))
        ranking = self.rankings.get(question, ())
        if isinstance(ranking, Exception):
            raise ranking
        passages = tuple(
            Passage(Chunk(f"c{place}", "docs", page, page, (), "v1", place, "text", 1), 1 / (place + 1), 0.5)
            for place, page in enumerate(ranking)
        )
        return Retrieval(question, passages[:limit], "snap-1", "hybrid", 0.5, 1.0)


GOOD_ANSWERS: Mapping[str, Answer | Exception | float] = {
    "Which port?": make_answer("It listens on port 8000 [1].", ["api.md"]),
    "And the host?": make_answer("127.0.0.1 [1]", ["api.md"], question="Which host does it listen on?"),
    "How far is the moon?": make_answer("Not in the documents.", abstained=True),
    "What does it cost?": make_answer("It costs 3 [1].", ["faq.md"]),
}

GOOD_RANKINGS: Mapping[str, Sequence[str] | Exception] = {
    "Which port?": ["faq.md", "faq.md", "api.md"],
    "Which host does it listen on?": ["api.md"],
}
