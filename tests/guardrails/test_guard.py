from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from guardrails.check import Seen, Span, Stage
from guardrails.finding import StageResult
from guardrails.guard import Guard, redacted, without_controls
from lockgate.errors import UserError
from tests.guardrails.scripted import WordSettings, known, policy_with, release


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with known(monkeypatch):
        yield


def word(**keys: Any) -> WordSettings:
    return WordSettings(check="word", **{"action": "block", **keys})


async def look(text: str, *checks: WordSettings, stage: Stage = "input", dry_run: bool = False) -> StageResult:
    return await Guard(policy_with(*checks, stage=stage, dry_run=dry_run)).look(Seen(text, stage))


async def test_a_text_without_findings_passes_as_it_is() -> None:
    result = await look("all is well", word())
    assert (result.text, result.blocked, result.message) == ("all is well", None, "")
    assert [(each.check, each.score, each.acted) for each in result.findings] == [("word", 0.0, "")]


async def test_a_block_says_the_policys_words_and_lets_nothing_through() -> None:
    result = await look("a secret", word(message="No."))
    assert result.blocked is not None
    assert (result.text, result.message, result.blocked.reason) == ("", "No.", "it is there")


async def test_a_block_ends_the_stage() -> None:
    result = await look("a secret", word(), word(action="flag"))
    assert len(result.findings) == 1


@pytest.mark.parametrize(("threshold", "acted"), [(0.7, "block"), (0.70001, "")])
async def test_a_check_acts_from_its_threshold_on(threshold: float, acted: str) -> None:
    result = await look("a secret", word(threshold=threshold, score=0.7))
    assert result.findings[0].acted == acted


async def test_redaction_takes_every_span_out() -> None:
    result = await look("secret and secret.", word(action="redact"))
    assert result.text == result.written == "[removed] and [removed]."


async def test_each_check_sees_what_the_one_before_left() -> None:
    result = await look("secret", word(action="redact"), WordSettings(check="other", action="block", word="removed"))
    assert result.blocked is not None


async def test_more_to_take_out_than_can_be_named_blocks() -> None:
    result = await look("secret " * 500, word(action="redact"))
    assert result.blocked is not None
    assert "too much" in result.blocked.reason


async def test_rewriting_puts_the_checks_text_in_its_place_and_blocks_without_one() -> None:
    assert (await look("a secret", word(action="rewrite", rewritten="a rose"))).text == "a rose"
    assert (await look("a secret", word(action="rewrite"))).blocked is not None


@pytest.mark.parametrize("action", ["flag", "log"])
async def test_flags_and_notes_change_nothing(action: str) -> None:
    result = await look("a secret", word(action=action))
    assert (result.text, result.findings[0].acted) == ("a secret", action)
    assert [each.check for each in result.flagged] == (["word"] if action == "flag" else [])


@pytest.mark.parametrize("action", ["block", "redact", "flag", "log"])
async def test_what_is_private_is_never_written_down(action: str) -> None:
    result = await look("my secret here", word(action=action, private=True))
    assert "secret" not in result.written
    assert result.written == "my [removed] here"
    assert all("secret" not in str(each.as_json()) for each in result.findings)


async def test_what_is_private_is_not_written_down_in_a_dry_run_either() -> None:
    result = await look("my secret here", word(private=True), dry_run=True)
    assert (result.text, result.written) == ("my secret here", "my [removed] here")


async def test_reversible_placeholders_keep_what_they_stand_for_apart() -> None:
    result = await look("secret, secret", word(action="redact", private=True, reversible=True))
    assert (result.text, dict(result.originals)) == ("[w0], [w1]", {"[w0]": "secret", "[w1]": "secret"})


async def test_a_dry_run_says_what_it_would_do_and_does_nothing() -> None:
    for action in ("block", "redact", "rewrite", "flag"):
        result = await look("a secret", word(action=action, rewritten="x"), dry_run=True)
        assert (result.text, result.blocked, result.flagged) == ("a secret", None, ())
        assert result.findings[0].acted == action
        assert "would have been" in result.findings[0].in_words()


FAILURES = ["raises", "hangs", "nan", "two", "prose", "nothing", "unbuilt", "awaits", "exits"]


@pytest.mark.parametrize("fails", FAILURES)
@pytest.mark.parametrize(
    ("stage", "on_error", "acted"),
    [
        ("input", None, "block"),
        ("output", None, "block"),
        ("context", None, "flag"),
        ("tool_call", None, "flag"),
        ("document", None, "flag"),
        ("input", "allow", ""),
        ("input", "flag", "flag"),
        ("context", "block", "block"),
    ],
)
async def test_a_check_that_fails_takes_the_policys_on_error_and_shows_in_health(
    fails: str, stage: Stage, on_error: str | None, acted: str
) -> None:
    settings = word(fails=fails, on_error=on_error, timeout_ms=20, action="log")
    guard = Guard(policy_with(settings, stage=stage))
    result = await guard.look(Seen("harmless", stage))
    (finding,) = result.findings
    assert (finding.acted, finding.score, finding.blocks) == (acted, None, acted == "block")
    assert finding.error
    assert result.text == ("" if acted == "block" else "harmless")
    assert guard.health()[f"{stage} word"]


async def test_a_failing_check_is_closed_a_hundred_times_of_a_hundred() -> None:
    guard = Guard(policy_with(word(fails="hangs", timeout_ms=1, action="log")))
    results = [await guard.look(Seen("x", "input")) for _ in range(100)]
    assert all(result.blocked for result in results)


async def test_a_hanging_check_does_not_hold_up_others() -> None:
    hanging = Guard(policy_with(word(fails="hangs", timeout_ms=60_000, action="log")))
    quick = Guard(policy_with(word()))
    waiting = asyncio.create_task(hanging.look(Seen("x", "input")))
    await asyncio.sleep(0)
    assert (await quick.look(Seen("x", "input"))).text == "x"
    assert not waiting.done()
    release()
    assert not (await waiting).blocked


async def test_a_check_that_hung_is_asked_again_once_its_threads_are_back() -> None:
    guard = Guard(policy_with(word(fails="hangs", timeout_ms=5, action="log")))
    for _ in range(6):
        assert (await guard.look(Seen("x", "input"))).blocked
    assert "hangs" in guard.health()["input word"]
    release()
    result = await guard.look(Seen("x", "input"))
    while result.blocked:
        await asyncio.sleep(0.01)
        result = await guard.look(Seen("x", "input"))
    assert guard.health() == {"input word": ""}


async def test_a_check_that_works_again_is_healthy_again() -> None:
    settings = word()
    guard = Guard(policy_with(settings))
    assert guard.health() == {"input word": ""}
    await guard.look(Seen("secret", "input"))
    assert guard.health() == {"input word": ""}


def test_overlapping_spans_go_as_one() -> None:
    spans = [Span(5, 9, "b", "B"), Span(0, 6, "a", "A"), Span(12, 14, "c", "C")]
    assert redacted("0123456789abcdef", spans) == ("A9abCef", {})


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 99), (3, 3), (4, 2)])
def test_a_span_outside_the_text_is_an_error(start: int, end: int) -> None:
    with pytest.raises(UserError, match="found something at"):
        redacted("short", [Span(start, end, "a")])


def test_controls_go_and_line_ends_become_lf() -> None:
    assert without_controls("a\x00b\x1b[1m\tc\r\nd\re\x9f\ud800ü🙂") == "ab[1m\tc\nd\neü🙂"
