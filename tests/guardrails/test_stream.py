from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from guardrails.check import Seen
from guardrails.guard import Guard
from guardrails.stream import MAX_HELD, AnswerStream, guarded
from tests.guardrails.scripted import WordSettings, known, policy_with

TEXT = "The first sentence. The second one is here! Is this the third? And a last one"


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with known(monkeypatch):
        yield


def stream(**keys: Any) -> AnswerStream:
    checks = [WordSettings(check="word", **{"action": "block", **keys})] if keys else []
    return AnswerStream(Guard(policy_with(*checks, stage="output")), Seen("", "output"))


async def fed(text: str, cuts: list[int], through: AnswerStream) -> list[str]:
    bounds = [0, *sorted(cuts), len(text)]
    shown = [await through.feed(text[a:b]) for a, b in itertools.pairwise(bounds)]
    return [*shown, await through.finish()]


async def test_any_way_to_cut_the_text_shows_the_same_whole() -> None:
    generator = random.Random(7)
    for _ in range(50):
        cuts = [generator.randrange(len(TEXT)) for _ in range(generator.randrange(20))]
        assert "".join(await fed(TEXT, cuts, stream(word="absent"))) == TEXT


async def test_sentences_are_shown_one_behind() -> None:
    through = stream(word="absent")
    assert await through.feed("One. Two. ") == ""
    assert await through.feed("Three. F") == "One. Two. "


@pytest.mark.parametrize("at", range(0, 60, 3))
async def test_nothing_blocked_is_shown_wherever_the_text_is_cut(at: int) -> None:
    text = f"{TEXT[:at]} se. cret {TEXT[at:]} And more follows. And more. And more."
    for cut in range(len(text)):
        through = stream(word="se. cret", message="Stopped.")
        shown = "".join(await fed(text, [cut], through))
        assert text.startswith(shown)
        assert "se." not in shown
        assert (through.blocked, through.message) == (True, "Stopped.")
        assert [each.check for each in through.findings] == ["word"]
    assert await through.feed("after") == ""


async def test_what_lies_across_a_border_is_taken_out() -> None:
    text = "Before it. Here se. cret ends. After it. And on. And on."
    for cut in range(len(text)):
        shown = "".join(await fed(text, [cut], stream(word="se. cret", action="redact")))
        assert shown == text.replace("se. cret", "[removed]")


async def test_redactions_one_after_another_do_not_hold_up_the_text() -> None:
    text = "A secret is here. " * 40
    shown = await fed(text, list(range(0, len(text), 5)), stream(word="secret", action="redact"))
    assert "".join(shown) == text.replace("secret", "[removed]")
    assert len(shown[len(shown) // 2]) + sum(map(len, shown[: len(shown) // 2])) > len(text) / 3


async def test_text_without_an_end_is_shown_once_too_much_waits() -> None:
    through = stream(word="absent")
    shown = ""
    for _ in range(400):
        shown += await through.feed("word after word ")
    assert 400 * 16 - len(shown) <= 3 * MAX_HELD


async def test_a_secret_at_the_end_never_shows_when_the_stream_is_cut_inside_it() -> None:
    through = stream(word="secret")
    shown = await through.feed("Good. Fine. The sec")
    assert "sec" not in shown


async def test_a_failing_check_blocks_the_stream() -> None:
    through = stream(fails="raises", message="Not now.")
    assert "".join(await fed(TEXT, [10, 30], through)) == ""
    assert through.message == "Not now."


async def test_findings_are_kept_once_with_their_highest_score() -> None:
    through = stream(action="flag")
    await fed("A secret. A secret. A secret. No more.", [], through)
    assert [(each.check, each.acted, each.spans) for each in through.findings] == [("word", "flag", ())]


async def test_guarded_pieces_end_after_a_block() -> None:
    async def pieces() -> AsyncIterator[str]:
        for piece in ("Fine. Good. ", "A secret. ", "More. ", "More."):
            yield piece

    through = stream(word="secret", message="Stopped.")
    shown = [piece async for piece in guarded(pieces(), through)]
    assert "".join(shown) == "Fine. "
    assert through.blocked
