from __future__ import annotations

from typing import Any

import pytest

from guardrails.check import Found, GuardTools, Seen
from guardrails.checks.answers import AnswerLength, AnswerLengthSettings, Refusal, RefusalSettings
from tests.guardrails.growth import assert_grows_with_the_text


def refusal(text: str, before: str = "", **keys: Any) -> Found:
    settings = RefusalSettings(check="refusal", action="flag", **keys)
    return Refusal(settings, GuardTools()).look(Seen(text, "output", before=before))


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I **cannot** assist with this request.",
        "I am not able to provide instructions for that.",
        "As an AI model, I must decline.",
        "Unfortunately I won't be able to answer this.",
        "Sorry, that is not something I can do for you.",
        "That goes against my guidelines.",
        "I c\u200ban't help with that.",
        "Dabei kann ich Ihnen leider nicht helfen.",
        "Ich kann diese Frage nicht beantworten.",
        "Je ne peux pas vous aider avec cette demande.",
        "Désolé, je ne suis pas en mesure de répondre à cela.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, non posso aiutarti.",
        "Desculpe, não posso ajudar com isso.",
        "Sorry, daar kan ik je niet mee helpen.",
        "Jag kan tyvärr inte hjälpa till med det.",
        "Przepraszam, nie mogę w tym pomóc.",
        "Извините, я не могу помочь с этим.",
        "抱歉，我无法回答这个问题。",
        "申し訳ありませんが、お答えできません。",
    ],
)
def test_a_refusal_is_found(text: str) -> None:
    found = refusal(text)
    assert found.score == 1
    (span,) = found.spans
    assert text[span.start : span.end]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Not in the documents.",
        "You cannot delete a bucket that still holds objects.",
        "We cannot provide support for beta versions.",
        "If the client says that it can't connect, restart the service.",
        "I can help with that: open the console and choose Keys.",
        "The service refuses to start without a key.",
        "Sie können den Schlüssel nicht zweimal benutzen.",
        "Vous ne pouvez pas supprimer ce groupe.",
        "No puede eliminar una clave en uso.",
        "The function may not return, and the user is not able to help it.",
    ],
)
def test_an_answer_about_what_cannot_be_done_refuses_nothing(text: str) -> None:
    assert refusal(text).score == 0


def test_further_on_it_may_be_about_a_part() -> None:
    assert refusal("I cannot help with the rest.", before="x" * 500).score == 0.7
    assert refusal("Well, it is so. " * 30 + "I cannot help with the rest.").score == 0.7


def test_only_the_languages_asked_for_are_looked_for() -> None:
    assert refusal("Dabei kann ich nicht helfen.", languages=("en",)).score == 0


@pytest.mark.parametrize(
    "word", ["i can't ", "ich kann dir ", "kann ich dir ", "no te puedo ", "je ne vous ", "nie mogę "]
)
def test_a_long_text_takes_time_in_proportion(word: str) -> None:
    assert_grows_with_the_text(refusal, lambda size: word * (size // len(word)))


def length(text: str, before: str = "", final: bool = True) -> Found:
    settings = AnswerLengthSettings(check="answer_length", action="block", max_characters=100)
    return AnswerLength(settings, GuardTools()).look(Seen(text, "output", before=before, final=final))


def test_an_answer_may_be_as_long_as_the_policy_says() -> None:
    assert length("x" * 100).score == 0
    assert length("x" * 101).score == 1
    assert length("x" * 101).told == "101 characters, at most 100"


def test_what_was_shown_of_a_stream_counts() -> None:
    assert length("x" * 40, before="x" * 60, final=False).score == 0
    assert length("x" * 41, before="x" * 60, final=False).score == 1
