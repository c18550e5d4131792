"""A release's chain over passages and a model that somebody else scripts: what its policy does when both are hostile.

Everything else is the release's own: prompts, policy, limits, the way an answer is checked while it streams. Nothing is
searched, no model is loaded, and what is asked leaves no trace in the project.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from chains.assembly import pinned_parts
from chains.chain import Chain
from chains.chat_model import LocalChatModel
from lockgate.errors import UserError
from lockgate.store.database import open_database
from lockgate.types import Answer, AnswerMode, AskRequest, Chunk, Finished, Message, Passage, Retrieval, Served, Token

if TYPE_CHECKING:
    from ingestion.service import EmbedderHandle
    from lockgate.release import Manifest

Script = Callable[[Sequence[Message]], Sequence[str]]
"""What a scripted model says, in pieces, to the messages that it is given."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came out of the chain: ``shown`` is every piece that a client would have read, in order."""

    shown: str
    answer: Answer


@dataclass
class _Scripted:
    """The model and the retriever of one request at a time."""

    script: Script = lambda _messages: ()
    passages: tuple[str, ...] = ()
    name: str = "scripted"
    digest: str = ""
    context_window: int = 1 << 20
    messages: list[Message] = field(default_factory=list)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def stream(self, messages: Sequence[Message], **_options: object) -> AsyncIterator[str]:
        for piece in self.script(messages):
            yield piece

    def retrieve(self, question: str, *, limit: int) -> Retrieval:
        found = tuple(
            Passage(Chunk(f"trial-{number}", "trial", "trial.md", "Trial", (), "1", number, text, 1), 1.0, 1.0)
            for number, text in enumerate(self.passages[:limit])
        )
        # As relevant as can be, and searched by words: no vectors are needed.
        return Retrieval(question, found, "trial", "bm25", 1.0, 1.0)


class TrialChain:
    """Asks the chain of one release. One request at a time for each instance."""

    def __init__(self, chain: Chain, scripted: _Scripted) -> None:
        self.chain = chain
        self._scripted = scripted

    async def ask(
        self,
        question: str,
        *,
        passages: Sequence[str],
        script: Script | None = None,
        channel: str = "",
    ) -> Said:
        """The answer from ``passages``: what the model says by ``script``, or without one what the chain quotes."""
        self._scripted.passages = tuple(passages)
        self._scripted.script = script or (lambda _messages: ())
        mode: AnswerMode = "generative" if script else "extractive"
        request = AskRequest(question, origin="eval", mode=mode, seed=0, served=Served(channel=channel))
        shown: list[str] = []
        async for event in self.chain.ask(request):
            if isinstance(event, Token):
                shown.append(event.text)
            elif isinstance(event, Finished):
                return Said("".join(shown), event.answer)
        raise UserError("The chain ended without an answer.")


@contextlib.contextmanager
def open_trial(manifest: Manifest, embedder: EmbedderHandle) -> Iterator[TrialChain]:
    """The chain of ``manifest``, for as long as the block lasts. Raises Corrupt for pinned texts that are none."""
    scripted = _Scripted()
    with (
        tempfile.TemporaryDirectory(prefix="lockgate-trial-", ignore_cleanup_errors=True) as folder,
        open_database(f"sqlite:///{Path(folder) / 'trial.db'}") as db,
    ):
        model = LocalChatModel(generator=scripted)
        parts = pinned_parts(manifest, db, scripted, embedder, lambda: model)
        yield TrialChain(Chain(parts), scripted)
