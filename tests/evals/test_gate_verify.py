from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from evals import verify_rule
from evals.verdict import Finding, GateContext
from evals.verify_rule import MAX_QUESTIONS, judge_verify
from lockgate.errors import Corrupt, Unavailable
from lockgate.release import Manifest
from lockgate.types import Answer
from tests.evals.conftest import make_answer
from tests.lockgate.samples import manifest_body

ABSTAINS = make_answer("Not in the documents.", abstained=True)
ANSWERS = make_answer("Port 8000 [1].", ["api.md"])


@dataclass
class FakeRelease:
    """Answers by question: an Answer, an exception to raise, or a number of seconds to hang."""

    replies: Mapping[str, Answer | BaseException | float]
    problems: Sequence[str] | Exception = ()
    asked: list[str] = field(default_factory=list)
    verified_in: list[threading.Thread] = field(default_factory=list)

    def verify(self) -> Sequence[str]:
        self.verified_in.append(threading.current_thread())
        if isinstance(self.problems, Exception):
            raise self.problems
        return self.problems

    async def ask(self, question: str) -> Answer:
        self.asked.append(question)
        reply = self.replies[question]
        if isinstance(reply, BaseException):
            raise reply
        if isinstance(reply, float):
            await asyncio.sleep(reply)
            return ANSWERS
        return reply


async def judge(release: FakeRelease, *, questions: Sequence[str] | None = None, chunks: int = 5) -> Finding:
    body = manifest_body()
    body["snapshot"]["chunks"] = chunks
    manifest = Manifest.model_validate(body)
    asked = list(release.replies) if questions is None else questions
    context = GateContext(manifest.id, manifest, release.verify, release.ask, lambda: asked)
    return await judge_verify(context, lambda _stage, _done, _total: None)


async def test_passes_at_the_first_answer_and_asks_no_more() -> None:
    release = FakeRelease({"a": ABSTAINS, "b": ANSWERS, "c": ANSWERS})
    found = await judge(release)
    assert found.verdict == "PASS"
    assert release.asked == ["a", "b"]
    assert found.details["question"] == "b"
    assert found.observed["trace_id"] == "trace-1"


async def test_what_is_missing_or_does_not_match_fails_and_nothing_is_asked() -> None:
    release = FakeRelease({"a": ANSWERS}, problems=[f"file {n} differs." for n in range(8)])
    found = await judge(release)
    assert found.verdict == "FAIL"
    assert "file 0 differs." in found.reason
    assert "And 3 more." in found.reason
    assert len(found.details["problems"]) == 8
    assert "lockgate release verify" in found.hint
    assert release.asked == []


async def test_an_empty_index_fails() -> None:
    release = FakeRelease({"a": ANSWERS})
    found = await judge(release, chunks=0)
    assert (found.verdict, found.reason) == ("FAIL", "The snapshot that it pins holds no passages.")
    assert release.asked == []


async def test_abstaining_from_everything_fails_and_says_what_was_asked() -> None:
    found = await judge(FakeRelease({"What is a?": ABSTAINS, "What is b?": ABSTAINS}))
    assert found.verdict == "FAIL"
    assert 'none of the 2 questions asked: "What is a?", "What is b?"' in found.reason


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_an_answer_without_text_is_no_answer(text: str) -> None:
    assert (await judge(FakeRelease({"a": make_answer(text)}))).verdict == "FAIL"


async def test_asks_at_most_ten_different_questions() -> None:
    release = FakeRelease({f"q{n}": ABSTAINS for n in range(30)})
    found = await judge(release, questions=["q0", "q0", *(f"q{n}" for n in range(30))])
    assert release.asked == [f"q{n}" for n in range(MAX_QUESTIONS)]
    assert found.verdict == "FAIL"


@pytest.mark.parametrize("error", [Unavailable("The queue is full."), RuntimeError("boom"), TimeoutError("read")])
async def test_a_question_that_breaks_decides_nothing(error: Exception) -> None:
    assert (await judge(FakeRelease({"a": error, "b": ANSWERS}))).verdict == "PASS"
    found = await judge(FakeRelease({"a": ABSTAINS, "b": error}))
    assert found.verdict == "INCONCLUSIVE"
    assert "1 of 2 questions failed and none was answered" in found.reason
    assert str(error) in found.reason
    assert found.details["abstained"] == ["a"]


async def test_a_question_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_rule, "QUESTION_SECONDS", 0.05)
    found = await judge(FakeRelease({"a": 30.0}))
    assert found.verdict == "INCONCLUSIVE"
    assert "took longer than 0.05 s" in found.reason
    assert (await judge(FakeRelease({"a": 30.0, "b": ANSWERS}))).verdict == "PASS"


async def test_without_any_question_it_cannot_tell() -> None:
    found = await judge(FakeRelease({}))
    assert found.verdict == "INCONCLUSIVE"
    assert "suite" in found.hint


@pytest.mark.parametrize("error", [Corrupt("The manifest was touched."), OSError("disk")])
async def test_a_check_that_breaks_is_left_to_the_gate(error: Exception) -> None:
    release = FakeRelease({"a": ANSWERS}, problems=error)
    with pytest.raises(type(error)):
        await judge(release)
    assert release.asked == []


async def test_cancelling_is_not_a_finding() -> None:
    with pytest.raises(asyncio.CancelledError):
        await judge(FakeRelease({"a": asyncio.CancelledError()}))


async def test_looks_at_files_in_a_thread_so_that_a_server_goes_on() -> None:
    release = FakeRelease({"a": ANSWERS})
    await judge(release)
    assert release.verified_in != [threading.main_thread()]


async def test_long_questions_are_shortened_in_the_reason() -> None:
    found = await judge(FakeRelease({"x" * 4000: ABSTAINS}))
    assert len(found.reason) < 200
    assert found.details["abstained"] == ["x" * 4000]
