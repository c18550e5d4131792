"""One setting after another on the same cases: the chain itself is asked, and only for what a setting changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from chains.chain import Chain, ChainParts, is_relevant
from chains.condense import condense
from evals.case import Case
from evals.metrics.metric import NO_TOOLS, Metric, measure_all
from evals.runs.asking import Asking, ask_and_search
from evals.runs.row import Row, make_row
from evals.suite import Suite
from evals.tuning.candidates import CandidateLists, MemoryRetriever
from evals.tuning.setting import Setting
from lockgate.types import Message, Retrieval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lockgate.ports import Embedder

Key = tuple[str, float, int, bool]
"""What an answer and a ranking depend on: the case, the weight of the vectors, k, and whether there is an answer."""


class KeptVectors:
    """An embedder that embeds a text once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self.name, self.digest = embedder.name, embedder.digest
        self.dimension, self.max_tokens = embedder.dimension, embedder.max_tokens
        self.count_tokens = embedder.count_tokens
        self.embed_batches = embedder.embed_batches

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if missing := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors |= zip(missing, self._embedder.embed(missing), strict=True)
        return np.stack([self._vectors[text] for text in texts])


class Trials:
    """Rows of settings over ``cases``. ``parts`` are those of the chain as its definition has it, in extractive mode.

    A setting costs sums in memory; the chain is asked again only where passages or decision are new, and a text is
    embedded once. ``asked`` counts what it was asked.
    """

    def __init__(
        self, parts: ChainParts, lists: CandidateLists, suite: Suite, cases: Sequence[Case], metrics: Sequence[Metric]
    ) -> None:
        self._parts, self._lists, self._suite = parts, lists, suite
        self.cases, self.metrics = tuple(cases), tuple(metrics)
        self._rows: dict[Key, Row] = {}
        self._found: dict[tuple[str, float, int, int], Retrieval] = {}
        self.asked = 0

    def rows(self, setting: Setting, done: Callable[[int], None] = lambda _done: None) -> list[Row]:
        return asyncio.run(self._all(setting, done))

    async def _all(self, setting: Setting, done: Callable[[int], None]) -> list[Row]:
        rows = []
        for number, case in enumerate(self.cases, start=1):
            key = (case.id, setting.dense_weight, setting.passages, self._relevant(case, setting))
            if key not in self._rows:
                self.asked += 1
                self._rows[key] = await self._ask(case, setting)
            rows.append(self._rows[key])
            done(number)
        return rows

    def _relevant(self, case: Case, setting: Setting) -> bool:
        key = (case.id, setting.dense_weight, setting.passages, setting.evidence)
        definition = setting.applied(self._parts.definition)
        if key not in self._found:
            history = [Message(turn.role, turn.content) for turn in case.history]
            question = condense(case.question.strip(), history)
            self._found[key] = self._lists.retrieve(question, definition.retrieval, setting.passages)
        return is_relevant(self._found[key], definition.relevance)

    async def _ask(self, case: Case, setting: Setting) -> Row:
        definition = setting.applied(self._parts.definition)
        retriever = MemoryRetriever(self._lists, definition.retrieval)
        chain = Chain(replace(self._parts, definition=definition, retriever=retriever))
        how = Asking(self._suite.definition.timeout_s, "extractive", shown=definition.passages)
        asked = await ask_and_search(case, chain, retriever, how)
        scores = await measure_all(self.metrics, asked.outcome, NO_TOOLS)
        return make_row(asked, self._suite.slices_of(case), scores)
