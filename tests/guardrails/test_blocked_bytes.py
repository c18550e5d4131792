"""Nothing of a secret reaches the client, however it is dressed and wherever the stream is cut."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from guardrails.check import Action, Seen
from guardrails.checks.secrets import SecretsSettings
from guardrails.decoding import decoded
from guardrails.guard import Guard
from guardrails.normalise import normalised
from guardrails.stream import MAX_HELD, MAX_WORD, AnswerStream
from tests.guardrails.planted_secrets import DRESSES, SECRETS, planted
from tests.guardrails.scripted import policy_with

COUNT = 200
LEAK = 6
"""A run of so many characters of the secret, once what was shown is normalised and decoded, is a leak."""
TOKEN = 4
BEFORE = "The service has a key. It was made last week. Here it is: "
AFTER = " and it works. Please keep it. The next step is to restart. Then look at the log."
STOPPED = "This cannot be shown."


def stream(action: Action) -> AnswerStream:
    settings = SecretsSettings(check="secrets", action=action, message=STOPPED)
    return AnswerStream(Guard(policy_with(settings, stage="output")), Seen("", "output"))


def squeezed(text: str) -> str:
    return "".join(filter(str.isalnum, normalised(text, accents=False).text)).lower()


def leaks(shown: str, secret: str) -> bool:
    letters = squeezed(secret)
    runs = {letters[at : at + LEAK] for at in range(len(letters) - LEAK + 1)}
    readings = [shown, re.sub(r"</?b>|\]\(/\w+\)|%[0-9a-f]{2}", "", shown), *(each.text for each in decoded(shown))]
    return any(run in squeezed(reading) for reading in readings for run in runs)


def cases() -> Iterator[tuple[int, str, str, str]]:
    """Two hundred secrets by seed: each kind in each dress comes up."""
    pairs = list(itertools.product(sorted(SECRETS), sorted(DRESSES)))
    for number in range(COUNT):
        kind, dress = pairs[number * 61 % len(pairs)]
        secret = planted(kind, number)
        yield number, dress, secret, DRESSES[dress](secret, number)


async def shown_when_cut(dressed: str, at: int, action: Action) -> str:
    through = stream(action)
    whole = BEFORE + dressed + AFTER
    cut = len(BEFORE) + at
    shown = await through.feed(whole[:cut])
    shown += await through.feed(whole[cut:])
    return shown + await through.finish()


@pytest.mark.parametrize("part", range(4))
async def test_no_byte_of_two_hundred_secrets_is_shown_at_any_token_offset(part: int) -> None:
    tried = 0
    for number, dress, secret, dressed in cases():
        if number % 4 != part:
            continue
        assert leaks(dressed, secret), f"{dress} does not hold the secret: the test could not fail"
        for offset in range(0, len(dressed) + 1, max(TOKEN, len(dressed) // 12)):
            action: Action = "block" if number % 2 else "redact"
            shown = await shown_when_cut(dressed, offset, action)
            assert not leaks(shown, secret), (dress, offset, shown)
            assert BEFORE.startswith(shown) if action == "block" else "look at the log." in shown
            tried += 1
    assert tried > COUNT


async def test_a_stream_that_ends_inside_a_secret_shows_nothing_that_the_next_piece_would_make_one() -> None:
    for number, dress, secret, dressed in itertools.islice(cases(), 60):
        through = stream("block")
        shown = ""
        for at in range(0, len(BEFORE + dressed), TOKEN):
            shown += await through.feed((BEFORE + dressed)[at : at + TOKEN])
        assert not leaks(shown, secret), (number, dress)


async def test_a_private_key_over_many_lines_is_not_shown() -> None:
    body = "\n".join(planted("anthropic", line)[12:76] for line in range(26))
    for title in ("RSA PRIVATE KEY", "PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):
        for blank in ("", "\n"):
            block = f"-----BEGIN {title}-----\n{blank}{body}\n-----END {title}-----"
            for action in ("block", "redact"):
                through = stream(action)
                text = f"{BEFORE}{block}\n{AFTER}"
                shown = ""
                for at in range(0, len(text), 16):
                    shown += await through.feed(text[at : at + 16])
                shown += await through.finish()
                assert not leaks(shown, body)


async def test_a_clean_stream_is_one_window_behind() -> None:
    sentence = "This sentence has some forty characters. "
    through = stream("block")
    fed = shown = 0
    for piece in re.findall(r"\S+\s*", sentence * 60):
        fed += len(piece)
        shown += len(await through.feed(piece))
        # The sentence that is complete, and the one that is coming, which is only known to end when the next begins.
        assert fed - shown <= 2 * len(sentence) + len(piece)
    assert shown > fed - 3 * len(sentence)
    assert shown + len(await through.finish()) == fed


@pytest.mark.parametrize(("piece", "bound"), [("word ", 2 * MAX_HELD + 100), ("a", 2 * MAX_WORD + 100)])
async def test_a_clean_stream_without_an_end_is_one_window_behind_too(piece: str, bound: int) -> None:
    through = stream("block")
    fed = shown = 0
    for _ in range(30):
        part = piece * (1_000 // len(piece))
        fed += len(part)
        shown += len(await through.feed(part))
        assert fed - shown <= bound + len(part)
    assert shown + len(await through.finish()) == fed
