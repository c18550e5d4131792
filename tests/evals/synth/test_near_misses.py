from __future__ import annotations

from random import Random

from evals.synth.drafts import Draft
from evals.synth.near_misses import missing_facts, nowhere, only_mentioned, other_objects
from evals.synth.rules import drafts_of
from tests.evals.synth.pages import corpus, page

KEYS = page(
    ("Rotating a signing key", "1. Choose the signing key.\n2. Choose the button that rotates it, and wait."),
    ("", "A signing key is a secret that proves who made a file."),
)
GATES = page(
    ("", "A gate is a file that says what a release must show. We keep Amber Harbour beside it."),
    ("", "The two of us saw Amber Harbour again, and the Silver Lake once."),
    path="gates.md",
    title="Gates",
)


def all_drafts(*pages: object) -> list[Draft]:
    return [draft for one in (KEYS, GATES) for draft in drafts_of(one)]


def test_asks_one_pages_how_to_of_another_pages_thing() -> None:
    found = list(other_objects(corpus(KEYS, GATES), all_drafts(), Random(0)))
    assert [draft.question for draft in found] == ["How do I rotate a gate?"]
    assert not found[0].answerable
    assert found[0].path == "gates.md"


def test_does_not_ask_what_some_passage_may_answer_in_another_verb() -> None:
    told = page(("", "To roll over a gate, call the office."), ("", "Turn and rotate the gate."), path="t.md")
    assert list(other_objects(corpus(KEYS, GATES, told), all_drafts(), Random(0))) == []


def test_asks_for_facts_that_nothing_tells_of_what_a_page_defines() -> None:
    found = list(missing_facts(corpus(KEYS, GATES), all_drafts(), Random(0)))
    assert {draft.subject for draft in found} == {"a signing key", "a gate"}
    assert len({draft.question for draft in found}) == 2
    assert all(draft.kind == "no-such-fact" and not draft.answerable for draft in found)


def test_a_fact_is_not_asked_for_where_a_passage_has_a_word_of_its_answer() -> None:
    cues = (
        "cost price rename name encrypt key schedule time archive export store alert email notify undo version "
        "previous transfer owner approve review permission allow spreadsheet csv release date licence"
    )
    told = page(("", f"About a gate and a signing key: {cues}."), path="t.md")
    assert list(missing_facts(corpus(KEYS, GATES, told), all_drafts(), Random(0))) == []


def test_asks_how_to_set_up_what_is_only_mentioned() -> None:
    found = list(only_mentioned(corpus(KEYS, GATES), [KEYS, GATES], Random(0)))
    assert [draft.question for draft in found] == ["How do I install Amber Harbour?"]
    for text in (
        "Amber Harbour is a program that keeps secrets safe.",
        "Install the Amber Harbour with one command.",
        "| Amber Harbour | a program |",
    ):
        assert list(only_mentioned(corpus(KEYS, GATES, page(("", text), path="t.md")), [GATES], Random(0))) == []
    titled = page(("", "Nothing of it."), path="t.md", title="Amber Harbour")
    assert list(only_mentioned(corpus(KEYS, GATES, titled), [GATES], Random(0))) == []


def test_nowhere_is_said_only_of_words_that_were_looked_up() -> None:
    found = corpus(KEYS, GATES)
    gate, price = found.terms_of("gate"), found.terms_of("price")
    assert nowhere(found, gate, price)
    assert not nowhere(found, gate, found.terms_of("price release"))
    assert not nowhere(found, frozenset(), price)
    assert not nowhere(found, gate, frozenset())
    assert not nowhere(found, gate, gate)
    assert not nowhere(found, gate, found.terms_of("harbour"), on_page="gates.md")
