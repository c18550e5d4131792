from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from evals.runs.answer_cache import AnswerCache, code_hash
from evals.runs.asking import Asking, ask_and_search, ask_case
from evals.runs.budget import BudgetSpent, CallBudget
from evals.runs.limiter import AdaptiveLimit
from lockgate.errors import PolicyRefused, Unavailable
from lockgate.types import Answer, AnswerEvent, AskRequest, Finished
from tests.evals.conftest import FakeAsker, FakeRetriever, make_answer
from tests.evals.outcomes import make_case

CASE = make_case(question="Which port?", pages=("api.md",))
WRITTEN = replace(make_answer("Port 8000 [1].", ["api.md"]), mode="generative")
FOUND = FakeRetriever({"Which port?": ["api.md", "faq.md"]})


@dataclass
class Calls(dict[str, str]):
    """A cache in memory."""

    def put(self, key: str, value: str) -> None:
        self[key] = value


@dataclass
class Script:
    """Answers with what the script says, one after the other."""

    replies: list[Answer | Exception]
    requests: list[AskRequest] = field(default_factory=list)

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        yield Finished(reply)


def how(cache: AnswerCache | None = None, **keys: Any) -> Asking:
    return Asking(5, cache=cache, **keys)


async def test_an_answer_that_was_given_before_is_not_asked_for_again() -> None:
    cache = AnswerCache(Calls(), "r1")
    first = await ask_and_search(CASE, Script([WRITTEN]), FOUND, how(cache))
    second = await ask_and_search(CASE, Script([]), FOUND, how(cache))
    assert (first.cached, second.cached) == (False, True)
    assert second.outcome == first.outcome
    assert second.outcome.milliseconds == first.outcome.milliseconds


@pytest.mark.parametrize(
    "change",
    [
        {"release": "r2"},
        {"code": "other"},
        {"question": "Which port then?"},
        {"history": ({"role": "user", "content": "Hello"},)},
        {"mode": "generative"},
    ],
)
async def test_any_other_call_is_made(change: dict[str, Any]) -> None:
    calls = Calls()
    found = FakeRetriever({"Which port?": ["api.md"], "Which port then?": ["api.md"]})
    await ask_and_search(CASE, Script([WRITTEN]), found, how(AnswerCache(calls, "r1", code="c")))
    cache = AnswerCache(calls, change.get("release", "r1"), code=change.get("code", "c"))
    other: dict[str, Any] = {key: change[key] for key in ("question", "history") if key in change}
    case = make_case(**{"question": "Which port?", "pages": ("api.md",), **other})
    asker = Script([WRITTEN])
    asked = await ask_and_search(case, asker, found, how(cache, mode=change.get("mode")))
    assert not asked.cached
    assert len(asker.requests) == 1


async def test_an_index_that_changed_behind_the_release_is_noticed() -> None:
    cache = AnswerCache(Calls(), "r1")
    await ask_and_search(CASE, Script([WRITTEN]), FOUND, how(cache))

    class Shuffled(FakeRetriever):
        def retrieve(self, question: str, *, limit: int) -> Any:
            found = super().retrieve(question, limit=limit)
            return replace(found, passages=tuple(reversed(found.passages)))

    shuffled = await ask_and_search(CASE, Script([WRITTEN]), Shuffled(FOUND.rankings), how(cache))
    assert not shuffled.cached
    gone = await ask_and_search(CASE, Script([WRITTEN]), FakeRetriever({"Which port?": OSError("gone")}), how(cache))
    assert not gone.cached


async def test_quoted_answers_and_failures_are_not_kept() -> None:
    calls = Calls()
    cache = AnswerCache(calls, "r1")
    await ask_and_search(CASE, Script([make_answer("Port 8000 [1].", ["api.md"])]), FOUND, how(cache))
    await ask_and_search(CASE, Script([Unavailable("gone")]), FOUND, how(cache))
    assert calls == {}


async def test_a_damaged_entry_is_asked_for_again() -> None:
    calls = Calls()
    cache = AnswerCache(calls, "r1")
    for damage in ("", "{}", "[1]", '{"answer": null}', "\0"):
        calls[cache.key(CASE, None)] = damage
        assert not (await ask_and_search(CASE, Script([WRITTEN]), FOUND, how(cache))).cached


def test_the_code_has_a_hash() -> None:
    assert len(code_hash()) == 64


async def test_a_full_server_is_waited_for_and_the_waiting_is_not_its_time() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10
        return now

    limit = AdaptiveLimit(4, clock=clock, sleep=sleep)
    asker = Script([Unavailable("Full.", retry_after=30), Unavailable("Full.", retry_after=1), WRITTEN])
    attempt = await ask_case(CASE, asker, how(limit=limit))
    assert attempt.value == WRITTEN
    assert slept[0] > 10
    assert attempt.milliseconds < 1000
    assert limit.limit == 2  # 4, halved twice, and one more for the answer


async def test_a_server_that_stays_full_is_given_up() -> None:
    asker = Script([Unavailable("Full.", retry_after=100)] * 3)
    attempt = await ask_case(CASE, asker, how(patience=50))
    assert (attempt.value, attempt.code, attempt.error) == (None, "unavailable", "unavailable: Full.")
    assert len(asker.requests) == 1


async def test_a_server_that_is_down_and_says_not_for_how_long_is_not_asked_again() -> None:
    asker = Script([Unavailable("Down.")])
    assert (await ask_case(CASE, asker, how())).code == "unavailable"


async def test_a_refusal_by_the_policy_is_known_as_one() -> None:
    asked = await ask_and_search(CASE, Script([PolicyRefused("No.")]), FOUND, how())
    assert asked.outcome.refused
    assert asked.outcome.pages == ("api.md", "faq.md")


async def test_once_is_without_chance_and_repeats_are_as_the_release_says() -> None:
    asker = Script([WRITTEN, WRITTEN])
    await ask_case(CASE, asker, how())
    await ask_case(CASE, asker, how(repeated=True), repeat=3)
    assert [(each.temperature, each.seed, each.origin) for each in asker.requests] == [
        (0.0, 0, "eval"),
        (None, 3, "eval"),
    ]


async def test_no_question_is_asked_once_the_budget_is_spent() -> None:
    budget = CallBudget(1)
    asker = FakeAsker({"Which port?": WRITTEN})
    await ask_case(CASE, asker, how(take_calls=budget.take))
    with pytest.raises(BudgetSpent):
        await ask_case(CASE, asker, how(take_calls=budget.take))
    assert len(asker.requests) == 1


async def test_the_outcome_has_the_passages_that_the_release_reads() -> None:
    found = FakeRetriever({"Which port?": ["api.md", "faq.md", "api.md"]})
    asked = await ask_and_search(CASE, Script([WRITTEN]), found, how(shown=2))
    assert asked.outcome.chunks == ("c0", "c1", "c2")
    assert asked.outcome.passages == ("text", "text")
