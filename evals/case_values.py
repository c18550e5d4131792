"""What a case puts into a prompt: its question and history, and the passages that a release finds for it."""

from __future__ import annotations

from chains.answers import prompt_passages, within_budget
from chains.assembly import definition_of
from chains.condense import condense
from evals.case import Case
from ingestion.embedding import open_embedder, open_pinned_embedder
from lockgate.ports import Retriever
from lockgate.release import Manifest
from lockgate.settings import Settings
from lockgate.types import Message
from prompts.prompt import Prompt


def case_values(
    settings: Settings, prompt: Prompt, case: Case, manifest: Manifest, retriever: Retriever
) -> dict[str, object]:
    """Values for those of ``question``, ``history`` and ``passages`` that ``prompt`` declares, as its chain fills them.

    ``retriever`` searches the snapshot of ``manifest``. A prompt that takes the history gets the question as it was
    asked; one that does not gets it completed from the history by the chain's rule.
    """
    history = tuple(Message(turn.role, turn.content) for turn in case.history)
    alone = condense(case.question, history)
    values: dict[str, object] = {}
    if "question" in prompt.variables:
        values["question"] = case.question if "history" in prompt.variables else alone
    if "history" in prompt.variables:
        values["history"] = [{"role": message.role, "content": message.content} for message in history]
    if "passages" in prompt.variables:
        definition = definition_of(manifest)
        found = retriever.retrieve(alone, limit=definition.passages).passages
        embedder = open_embedder(settings)
        if embedder.digest != manifest.embedder.digest:
            embedder = open_pinned_embedder(settings, manifest.embedder.files)
        values["passages"] = prompt_passages(within_budget(found, definition.passage_budget, embedder.count_tokens))
    return values
