"""A question's way to a cited answer: condense, retrieve, decide, answer, guard, trace; read it from top to bottom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableLambda

from chains import answers
from chains.chat_model import stream_text
from chains.citing import SentenceCiter
from chains.condense import asks_model, condense
from chains.definition import ChainDefinition, Relevance
from chains.draft import TraceDraft
from chains.extractive import Quote, choose_quotes, write_quotes
from chains.generation import Generation, InsteadOfIt, said_instead
from chains.restoring import restored
from guardrails.check import GuardTools, Seen
from guardrails.checks.grounding import report_of
from guardrails.finding import StageResult
from guardrails.guard import Guard, without_controls
from guardrails.placeholders import Placeholders
from guardrails.policy import Policy
from guardrails.stream import AnswerStream
from lockgate.errors import PolicyRefused, UserError
from lockgate.store.database import Database
from lockgate.store.traces import write_trace
from lockgate.types import (
    Answer,
    AnswerEvent,
    AnswerMode,
    AskRequest,
    Finished,
    Message,
    Passage,
    Retrieval,
    Token,
)
from prompts.prompt import Prompt

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from lockgate.ports import Embedder, Retriever

HISTORY = 20
"""Messages of the history that count; older ones are left out."""


@dataclass(frozen=True, slots=True)
class ChainParts:
    """Everything a chain is made of. What is heavy is a function that gives the same object every time."""

    definition: ChainDefinition
    release: str
    mode: AnswerMode
    retriever: Retriever
    embedder: Callable[[], Embedder]
    chat_model: Callable[[], BaseChatModel]
    model: str
    answer_prompt: Prompt
    condense_prompt: Prompt
    policy: Policy
    db: Database
    count_tokens: Callable[[Sequence[str]], list[int]]
    guard_tools: GuardTools = field(default_factory=GuardTools)


@dataclass(frozen=True, slots=True)
class _State:
    """What the steps hand on."""

    request: AskRequest
    draft: TraceDraft
    question: str = ""
    retrieval: Retrieval | None = None
    relevant: bool = False
    found: tuple[Passage, ...] = field(default=())
    originals: Mapping[str, str] = field(default_factory=dict)


class Chain:
    """Answers questions. Safe to use for many requests at once."""

    def __init__(self, parts: ChainParts) -> None:
        self._parts = parts
        self._guard = Guard(parts.policy, parts.guard_tools)
        self._prepare: Runnable[_State, _State] = (
            RunnableLambda(self._guard_input) | RunnableLambda(self._condense) | RunnableLambda(self._retrieve)
        ) | (RunnableLambda(self._guard_context) | RunnableLambda(self._decide))

    @property
    def definition(self) -> ChainDefinition:
        return self._parts.definition

    @property
    def release(self) -> str:
        return self._parts.release

    @property
    def retriever(self) -> Retriever:
        return self._parts.retriever

    @property
    def guard(self) -> Guard:
        """The policy at work; its ``health`` says which checks cannot do theirs."""
        return self._guard

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        """Tokens as they are safe to show, then Finished. One trace is written, also when this fails or is closed.

        Raises PolicyRefused, NotFound (nothing indexed), Unavailable (busy), UserError.
        """
        parts = self._parts
        draft = TraceDraft(
            request, parts.definition.name, parts.release, parts.model, parts.answer_prompt.hash, parts.policy.hash
        )
        started = time.perf_counter()
        written = False
        try:
            state = await self._prepare.ainvoke(_State(request, draft))
            events = self._answer(state)
            try:
                async for event in events:
                    if isinstance(event, Finished):
                        draft.stages.add("total", started)
                        written = True  # when this is cancelled, the thread goes on and writes it
                        try:
                            await asyncio.to_thread(write_trace, parts.db, draft.finished(event.answer))
                        except Exception:
                            written = False
                            raise
                    else:
                        draft.said.append(event.text)
                    yield restored(event, state.originals)
            finally:
                await events.aclose()
        except (GeneratorExit, asyncio.CancelledError):
            # No await here: the caller is gone. The write takes a millisecond.
            if not written:
                draft.stages.add("total", started)
                write_trace(parts.db, draft.cancelled())
            raise
        except Exception as error:
            if not written:
                draft.stages.add("total", started)
                await asyncio.to_thread(write_trace, parts.db, draft.failed(error))
            raise

    # Steps before the answer, in order

    async def _guard_input(self, state: _State) -> _State:
        request, draft = state.request, state.draft
        with draft.stages.measure("guard_input"):
            text = without_controls(request.question).strip()
            if not text:
                raise UserError("The question is empty.")
            draft.request = replace(request, question="", history=())  # until the checks have seen them
            placeholders = Placeholders()
            history, written = await self._guard_history(state, placeholders)
            said = tuple(message.content for message in history)
            result = placeholders.renamed(await self._look(state, Seen(text, "input", history=said)))
            draft.request = replace(request, question=result.written, history=written)
            if result.blocked:
                raise PolicyRefused(result.message)
        question = result.text.strip()
        request = replace(request, question=question, history=history)
        return replace(state, request=request, question=question, originals=placeholders.originals)

    async def _guard_history(
        self, state: _State, placeholders: Placeholders
    ) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        """What was said before, for the model and for the trace. The client sends it, so it is input like the question;
        a message that is blocked is as if it had not been said."""
        passed: list[Message] = []
        written: list[Message] = []
        for message in state.request.history[-HISTORY:]:
            text = without_controls(message.content)
            if not text.strip():
                continue
            result = placeholders.renamed(await self._look(state, Seen(text, "input")))
            written.append(replace(message, content=result.written))
            if not result.blocked:
                passed.append(replace(message, content=result.text))
        return tuple(passed), tuple(written)

    async def _guard_context(self, state: _State) -> _State:
        """Passages as the policy lets them through to the model; a blocked one is as if it had not been found."""
        if not self._parts.policy.checks("context"):
            return state
        with state.draft.stages.measure("guard_context"):
            passed = []
            for passage in state.found:
                result = await self._look(state, Seen(passage.chunk.text, "context", question=state.question))
                if not result.blocked:
                    passed.append(replace(passage, chunk=replace(passage.chunk, text=result.text)))
        return replace(state, found=tuple(passed))

    async def _look(self, state: _State, seen: Seen) -> StageResult:
        """What the policy does to a text; the trace holds it."""
        served = state.request.served
        result = await self._guard.look(seen, channel=served.channel, group=served.group)
        state.draft.findings += [each for each in result.findings if each.acted or each.error]
        return result

    def _answer_stream(
        self,
        state: _State,
        passages: Sequence[Passage],
        prompt: str = "",
        instead: Callable[[], str] | None = None,
    ) -> AnswerStream:
        """``passages`` are those that the answer is made from; it must not repeat ``prompt``. ``instead`` makes what a
        check of the whole answer may put in its place."""
        seen = Seen(
            "",
            "output",
            question=state.question,
            passages=tuple(passage.chunk.text for passage in passages),
            prompt=prompt,
            instead=instead,
        )
        served = state.request.served
        return AnswerStream(self._guard, seen, channel=served.channel, group=served.group)

    async def _condense(self, state: _State) -> _State:
        with state.draft.stages.measure("condense"):
            question = condense(state.question, state.request.history)
            by_model = self._parts.definition.condense == "model"
            if by_model and asks_model(state.question, state.request.history):
                question = await self._condense_by_model(state) or question
        state.draft.condensed = question
        return replace(state, question=question)

    async def _condense_by_model(self, state: _State) -> str:
        parts = self._parts
        history = [{"role": message.role, "content": message.content} for message in state.request.history]
        state.draft.prompt_hash = f"{parts.answer_prompt.hash}+{parts.condense_prompt.hash}"
        messages = await asyncio.to_thread(
            parts.condense_prompt.messages, {"history": history, "question": state.question}, parts.embedder
        )
        model = await asyncio.to_thread(parts.chat_model)
        pieces = stream_text(model, messages, max_tokens=64, temperature=0.0, stop=("\n",), seed=0)
        return "".join([piece async for piece in pieces]).strip()

    def _retrieve(self, state: _State) -> _State:
        definition = self._parts.definition
        with state.draft.stages.measure("retrieve"):
            retrieval = self._parts.retriever.retrieve(state.question, limit=definition.passages)
        state.draft.retrieval = retrieval
        return replace(state, retrieval=retrieval, found=retrieval.passages)

    def _decide(self, state: _State) -> _State:
        retrieval = state.retrieval
        relevant = retrieval is not None and is_relevant(retrieval, self._parts.definition.relevance)
        state.draft.mode = state.request.mode or self._parts.mode
        return replace(state, relevant=relevant)

    # The answer

    def _answer(self, state: _State) -> Any:
        if not state.relevant or not state.found:
            return self._abstain(state)
        if state.draft.mode == "generative":
            return self._generate(state)
        return self._extract(state)

    async def _abstain(self, state: _State) -> AsyncIterator[AnswerEvent]:
        text = self._parts.definition.abstention
        yield Token(text)
        yield Finished(self._finish(state, text, (), abstained=True))

    async def _extract(self, state: _State) -> AsyncIterator[AnswerEvent]:
        parts, draft = self._parts, state.draft
        with draft.stages.measure("answer"):
            quotes, cut = await asyncio.to_thread(self._quotes, state)
            citations = answers.citations_of_quotes(quotes, state.found)
            markup = parts.policy.output_filter(answers.urls(state.found), len(citations))
            stream = self._answer_stream(state, state.found)
            text = await stream.feed(markup.feed(write_quotes(quotes)) + markup.finish()) + await stream.finish()
        said = [text]
        for piece in answers.pieces(text):
            yield Token(piece)
        if stream.blocked:
            yield Token(said_instead(said, stream.message))
        answer = self._finish(state, "".join(said), citations, notes=markup.actions, stream=stream)
        yield Finished(replace(answer, finish_reason="length") if cut and not stream.blocked else answer)

    def _quotes(self, state: _State) -> tuple[list[Quote], bool]:
        """The quotes, and whether ``max_tokens`` cost any; the first is kept whatever its length."""
        parts = self._parts
        embedder = parts.embedder() if state.retrieval and state.retrieval.kind == "hybrid" else None
        quotes = choose_quotes(state.question, state.found, embedder)
        limit = state.request.max_tokens
        if limit is None:
            return quotes, False
        kept: list[Quote] = []
        used = 0
        for quote, size in zip(quotes, parts.count_tokens([quote.unit.text for quote in quotes]), strict=True):
            if kept and used + size > limit:
                break
            kept.append(quote)
            used += size
        return kept, len(kept) < len(quotes)

    async def _generate(self, state: _State) -> AsyncIterator[AnswerEvent]:
        parts, draft, request = self._parts, state.draft, state.request
        given = answers.within_budget(state.found, parts.definition.passage_budget, parts.count_tokens)
        values = {"question": state.question, "passages": answers.prompt_passages(given)}
        messages = await asyncio.to_thread(parts.answer_prompt.messages, values, parts.embedder)
        defaults = parts.answer_prompt.defaults
        limit = min(request.max_tokens or parts.definition.max_tokens, parts.definition.max_tokens)
        temperature = request.temperature if request.temperature is not None else defaults.temperature or 0.0
        model = await asyncio.to_thread(parts.chat_model)
        work = self._generation(replace(state, found=tuple(given)), messages)
        started = time.perf_counter()
        pieces = stream_text(
            model, messages, max_tokens=limit, temperature=temperature, stop=request.stop, seed=request.seed
        )
        try:
            async for piece in pieces:
                if not work.raw:
                    draft.stages.add("first_token", started)
                if shown := await work.feed(piece):
                    yield Token(shown)
                if work.ended:
                    break
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]
        if rest := await work.finish():
            yield Token(rest)
        draft.stages.add("answer", started)
        if not work.text.strip():
            # A model that says nothing has not answered; an empty answer would look like one.
            work.said.append(parts.definition.abstention)
            yield Token(parts.definition.abstention)
        answer = self._finish(
            state,
            work.text,
            work.citations,
            abstained=work.abstains(parts.definition.abstention),
            notes=work.notes,
            stream=work.stream,
            prompt="\n".join(message.content for message in messages),
        )
        answer = replace(answer, uncited_sentences=work.uncited)
        length = work.as_written and parts.count_tokens(["".join(work.raw)])[0] >= limit
        yield Finished(replace(answer, finish_reason="length") if length else answer)

    def _generation(self, state: _State, messages: Sequence[Message]) -> Generation:
        policy, given = self._parts.policy, state.found
        quotes = InsteadOfIt(lambda: self._quotes(state)[0], given, policy)
        system = "\n".join(each.content for each in messages if each.role == "system")
        stream = self._answer_stream(state, given, system, quotes.text if self._rewrites(state) else None)
        markup = policy.output_filter(answers.urls(given), len(given))
        return Generation(given, SentenceCiter(given), markup, stream, quotes)

    def _finish(
        self,
        state: _State,
        text: str,
        citations: Sequence[Any],
        *,
        abstained: bool = False,
        notes: Sequence[str] = (),
        stream: AnswerStream | None = None,
        prompt: str = "",
    ) -> Answer:
        if stream is not None:
            state.draft.findings += stream.findings
        words = [each.in_words() for each in state.draft.findings]
        mode: AnswerMode = "generative" if state.draft.mode == "generative" else "extractive"
        retrieval = state.retrieval
        blocked = stream is not None and stream.blocked
        return Answer(
            text=text,
            citations=tuple(citations),
            # Taken back for want of support, it says that it does not know.
            abstained=abstained or (blocked and state.draft.blocked_by("grounding")),
            mode=mode,
            trace_id=state.draft.id,
            snapshot=retrieval.snapshot if retrieval else "",
            release=self._parts.release,
            channel=state.request.served.channel,
            forced=state.request.served.forced,
            usage=answers.usage(self._parts.count_tokens, prompt or state.question, text),
            finish_reason="content_filter" if blocked else "stop",
            guardrails=(*words, *notes),
            indexing=retrieval.indexing if retrieval else None,
            question=state.question,
            grounding=report_of(stream.details.get("grounding")) if stream is not None else None,
        )

    def _rewrites(self, state: _State) -> bool:
        """Whether the policy may put something else in the place of an answer."""
        served = state.request.served
        checks = self._parts.policy.view(served.channel, served.group).checks("output", whole=True)
        return any(each.action == "rewrite" for each in checks)


def is_relevant(retrieval: Retrieval, relevance: Relevance) -> bool:
    """Whether the passages may be answered from: decided on cosine and rare terms, never on a fused score."""
    if not retrieval.passages:
        return False
    if retrieval.cosine is None:
        return retrieval.rare_share >= relevance.bm25_threshold
    weight = relevance.cosine_weight
    return weight * retrieval.cosine + (1 - weight) * retrieval.rare_share >= relevance.threshold
