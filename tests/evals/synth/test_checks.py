from __future__ import annotations

import pytest

from evals.synth.checks import about_passage, badly_formed, in_passage, known_questions, personal, rivals_of, specific
from evals.synth.corpus import build_corpus, index_terms
from evals.synth.drafts import Draft
from tests.evals.synth.pages import chunk, corpus, page


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Write to ann.smith@corp.co.uk for help", "an e-mail address"),
        ("Write to ann@example.com or ann@mail.example.org", ""),
        ("Call +44 20 7946 0958 now", "a telephone number"),
        ("Call (555) 123-4567", "a telephone number"),
        ("Her number is 078-05-1120", "a personal number"),
        ("Pay to DE89 3704 0044 0532 0130 00", "a personal number"),
        ("The card 4111 1111 1111 1111 is charged", "a card number"),
        ("The card 4111 1111 1111 1112 is not one", ""),
        ("Use AKIAIOSFODNN7EXAMPLE as the key", "a secret"),
        ("-----BEGIN " + "RSA PRIVATE KEY-----", "a secret"),
        ("The account 123456789012 and port 8000, 1,000,000 rows, 2026-01-01", ""),
        ("Version 10.0.17763.1457 of 0000 0000 0000 0000", ""),
    ],
)
def test_sees_what_is_plainly_personal(text: str, what: str) -> None:
    assert personal(text) == what


@pytest.mark.parametrize(
    ("reference", "passage", "held"),
    [
        ("Rotate a key.", "First.  Rotate\n  a key. Then rest.", True),
        ("Rotate a key.", "First. Rotate a **key**. Then rest.", True),
        ("Rotate the key.", "First. Rotate a key.", False),
        ("rotate a key.", "Rotate a key.", False),
        ("", "Rotate a key.", False),
        ("\x1b[0m", "Rotate a key.", False),
    ],
)
def test_a_reference_stands_word_for_word_in_its_passage(reference: str, passage: str, held: bool) -> None:
    assert in_passage(reference, passage) is held


@pytest.mark.parametrize(
    ("question", "same"),
    [
        ("What is a signing key?", True),
        ("what is a signing-key", True),
        ("Ｗhat is a signing key?", True),
        ("What are signing keys?", True),
        ("How do I rotate a signing key?", False),
        ("What is a master key?", False),
        ("How many signing keys are there?", False),
    ],
)
def test_knows_a_question_again_in_other_letters_and_nearly_the_same_words(question: str, same: bool) -> None:
    known = known_questions(index_terms(), [("case one", "What is a signing key?")])
    assert known.find(question) == ("case one" if same else "")


def test_knows_long_questions_again_by_most_of_their_words() -> None:
    known = known_questions(index_terms(), [("a", "How many encrypted signing keys can a production key ring hold?")])
    assert known.find("How many encrypted signing keys may production key rings hold?") == "a"
    assert known.find("Who removes expired passwords from a staging vault?") == ""


def option(one: str = "keys.md") -> Draft:
    text = "- `--force`: skip the question before a key is removed"
    return Draft(
        "option", "What does `--force` do?", "skip", (chunk(text, one, "Keys", ("Removing keys",)),), 2, "`--force`"
    )


def other(number: int) -> tuple[str, str]:
    return f"Part {number}", "`--force` is here too"


def test_a_question_that_many_pages_could_mean_names_its_section_or_is_left_out() -> None:
    own = page(("The old ring", "- `--force`: skip the question before a key is removed"))
    draft = Draft("option", "What does `--force` do?", "skip", own.chunks, 2, "`--force`")
    few = corpus(own, *[page(other(n), path=f"o{n}.md") for n in range(2)])
    many = corpus(own, *[page(other(n), path=f"o{n}.md") for n in range(3)])
    assert rivals_of(few, draft) == ["o0.md", "o1.md"]
    assert specific(few, draft) == draft
    longer = specific(many, draft)
    assert longer is not None and longer.question == "What does `--force` do in The old ring?"
    same = [page(("The old ring", "`--force` again"), path=f"s{n}.md") for n in range(3)]
    assert specific(corpus(own, *same), draft) is None


def test_the_page_whose_title_names_the_thing_is_meant_whoever_else_mentions_it() -> None:
    own = page(("", "A gate is a file that says what a release must show."), title="Gates", path="gates.md")
    rest = [page(("", f"Part {n} of the gate."), path=f"o{n}.md", title="Other") for n in range(9)]
    draft = Draft("definition", "What is a gate?", "A gate is a file", own.chunks, 1, "a gate")
    assert specific(corpus(own, *rest), draft) == draft
    assert specific(corpus(page(("", "A gate is a file."), title="Else"), *rest), draft) is not None


def test_a_question_of_stop_words_is_none() -> None:
    draft = Draft("heading", "Why is it so?", "x", (chunk("x"),), 0, "")
    assert specific(corpus(page(("", "x"))), draft) is None


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ("What is a key?", ""),
        ("What is a key", "no question"),
        ("Key?", "no question"),
        ("What is " + "a key " * 60 + "?", "no question"),
        ("What is a\x1b[31m key?", "cannot be shown"),
        ("What is a\nkey?", "cannot be shown"),
        ("What is a \u202ekey?", "cannot be shown"),
    ],
)
def test_what_cannot_be_read_is_not_shown(question: str, problem: str) -> None:
    found = badly_formed(Draft("model", question, "x", (chunk("x"),), 0))
    assert problem in found if problem else not found


def test_a_path_of_two_sources_names_no_page_but_is_looked_through() -> None:
    both = [chunk("a secret word", source="one"), chunk("another thing", source="two")]
    found = build_corpus("s", both, index_terms())
    assert found.pages == {}
    assert found.pages_with(found.terms_of("secret word")) == {"keys.md"}


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("How often is a signing key rotated?", True),
        ("How often is a key rotated and painted?", True),
        ("How often is a fence painted?", False),
        ("Why is it so?", True),
    ],
)
def test_a_question_has_half_of_its_words_from_its_passage(question: str, about: bool) -> None:
    own = page(("", "A signing key is rotated every ninety days."))
    assert about_passage(corpus(own), Draft("model", question, "x", own.chunks, 0)) is about
