from __future__ import annotations

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate import errors, wire
from lockgate.errors import Corrupt, LockgateError, NotFound, Unavailable, UserError
from lockgate.types import (
    Answer,
    AskRequest,
    Chunk,
    Citation,
    Finished,
    Message,
    Passage,
    Retrieval,
    Token,
    Usage,
)

BRANCHES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, LockgateError)]

# What JSON in UTF-8 can hold: every character but surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(question=TEXT, history=st.lists(TEXT), seed=st.none() | st.integers(-(2**63), 2**63 - 1))
def test_an_ask_request_comes_back_the_same(question: str, history: list[str], seed: int | None) -> None:
    request = AskRequest(
        question=question,
        history=tuple(Message("user", text) for text in history),
        mode="generative",
        temperature=0.5,
        seed=seed,
        stop=("END",),
    )
    call = wire.AskCall("docs@production", request)
    assert wire.load_ask_call(wire.dump(call)) == call


def test_a_retrieval_comes_back_the_same() -> None:
    chunk = Chunk("i", "s", "p.md", "Title", ("A", "B"), "v", 3, "text", 7, anchor="a", page=2)
    retrieval = Retrieval("q", (Passage(chunk, 0.5, None), Passage(chunk, 0.25, 0.125)), "snap", "bm25", None, 0.5, 0.1)
    assert wire.load_retrieval(wire.dump(retrieval)) == retrieval


@given(TEXT)
def test_events_come_back_the_same_one_a_line(text: str) -> None:
    citation = Citation(1, "c", "s", "p", "t", ("h",), "v", text, page=4)
    answer = Answer(text, (citation,), False, "extractive", "t", "s", usage=Usage(1, 2), guardrails=("cut",))
    for event in (Token(text), Finished(answer)):
        line = wire.dump_event(event)
        assert line.count(b"\n") == 1
        assert wire.event_of(wire.load_line(line)) == event


@pytest.mark.parametrize("branch", BRANCHES)
def test_an_error_comes_back_as_its_branch(branch: type[LockgateError]) -> None:
    error = wire.load_error(wire.dump_error(branch("What.", hint="Do.")), status=500)
    assert type(error) is branch
    assert (error.message, error.hint) == ("What.", "Do.")
    with pytest.raises(branch, match="What"):
        wire.event_of(wire.load_line(wire.dump_error_line(branch("What."))))


def test_when_to_retry_survives() -> None:
    error = wire.load_error(wire.dump_error(Unavailable("Busy.", retry_after=9)), status=503)
    assert isinstance(error, Unavailable)
    assert error.retry_after == 9


def test_an_unknown_code_is_the_root() -> None:
    assert type(wire.build_error(wire.ErrorBody("brand_new", "x"))) is LockgateError


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"question": 1}', "question"),
        ("{}", "question"),
        ('{"question": "x", "extra": 1}', "extra"),
        ('{"question": "x", "history": [{"role": "king", "content": "y"}]}', "history.0.role"),
        ('{"question": "x", "history": [{"role": "user", "content": "y", "z": 1}]}', "history.0.z"),
        ('{"question": "x", "max_tokens": "7"}', "max_tokens"),
        ('{"question": "x", "max_tokens": true}', "max_tokens"),
        ('{"question": "x", "mode": "wild"}', "mode"),
        ("[" * 10_000, "recursion"),
        (b"\xff", "[Uu][Tt][Ff]|expected value"),
        ("null", "JSON object"),
        ("", "EOF"),
    ],
)
def test_wrong_input_is_refused_by_key(data: bytes | str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        wire.load(data, AskRequest)


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b'{"type": "new"}', b'{"type": "token"}', b'{"type": ["token"]}'])
def test_a_line_of_another_version_is_corrupt(line: bytes) -> None:
    with pytest.raises(Corrupt, match="does not know"):
        wire.load_line(line)


def test_an_answer_that_is_not_lockgates_is_quoted() -> None:
    for body in (b"<html>Bad gateway</html>", b"{}", b'{"error": "x"}', b'{"error": {"code": 1}}'):
        error = wire.load_error(body, status=502)
        assert isinstance(error, Unavailable)
        assert "502" in error.message


def test_progress_and_report_lines_hold_what_they_were_given() -> None:
    assert wire.load_line(wire.dump_progress("embed", 3, 9)) == wire.ProgressLine("progress", "embed", 3, 9)
    line = wire.load_line(wire.dump_report(Usage(1, 2)))
    assert line == wire.ReportLine("report", {"prompt_tokens": 1, "completion_tokens": 2})
    assert wire.event_of(wire.load_line(wire.dump_ping())) is None


def test_an_error_is_an_object_with_its_code() -> None:
    assert json.loads(wire.dump_error(NotFound("No."))) == {
        "error": {"code": "not_found", "message": "No.", "hint": "", "retry_after": None}
    }
