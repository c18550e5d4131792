"""A retriever with set passages, a chat model that says set words, and a chain over both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from chains.chain import Chain, ChainParts
from chains.chat_model import LocalChatModel
from chains.definition import ChainDefinition
from guardrails.check import GuardTools
from guardrails.policy import load_policy
from lockgate.store.database import Database
from lockgate.types import (
    AnswerEvent,
    AnswerMode,
    AskRequest,
    Chunk,
    Finished,
    Message,
    Passage,
    Retrieval,
    SnapshotKind,
    Token,
)
from prompts.collection import find_prompt
from tests.ingestion.fakes import WordEmbedder

ROTATE = "Rotate a key every ninety days. Run the rotate command to make a new key. The old key works for one hour."
REVOKE = "Revoking a key is final. A revoked key answers with the error 401."


def passage(name: str, text: str, *, title: str = "Keys", cosine: float | None = 0.8) -> Passage:
    chunk = Chunk(
        id=name, source="docs", path=f"{name}.md", title=title, heading=(name.title(),), version="v1", position=0,
        text=text, tokens=len(text.split()),
    )  # fmt: skip
    return Passage(chunk, 0.9, cosine)


class FakeRetriever:
    """Gives the same passages to every question and remembers what it was asked."""

    def __init__(
        self,
        passages: Sequence[Passage],
        *,
        cosine: float | None = 0.8,
        rare_share: float = 1.0,
        error: Exception | None = None,
    ) -> None:
        self.passages = tuple(passages)
        self.cosine, self.rare_share, self.error = cosine, rare_share, error
        self.asked: list[str] = []

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        self.asked.append(question)
        if self.error:
            raise self.error
        kind: SnapshotKind = "bm25" if self.cosine is None else "hybrid"
        return Retrieval(question, self.passages[:limit], "s" * 64, kind, self.cosine, self.rare_share)


class ScriptedGenerator:
    """A model that says ``words``, or raises; it remembers its prompt and whether it was closed early."""

    name, digest, context_window = "scripted", "d", 2048

    def __init__(self, words: Sequence[str], *, error: Exception | None = None) -> None:
        self.words, self.error = list(words), error
        self.messages: list[Message] = []
        self.options: dict[str, object] = {}
        self.said = 0
        self.closed = False

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def stream(self, messages: Sequence[Message], **options: object) -> AsyncIterator[str]:
        self.messages, self.options = list(messages), options
        try:
            for word in self.words:
                await asyncio.sleep(0)
                self.said += 1
                yield word
            if self.error:
                raise self.error
        finally:
            self.closed = True


def chain_over(
    project: Path,
    db: Database,
    retriever: FakeRetriever,
    generator: ScriptedGenerator | None = None,
    *,
    route: AnswerMode = "extractive",
    guard_tools: GuardTools | None = None,
    **definition: object,
) -> Chain:
    embedder = WordEmbedder()
    return Chain(
        ChainParts(
            definition=ChainDefinition.model_validate({"name": "docs", **definition}),
            release="r" * 64,
            mode=route,
            retriever=retriever,
            embedder=lambda: embedder,
            chat_model=lambda: LocalChatModel(generator=generator),
            model="scripted",
            answer_prompt=find_prompt(project, "answer"),
            condense_prompt=find_prompt(project, "condense"),
            policy=load_policy(project, "default"),
            db=db,
            count_tokens=embedder.count_tokens,
            guard_tools=guard_tools or GuardTools(),
        )
    )


async def collect(events: AsyncIterator[AnswerEvent]) -> tuple[str, Finished]:
    """The text as it streamed, and the last event."""
    pieces: list[str] = []
    async for event in events:
        if isinstance(event, Token):
            pieces.append(event.text)
        else:
            return "".join(pieces), event
    raise AssertionError("the chain ended without Finished")


def ask(chain: Chain, question: str, **options: object) -> tuple[str, Finished]:
    return asyncio.run(collect(chain.ask(AskRequest(question=question, **options))))  # type: ignore[arg-type]
