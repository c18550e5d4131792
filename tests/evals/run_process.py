"""A run in a process of its own, for tests that kill it: python run_process.py PROJECT LOG SECONDS [RUN]."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chains.local
import evals.runs.measuring
from evals.runs.measured_release import MeasuredRelease
from evals.runs.measuring import RunRequest, measure
from lockgate.settings import Settings
from lockgate.types import Answer, AnswerEvent, AskRequest, Chunk, Citation, Finished, Passage, Retrieval

RELEASE = "e" * 64
FACTS = {"chain": "docs", "model": "tiny-model", "release": RELEASE, "lockgate": "0"}


@dataclass
class LoggedAsker:
    """Answers every question after a while, and notes it in a file when it is asked."""

    log: Path
    seconds: float

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        with self.log.open("a") as file:
            file.write(f"{request.question}#{request.seed}\n")
        await asyncio.sleep(self.seconds)
        citation = Citation(1, "c1", "docs", "api.md", "API", (), "v", "text")
        yield Finished(Answer(f"Answer to {request.question} [1].", (citation,), False, "generative", "t", "snap-1"))

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        passage = Passage(Chunk("c1", "docs", "api.md", "API", (), "v", 0, "text", 1), 1.0, 0.5)
        return Retrieval(question, (passage,)[:limit], "snap-1", "hybrid", 0.5, 1.0)


def replace_release(asker: Any, *, mode: Any = "generative", condenses: bool = False) -> None:
    """Let ``measure`` in this process ask ``asker`` instead of a release."""

    def measured(*_: object) -> MeasuredRelease:
        return MeasuredRelease(FACTS, mode, {"api.md": ["c1"]}, 3, 1000, 100, condenses=condenses)

    @contextmanager
    def open_asker(*_: object, **__: object) -> Iterator[Any]:
        yield asker

    for module, name, fake in (
        (evals.runs.measuring, "measured_release", measured),
        (chains.local, "open_asker", open_asker),
    ):
        setattr(module, name, fake)


if __name__ == "__main__":
    project, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    replace_release(LoggedAsker(log, seconds))
    request = RunRequest("tiny", concurrency=2, resume=sys.argv[4] if len(sys.argv) > 4 else None)
    settings = Settings(project=project, _env_file=None)
    sys.stdout.write(measure(settings, request, progress=lambda *_: None, say=lambda _: None).id)
