from __future__ import annotations

import pytest

from evals.synth.checks import in_passage
from evals.synth.corpus import Page
from evals.synth.drafts import MAX_REFERENCE
from evals.synth.rules import drafts_of
from tests.evals.synth.pages import page


def asked(one: Page) -> dict[str, str]:
    return {draft.question: draft.reference for draft in drafts_of(one)}


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("A signing key is a secret that proves who made a file.", "What is a signing key?"),
        ("Public keys are the secrets that prove who made a certain file.", "What are public keys?"),
        ("An Amber key is the secret that is kept by the Amber service.", "What is an Amber key?"),
        ("`rotate_keys` is the setting that says how often keys change.", "What is `rotate_keys`?"),
        ("The maximum size of a key file is 20 MB on every machine.", "What is the maximum size of a key file?"),
        ("The default key length is 4096 bits for new keys.", "What is the default key length?"),
        ("A key ring can hold at most 200 keys at any one time.", "How many keys can a key ring hold?"),
        ("Your key ring has up to 1,000 entries, and no more.", "How many entries can my key ring have?"),
        ("A key ring must have at least two keys in production.", "How many keys must a key ring have?"),
        ("A session key expires after 15 minutes without any use.", "After how long does a session key expire?"),
        ("Old signing keys are kept for 90 days after a rotation.", "How long are old signing keys kept?"),
        ("`--force` skips the question before a key is removed.", "What does `--force` do?"),
    ],
)
def test_asks_for_what_a_sentence_states_and_quotes_the_sentence(text: str, question: str) -> None:
    assert asked(page(("", f"Other words first. {text}\nAnd more of them after it, which say little."))) == {
        question: text
    }


@pytest.mark.parametrize(
    "text",
    [
        "This is a secret that proves who made a certain file.",
        "It is the setting that says how often the keys change.",
        "The following is a list of all keys that there are here.",
        "The maximum value is 900 seconds for every kind of key.",
        "The maximum size of this file is 20 MB on every machine.",
        "If you rotate a key it is the newest one that counts then.",
        "They can hold at most 200 keys at any one time of the day.",
        "A short key is a key.",
        "What a key is and why it is the one thing to keep is told below:",
    ],
)
def test_leaves_alone_what_means_nothing_without_its_page(text: str) -> None:
    assert asked(page(("", text))) == {}


@pytest.mark.parametrize(
    ("heading", "question"),
    [
        ("Rotating a Signing Key", "How do I rotate a signing key?"),
        ("To create an access key", "How do I create an access key?"),
        ("Step 3: Delete the old key", "How do I delete the old key?"),
        ("Setting up your Key Ring", "How do I set up my key Ring?"),
        ("Access keys", None),
        ("Rotating them", None),
        ("Viewing and listing keys", None),
        ("Creating a key: the long way", None),
    ],
)
def test_a_heading_that_says_what_to_do_becomes_how_do_i(heading: str, question: str | None) -> None:
    text = "First open the console for a signing key.\n\n1. Choose Keys.\n2. Choose the button with the arrow."
    found = asked(page((heading, text)))
    assert list(found) == ([question] if question else [])
    if question:
        assert in_passage(found[question], text)


def test_a_heading_that_asks_is_taken_as_it_is_and_answered_by_its_section() -> None:
    text = "Yes. Run the rotate command and nothing is lost."
    assert asked(page(("Can I rotate a key?", text))) == {"Can I rotate a key?": text}
    assert asked(page(("Is it relevant?", text), ("Any more?", text), ("What now?", text))) == {}


def test_requirements_and_the_like_are_of_what_the_page_is_about() -> None:
    text = "- A machine with Linux on it.\n- A key of your own, and the right to use it."
    assert list(asked(page(("Prerequisites", text), title="Rotating keys"))) == [
        "What are the prerequisites for rotating keys?"
    ]
    assert asked(page(("Prerequisites", text), title="Rotate a key")) == {}


def test_options_are_asked_for_by_name_and_nested_ones_are_not() -> None:
    text = (
        "The options:\n\n- `--force`: skip the question before a key is removed\n"
        "  - `twice`: only a value of the option above it, nothing else\n- `true`: a value that says nothing of a thing"
    )
    assert asked(page(("", text))) == {"What does `--force` do?": "skip the question before a key is removed"}


def test_tables_give_meanings_defaults_and_plain_facts() -> None:
    text = (
        "| setting | meaning | default | maximum size |\n|---|---|---|---|\n"
        "| `KEY_DAYS` | how long a key is good for | `90` | 20 MB |\n"
        "| `KEY_PIPE` | what stands between \\| two of them | - | n/a |\n"
        "| broken row |\n"
    )
    assert asked(page(("", text))) == {
        "What does `KEY_DAYS` mean?": "how long a key is good for",
        "What does `KEY_PIPE` mean?": "what stands between | two of them",
        "What is the default of `KEY_DAYS`?": "`90`",
        "What is the maximum size of `KEY_DAYS`?": "20 MB",
    }


def test_code_is_not_read_as_text() -> None:
    text = (
        "```\nA signing key is a secret that proves who made a file.\n| a | meaning |\n|---|---|\n| `b` | c d e |\n```"
    )
    assert asked(page(("", text))) == {}


def test_long_sections_are_no_reference() -> None:
    steps = "1. Choose the key.\n" + "\n".join(f"{number}. Then choose button {number}." for number in range(2, 60))
    assert asked(page(("Rotating a key", steps))) == {}


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mA signing\u202e key is a secret that proves who made a file.\x1b]0;title\x07",
        "A **signing key** is a _secret_ that proves who made\u200b a file.",
        "| a | description |\n|---|---|\n| \x1b[2J`evil\u202e` | five words are needed here |\n| | |",
        "# " * 5000,
        "`" * 9999 + " is a " + "x " * 5000,
        "| " * 3000 + "\n|-|\n" + "| " * 3000,
        "A " + "very " * 3000 + "long key is a secret.",
        "\ud800 is a secret that nobody should have seen at all.",
        "",
    ],
)
def test_odd_text_gives_no_odd_question(text: str) -> None:
    for draft in drafts_of(page(("", text), ("\x1b[1mRotating a key", text))):
        assert draft.question.isprintable()
        assert draft.reference.isprintable()
        assert len(draft.reference) <= MAX_REFERENCE


def test_the_best_questions_of_a_page_come_first_and_none_twice() -> None:
    one = page(
        ("Options", "- `--force`: skip the question before a key is removed"),
        ("What is a key?", "A key is a secret that proves who made a file."),
        ("More", "A key is a secret that proves who made a file."),
    )
    assert [draft.kind for draft in drafts_of(one)] == ["heading", "option"]
