from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockgate.errors import LockgateError, NotFound, PolicyRefused, Unavailable, UserError
from lockgate.store.database import Database, open_database
from lockgate.store.traces import TraceRecord, get_trace, list_traces, write_trace
from lockgate.types import AskRequest, Finished, Message, Token
from prompts.collection import find_prompt
from tests.chains.fakes import REVOKE, ROTATE, FakeRetriever, ScriptedGenerator, ask, chain_over, passage
from tests.ingestion.fakes import settings_for

PASSAGES = [passage("rotate", ROTATE), passage("revoke", REVOKE)]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(settings_for(tmp_path).database) as database:
        yield database


def test_quotes_two_to_four_sentences_and_cites_each(tmp_path: Path, db: Database) -> None:
    text, last = ask(chain_over(tmp_path, db, FakeRetriever(PASSAGES)), "How do I rotate a key?")
    answer = last.answer
    assert answer.text == text
    assert answer.mode == "extractive"
    assert "Run the rotate command to make a new key. [1]" in text
    assert 2 <= text.count("[") <= 4
    assert answer.citations[0].path == "rotate.md"
    assert answer.citations[0].version == "v1"
    assert answer.release == "r" * 64
    assert answer.snapshot == "s" * 64


def test_every_quote_stands_word_for_word_in_its_passage(tmp_path: Path, db: Database) -> None:
    _, last = ask(chain_over(tmp_path, db, FakeRetriever(PASSAGES)), "What does a revoked key answer with?")
    for sentence, number in re.findall(r"(\S[^\[]*?) \[(\d+)\]", last.answer.text):
        source = next(c for c in last.answer.citations if c.number == int(number))
        assert sentence.strip() in source.text


def test_a_bracketed_number_of_a_page_stays_and_is_no_citation(tmp_path: Path, db: Database) -> None:
    page = passage("arrays", "Arrays start at [7]. The first item of arrays is `items[1]` always.")
    _, last = ask(chain_over(tmp_path, db, FakeRetriever([page])), "Where do arrays start?")
    assert last.answer.text == "Arrays start at \\[7]. [1] The first item of arrays is `items[1]` always. [1]"
    assert last.answer.guardrails == ()


@pytest.mark.parametrize(
    ("cosine", "rare_share", "abstains"),
    [(0.9, 0.9, False), (0.1, 0.2, True), (None, 0.9, False), (None, 0.1, True)],
)
def test_abstains_when_nothing_relevant_was_found(
    tmp_path: Path, db: Database, cosine: float | None, rare_share: float, abstains: bool
) -> None:
    retriever = FakeRetriever(PASSAGES, cosine=cosine, rare_share=rare_share)
    text, last = ask(chain_over(tmp_path, db, retriever), "How do I rotate a key?")
    assert last.answer.abstained is abstains
    assert (text == "The documents do not answer this question.") is abstains
    assert bool(last.answer.citations) is not abstains


def test_abstains_without_passages_whatever_the_scores(tmp_path: Path, db: Database) -> None:
    _, last = ask(chain_over(tmp_path, db, FakeRetriever([], cosine=1.0)), "How do I rotate a key?")
    assert last.answer.abstained


def test_the_model_streams_and_only_held_sentences_are_cited(tmp_path: Path, db: Database) -> None:
    generator = ScriptedGenerator(
        ["Rotate a key every ", "ninety days [2", "]. Keys are ", "made of gold [1]. ", "See [9]."]
    )
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES), generator)
    text, last = ask(chain, "How often?", mode="generative", history=())
    assert text == "Rotate a key every ninety days. [1] Keys are made of gold. See."
    assert [c.path for c in last.answer.citations] == ["rotate.md"]
    assert last.answer.uncited_sentences == 1
    assert any("unsupported" in note for note in last.answer.guardrails)
    assert "1 sentence(s) without a citation" in get_trace(db, last.answer.trace_id).guardrails
    assert last.answer.mode == "generative"


def test_the_constant_part_of_the_prompt_comes_first(tmp_path: Path, db: Database) -> None:
    generator = ScriptedGenerator(["Rotate it."])
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES), generator)
    ask(chain, "One question?", mode="generative")
    first = generator.messages
    ask(chain, "Another question?", mode="generative")
    assert generator.messages[0] == first[0]
    assert "One question?" not in first[0].content
    assert ROTATE in first[-1].content


def test_passages_stay_whole_within_the_token_budget(tmp_path: Path, db: Database) -> None:
    many = [passage(f"p{i}", f"Passage {i}. " + "word " * 60) for i in range(8)]
    generator = ScriptedGenerator(["Yes."])
    chain = chain_over(tmp_path, db, FakeRetriever(many), generator, passage_budget=200)
    ask(chain, "How many?", mode="generative")
    prompt = generator.messages[-1].content
    shown = [i for i in range(8) if f"Passage {i}." in prompt]
    assert shown == [0, 1, 2]
    assert prompt.count("word ") == 60 * 3 or prompt.count("word") == 60 * 3


def test_a_model_that_says_not_in_the_documents_has_abstained(tmp_path: Path, db: Database) -> None:
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES), ScriptedGenerator(["Not in ", "the documents."]))
    _, last = ask(chain, "How do I rotate a key?", mode="generative")
    assert last.answer.abstained


def test_an_empty_model_answer_is_an_abstention_not_an_answer(tmp_path: Path, db: Database) -> None:
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES), ScriptedGenerator([" ", ""]))
    text, last = ask(chain, "How do I rotate a key?", mode="generative")
    assert "do not answer" in text
    assert last.answer.abstained


def test_a_model_that_loops_is_stopped(tmp_path: Path, db: Database) -> None:
    generator = ScriptedGenerator(["Rotate a key every ninety days. "] * 50)
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES), generator)
    ask(chain, "How do I rotate a key?", mode="generative")
    assert generator.said <= 4
    assert generator.closed


def test_the_pinned_route_decides_unless_the_request_does(tmp_path: Path, db: Database) -> None:
    generator = ScriptedGenerator(["Rotate a key every ninety days."])
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES), generator, route="generative", mode="auto")
    assert ask(chain, "How often?", history=())[1].answer.mode == "generative"
    assert ask(chain, "How often?", mode="extractive")[1].answer.mode == "extractive"


def test_links_and_images_of_passages_do_not_reach_the_reader(tmp_path: Path, db: Database) -> None:
    hostile = passage(
        "bad", "Rotate a key ![x](https://evil.example/?q=1) now. Rotate the key [here](javascript:alert(1))."
    )
    text, _ = ask(chain_over(tmp_path, db, FakeRetriever([hostile])), "How do I rotate a key?")
    assert "evil.example" not in text
    assert "javascript" not in text


def test_max_tokens_drops_whole_quotes_and_says_so(tmp_path: Path, db: Database) -> None:
    _, last = ask(chain_over(tmp_path, db, FakeRetriever(PASSAGES)), "How do I rotate a key?", max_tokens=3)
    assert last.answer.finish_reason == "length"
    assert last.answer.text.count("[") == 1


def test_a_follow_up_is_completed_from_the_history(tmp_path: Path, db: Database) -> None:
    retriever = FakeRetriever(PASSAGES)
    history = (Message("user", "How do I rotate a key?"), Message("assistant", "Run it."))
    _, last = ask(chain_over(tmp_path, db, retriever), "And how often should I do that?", history=history)
    assert retriever.asked == ["How do I rotate a key? And how often should I do that?"]
    assert last.answer.question == retriever.asked[0]


def test_a_model_may_condense_when_the_definition_says_so(tmp_path: Path, db: Database) -> None:
    retriever = FakeRetriever(PASSAGES)
    generator = ScriptedGenerator(["How often must ", "a key be rotated?"])
    chain = chain_over(tmp_path, db, retriever, generator, condense="model")
    history = (Message("user", "How do I rotate a key?"), Message("assistant", "Run it."))
    _, last = ask(chain, "And how often?", history=history)
    assert retriever.asked == ["How often must a key be rotated?"]
    prompts = [find_prompt(tmp_path, name).hash for name in ("answer", "condense")]
    assert get_trace(db, last.answer.trace_id).prompt_hash == "+".join(prompts)


def test_leaves_one_whole_trace(tmp_path: Path, db: Database) -> None:
    _, last = ask(chain_over(tmp_path, db, FakeRetriever(PASSAGES)), "How do I rotate a key?", origin="cli")
    trace = get_trace(db, last.answer.trace_id)
    assert (trace.status, trace.origin, trace.release, trace.mode) == ("ok", "cli", "r" * 64, "extractive")
    assert trace.answer == last.answer.text
    assert len(trace.prompt_hash) == len(trace.policy_hash) == 64
    assert {"guard_input", "condense", "retrieve", "answer", "total"} <= set(trace.timings)
    assert [found["chunk_id"] for found in trace.passages] == ["rotate", "revoke"]
    assert trace.prompt_tokens > 0
    assert trace.completion_tokens > 0
    assert len(list_traces(db)) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("Nothing is indexed yet."), "not_found"),
        (Unavailable("busy"), "unavailable"),
        (ValueError("odd"), "internal"),
    ],
)
def test_a_failure_leaves_a_trace_too(tmp_path: Path, db: Database, error: Exception, code: str) -> None:
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES, error=error))
    with pytest.raises(type(error)):
        ask(chain, "How do I rotate a key?")
    [trace] = list_traces(db)
    assert (trace.status, trace.error_code) == ("error", code)


def test_a_model_that_fails_half_way_leaves_what_it_said(tmp_path: Path, db: Database) -> None:
    said = ["Rotate a key every ninety days. ", "Use the console. ", "Then"]
    generator = ScriptedGenerator(said, error=Unavailable("gone"))
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES), generator)
    with pytest.raises(LockgateError, match="gone"):
        ask(chain, "How do I rotate a key?", mode="generative")
    [trace] = list_traces(db)
    assert trace.status == "error"
    assert trace.answer.startswith("Rotate a key")


def test_a_reader_who_leaves_stops_the_model_and_leaves_a_trace(tmp_path: Path, db: Database) -> None:
    generator = ScriptedGenerator([f"Word{i}. " for i in range(1000)])
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES), generator)

    async def leave() -> None:
        events = chain.ask(AskRequest(question="How do I rotate a key?", mode="generative"))
        async for event in events:
            if isinstance(event, Token):
                break
        await events.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert generator.closed
    assert generator.said < 20
    [trace] = list_traces(db)
    assert trace.status == "cancelled"


def test_a_reader_who_leaves_after_the_end_leaves_one_trace(tmp_path: Path, db: Database) -> None:
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES))

    async def leave() -> None:
        events = chain.ask(AskRequest(question="How do I rotate a key?"))
        async for event in events:
            if isinstance(event, Finished):
                break
        await events.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert [trace.status for trace in list_traces(db)] == ["ok"]


@pytest.mark.parametrize(
    ("question", "error"), [("", UserError), (" \n ", UserError), ("x" * 1_000_000, PolicyRefused)]
)
def test_empty_and_huge_questions_are_refused(
    tmp_path: Path, db: Database, question: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(chain_over(tmp_path, db, FakeRetriever(PASSAGES)), question)


def test_many_questions_at_once_do_not_mix(tmp_path: Path, db: Database) -> None:
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES))

    async def one(number: int) -> str:
        events = chain.ask(AskRequest(question=f"How do I rotate key number {number}?"))
        return [event async for event in events][-1].answer.question  # type: ignore[union-attr]

    async def many() -> list[str]:
        return list(await asyncio.gather(*(one(i) for i in range(20))))

    assert asyncio.run(many()) == [f"How do I rotate key number {i}?" for i in range(20)]
    assert len(list_traces(db)) == 20


async def test_a_caller_who_leaves_while_the_trace_is_written_finds_one_trace(
    tmp_path: Path, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, may_go_on = threading.Event(), threading.Event()

    def slowly(database: Database, trace: TraceRecord) -> None:
        writing.set()
        may_go_on.wait(10)
        write_trace(database, trace)

    monkeypatch.setattr("chains.chain.write_trace", slowly)
    chain = chain_over(tmp_path, db, FakeRetriever(PASSAGES))

    async def consume() -> None:
        async for _ in chain.ask(AskRequest(question="How do I rotate a key?")):
            pass

    task = asyncio.create_task(consume())
    await asyncio.to_thread(writing.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        if traces := list_traces(db):
            break
        await asyncio.sleep(0.02)
    assert [trace.status for trace in traces] == ["ok"]
