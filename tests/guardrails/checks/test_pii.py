from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from guardrails.check import MAX_SPANS, Found, GuardTools, Seen, Stage
from guardrails.checks import pii_checksums
from guardrails.checks.pii import Pii, PiiSettings
from guardrails.guard import Guard, redacted
from lockgate.errors import MissingExtra
from tests.guardrails.growth import LONG, assert_at_most_passes, assert_grows_with_the_text
from tests.guardrails.scripted import policy_with

SEGWIT = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"


def settings(**keys: Any) -> PiiSettings:
    return PiiSettings.model_validate({"check": "pii", "action": "redact", **keys})


def look(text: str, stage: Stage = "input", **keys: Any) -> Found:
    return Pii(settings(**keys), GuardTools()).look(Seen(text, stage))


def found(text: str, **keys: Any) -> list[tuple[str, str]]:
    return [(span.label, text[span.start : span.end]) for span in look(text, **keys).spans]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("Write to ada.l+x@mail.example.org.", "email", "ada.l+x@mail.example.org"),
        ("ada (at) example (dot) org", "email", "ada (at) example (dot) org"),
        ("grüße@müller.de bitte", "email", "grüße@müller.de"),
        ("Card 4111 1111 1111 1111 12/29", "card", "4111 1111 1111 1111"),
        ("Card x378282246310005", "card", "378282246310005"),
        ("pay with 5555-5555-5555-4444!", "card", "5555-5555-5555-4444"),
        ("IBAN: GB82 WEST 1234 5698 7654 32 and", "iban", "GB82 WEST 1234 5698 7654 32"),
        ("de89370400440532013000", "iban", "de89370400440532013000"),
        ("SSN 123-45-6789.", "us_ssn", "123-45-6789"),
        ("my social security number is 123456789", "us_ssn", "123456789"),
        ("DNI 12345678Z", "national_id", "12345678Z"),
        ("RSSMRA85T10A562S", "national_id", "RSSMRA85T10A562S"),
        ("NI number AB 12 34 56 C", "national_id", "AB 12 34 56 C"),
        ("PESEL: 44051401359", "national_id", "44051401359"),
        ("CPF 529.982.247-25", "national_id", "529.982.247-25"),
        ("Her passport number is X1234567", "national_id", "X1234567"),
        ("from 203.0.113.77 today", "ip", "203.0.113.77"),
        ("host 2001:db8::8a2e:370:7334", "ip", "2001:db8::8a2e:370:7334"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "crypto", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "crypto", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
        ("Call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("Call (212) 555-0187 x12", "phone", "(212) 555-0187 x12"),
        ("my mobile is 5551234567", "phone", "5551234567"),
        ("She was born on 3 May 1984.", "birth_date", "3 May 1984"),
        ("DOB: 1984-05-03", "birth_date", "1984-05-03"),
        ("Ship to 12 Long Street, Anytown 12345, USA", "address", "12 Long Street, Anytown 12345, USA"),
        ("Hauptstraße 12, 10115 Berlin ist", "address", "Hauptstraße 12, 10115 Berlin"),
        ("PO Box 123, Springfield, IL 62704", "address", "PO Box 123, Springfield, IL 62704"),
        ("221B Baker Street, London NW1 6XE", "address", "221B Baker Street, London NW1 6XE"),
        ("Ask Dr. Ada Lovelace about it", "name", "Dr. Ada Lovelace"),
        ("My name is Grace Hopper and", "name", "Grace Hopper"),
    ],
)
def test_each_kind_is_found_in_its_place(text: str, kind: str, said: str) -> None:
    assert found(text) == [(kind, said)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("４１１１ １１１１ １１１１ １１１１", "card"),
        ("4\u200b111 1111\u00ad 1111 1111", "card"),
        ("41**11** 1111 1111 1111", "card"),
        ("٤١١١ ١١١١ ١١١١ ١١١١", "card"),
        ("ada\u200b@example.org", "email"),
        ("a<b>da@exam</b>ple.org", "email"),
        ("аda@example.org", "email"),
    ],
)
def test_a_dress_hides_nothing(text: str, kind: str) -> None:
    spans = look(text).spans
    assert [span.label for span in spans] == [kind]
    assert sum(span.end - span.start for span in spans) >= len(text) - 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111 1111 1111 1112 fails Luhn's check, and 0000 0000 0000 0000 is no card.",
        "GB82 WEST 1234 5698 7654 33 fails the checksum.",
        "Version 1.2.3.4, release 10.0.0.1, numpy>=4.10.0.0, 127.0.0.1, 0.0.0.0, 255.255.255.0",
        "2024-05-06 12:30:45, 1.5.0 (2024-10-22), 10/12/2023, 1999-2004",
        "The account 123456789012 and arn:aws:iam::123456789012:role/x",
        "std::vector, a::b, @decorator, user@host, Windows 10 Pro 2004 is old",
        "See Section 4, Table 12345. In 2019, Amazon EC2 launched 12 Instances.",
        "SHA 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "550e8400-e29b-41d4-a716-446655440000",
        "The Dr. rule: DR stands for disaster recovery.",
        "Это обычный текст. 普通のテキスト。",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (pii_checksums.luhn, "4111111111111111", "4111111111111112"),
        (pii_checksums.iban, "GB82WEST12345698765432", "GB82WEST12345698765433"),
        (pii_checksums.spanish, "X1234567L", "X1234567M"),
        (pii_checksums.italian, "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
        (pii_checksums.french, "255081416802538", "255081416802539"),
        (pii_checksums.belgian, "85073003328", "85073003329"),
        (pii_checksums.polish, "44051401359", "44051401358"),
        (pii_checksums.brazilian, "52998224725", "52998224726"),
        (pii_checksums.dutch, "111222333", "111222334"),
        (pii_checksums.british_health, "9434765919", "9434765918"),
        (pii_checksums.chinese, "11010519491231002X", "110105194912310021"),
        (pii_checksums.singaporean, "S1234567D", "S1234567E"),
        (pii_checksums.finnish, "131052-308T", "131052-308U"),
        (pii_checksums.swedish, "8112189876", "8112189877"),
        (pii_checksums.indian, "234123412346", "234123412347"),
        (pii_checksums.turkish, "10000000146", "10000000147"),
        (pii_checksums.base58_address, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),
        (pii_checksums.bech32_address, SEGWIT, SEGWIT[:-1] + "p"),
    ],
)  # fmt: skip
def test_checksums_tell_a_number_from_one_that_is_off_by_one(check: Callable[[str], bool], good: str, bad: str) -> None:
    assert check(good)
    assert not check(bad)


def test_placeholders_are_the_same_for_the_same_value_and_lead_back() -> None:
    text = "From ada@x.org to bob@x.org, copy ADA@x.org, card 4111111111111111."
    shown, originals = redacted(text, look(text, reversible=True).spans)
    assert shown == "From [EMAIL_1] to [EMAIL_2], copy [EMAIL_1], card [CARD_1]."
    assert originals["[EMAIL_2]"] == "bob@x.org"
    assert set(originals) == {"[EMAIL_1]", "[EMAIL_2]", "[CARD_1]"}


def test_only_the_question_has_placeholders_that_lead_back() -> None:
    text = "ada@x.org"
    stages: tuple[Stage, ...] = ("output", "context", "tool_call", "document")
    for stage in stages:
        (span,) = look(text, stage, reversible=True).spans
        assert (span.replacement, span.reversible) == ("[EMAIL]", False)
    (span,) = look(text).spans
    assert (span.replacement, span.reversible, span.private) == ("[EMAIL]", False, True)


@pytest.mark.parametrize("action", ["redact", "block", "flag", "log"])
async def test_nothing_of_it_is_written_down(action: str) -> None:
    guard = Guard(policy_with(settings(action=action, reversible=True)))
    result = await guard.look(Seen("I am ada@x.org, +44 20 7946 0958", "input"))
    assert "ada" not in result.written
    assert "7946" not in result.written
    assert all("ada" not in str(each.as_json()) for each in result.findings)


def test_types_say_what_is_looked_for() -> None:
    text = "ada@x.org 4111111111111111 https://x.org/a on 2024-05-06"
    assert [kind for kind, _ in found(text, types=("email",))] == ["email"]
    assert [kind for kind, _ in found(text, types=("url", "date"))] == ["url", "date"]


def test_what_the_policy_allows_stays() -> None:
    assert found("Help: Help@x.org or ada@x.org", allowed=("help@x.org",)) == [("email", "ada@x.org")]


def test_more_than_can_be_named_are_more_than_the_guard_redacts() -> None:
    assert len(look("ada@x.org " * 500).spans) > MAX_SPANS


@pytest.mark.skipif(
    importlib.util.find_spec("presidio_analyzer") is not None, reason="this is what happens without the extra pii"
)
def test_names_by_presidio_say_what_to_install() -> None:
    with pytest.raises(MissingExtra, match="names: presidio"):
        Pii(settings(names="presidio"), GuardTools())


@pytest.mark.skipif(
    importlib.util.find_spec("presidio_analyzer") is not None, reason="this is what happens without the extra pii"
)
async def test_names_by_presidio_without_it_take_the_policys_on_error() -> None:
    guard = Guard(policy_with(settings(names="presidio")))
    result = await guard.look(Seen("hello", "input"))
    assert result.blocked is not None
    assert "lockgate[pii]" in guard.health()["input pii"]


@pytest.mark.slow
def test_names_by_presidio_are_found() -> None:
    pytest.importorskip("presidio_analyzer", reason="pip install 'lockgate[pii]'")
    kinds = dict(found("Yesterday Barack Obama flew to Berlin.", names="presidio", types=("name", "location")))
    assert kinds == {"name": "Barack Obama", "location": "Berlin"}


HOSTILE: list[Callable[[int], str]] = [
    lambda n: "1" * n,
    lambda n: "1 " * (n // 2),
    lambda n: "1-" * (n // 2),
    lambda n: "@" * n,
    lambda n: "a" * n + "@",
    lambda n: "a." * (n // 2) + "@",
    lambda n: "a@a." * (n // 4),
    lambda n: ":" * n,
    lambda n: "1:" * (n // 2),
    lambda n: "GB82 " * (n // 5),
    lambda n: "12 Street " * (n // 10),
    lambda n: "A1 " * (n // 3),
    lambda n: "Mr A A A A " * (n // 11),
    lambda n: "passport number is " * (n // 19),
    lambda n: "x at x dot " * (n // 11),
    lambda n: "1.1.1." * (n // 6),
    lambda n: "(1) " * (n // 4),
    lambda n: "\ud800" * n,
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_time_grows_with_the_text_and_no_faster(hostile: Callable[[int], str]) -> None:
    assert_grows_with_the_text(look, hostile, 2)
    assert_at_most_passes(look, hostile(LONG), 750)
