from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from guardrails.check import MAX_SPANS, Found, GuardTools, Seen
from guardrails.checks.secrets import Secrets, SecretsSettings
from guardrails.guard import redacted
from tests.guardrails.growth import LONG, assert_at_most_passes, assert_grows_with_the_text
from tests.guardrails.planted_secrets import DRESSES, SECRETS, planted

KEY = "AKIA" + "Q3EGRTYUIOP98ZX1"

KEY_WORDS = " ".join(("PRIVATE", "KEY"))  # a whole header would look like a key to those who search for them


def look(text: str, **keys: Any) -> Found:
    settings = SecretsSettings(check="secrets", action="redact", **keys)
    return Secrets(settings, GuardTools()).look(Seen(text, "output"))


def found(text: str, **keys: Any) -> list[str]:
    return [text[span.start : span.end] for span in look(text, **keys).spans]


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_known_formats_are_found_whole(kind: str) -> None:
    for seed in range(20):
        secret = planted(kind, seed)
        for text in (secret, f"Here: {secret}, and more.", f"x={secret}"):
            shown, _ = redacted(text, look(text).spans)
            assert secret not in shown
            assert secret[6:] not in shown
        assert secret not in look(f"It is {secret}.").reason


@pytest.mark.parametrize("dress", sorted(DRESSES))
def test_a_dress_hides_nothing(dress: str) -> None:
    for number, kind in enumerate(sorted(SECRETS)):
        text = f"Here it is: {DRESSES[dress](planted(kind, number), number)} and more."
        shown, _ = redacted(text, look(text).spans)
        assert shown.startswith("Here it is: ")
        assert shown.endswith(" and more.")
        assert len(shown) < 80


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password: hunter2!", "hunter2!"),
        ('"client_secret": "abcDEFghijk"', "abcDEFghijk"),
        ("the password is Tr0ub4dor&3, really", "Tr0ub4dor&3"),
        ("export DB_PASSWORD=pa55w0rd;", "pa55w0rd"),
        ("api_key='0123456789abcdef0123456789abcdef'", "0123456789abcdef0123456789abcdef"),
        ("postgres://bob:s3cretPW@db:5432/x", "s3cretPW"),
        ("Authorization: Bearer abcDEF123ghiJKL456mno", "abcDEF123ghiJKL456mno"),
        ("curl -H 'X: 7hQ2mZk9LpX4vB1nR8tYw3Cd'", "7hQ2mZk9LpX4vB1nR8tYw3Cd"),
    ],
)
def test_what_is_assigned_or_random_is_found(text: str, secret: str) -> None:
    assert found(text) == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"principalId": "AKIAI44QH8DHBEXAMPLE",',
        "AKIAIOSFODNN7EXAMPLE and wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY are AWS's examples.",
        "password: required, token = get_token(), secret: ${SECRET}, api_key=os.environ['KEY']",
        "token: <your-token>, password=********, api key: YOUR_API_KEY_HERE",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "550e8400-e29b-41d4-a716-446655440000",
        "arn:aws:iam::123456789012:role/service-role/AmazonEC2RoleforSSM",
        "https://docs.example.org/latest/user-guide/task-force-for-something-2023-long-term.html#section-2",
        "postgres://user:password@host/db",
        'integrity="sha384-oqVuAfXRKap7fdgcCY5uykM6R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC2"',
        "The token is a string. The secret is out. Passwords are stored hashed.",
        "Пароль нужен всегда. 秘密は書かない。",
    ],
)
def test_documentation_is_left_alone(text: str) -> None:
    assert look(text).score == 0


def test_a_real_key_is_not_saved_by_the_word_example() -> None:
    assert found(f"{KEY}EXAMPLE")
    assert found("ghp_" + "a8Gd73hFk2L9xPqR5tYw1BvN0mZc4Ue6EXAMPLE")


def test_private_keys_go_from_their_first_line_to_the_last() -> None:
    block = f"-----BEGIN RSA {KEY_WORDS}-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----"
    assert found(f"a\n{block}\nb") == [block]
    assert found(f"a\n{block[:50]}") == [block[:50]]
    tail = "MIIEowIBAAKCAQEAabcdef\nabcabcabcabcabcabcabc\n-----END RSA PRIVATE KEY-----"
    assert found(f"{tail} after") == [tail]
    assert found("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----") == []


def test_scores_say_how_sure_it_is() -> None:
    assert look(KEY).score == 1
    assert look("password: hunter2!").score == 0.8
    assert look("7hQ2mZk9LpX4vB1nR8tYw3Cd").score == 0.6
    assert look("7hQ2mZk9LpX4vB1nR8tYw3Cd", entropy=False).score == 0


def test_what_is_found_is_private_and_reversible_only_where_the_policy_says_so() -> None:
    (span,) = look(KEY).spans
    assert (span.private, span.reversible, span.replacement) == (True, False, "[secret removed]")
    text = f"{KEY} and password: hunter2!"
    shown, originals = redacted(text, look(text, reversible=True).spans)
    assert shown == "[SECRET_1] and password: [SECRET_2]"
    assert originals == {"[SECRET_1]": KEY, "[SECRET_2]": "hunter2!"}


def test_what_the_policy_allows_stays() -> None:
    assert found(f"{KEY} x", allowed=(KEY,)) == []


def test_encoded_twice_is_found_and_thrice_is_not() -> None:
    for times, hidden in ((1, False), (2, False), (3, True)):
        text = f"key {KEY} of mine"
        for _ in range(times):
            text = base64.b64encode(text.encode()).decode()
        assert (found(f"v {text} w", entropy=False) == []) is hidden


def test_more_than_can_be_named_are_more_than_the_guard_redacts() -> None:
    assert len(look(f"{KEY} " * 500).spans) > MAX_SPANS


HOSTILE: list[Callable[[int], str]] = [
    lambda n: "A" * n,
    lambda n: "sk-" * (n // 3),
    lambda n: "eyJ" * (n // 3),
    lambda n: "password" * (n // 8),
    lambda n: "password: " * (n // 10),
    lambda n: "://:" * (n // 4),
    lambda n: f"-----BEGIN {KEY_WORDS}-----" * (n // 27),
    lambda n: "abcdefabcdefabcd\n" * (n // 17) + "-----END PRIVATE KEY-----",
    lambda n: "-----END PRIVATE KEY-----" * (n // 25),
    lambda n: "*a" * (n // 2),
    lambda n: "а\u200b" * (n // 2),
    lambda n: "Bearer  " * (n // 8),
    lambda n: "a1B" * (n // 3),
    lambda n: "MTIz" * (n // 4),
    lambda n: "\ud800" * n,
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_time_grows_with_the_text_and_no_faster(hostile: Callable[[int], str]) -> None:
    assert_grows_with_the_text(look, hostile, 2)
    assert_at_most_passes(look, hostile(LONG), 380)
