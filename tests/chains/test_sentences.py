from __future__ import annotations

from chains.condense import condense, follows_up
from chains.sentences import content_words, exact_parts, split_sentences, units
from lockgate.types import Message
from tests.chains.fakes import passage

TEXT = """Keys rotate, e.g. every week. Version 3.11 is needed! See docs.

| key | use |
| --- | --- |
| a | reads |

Pick one:

- first choice
- second choice
  that goes on

```
lockgate serve --port 9000
```"""


def test_a_passage_falls_into_quotable_units() -> None:
    found = [(unit.kind, unit.text, unit.context) for unit in units([passage("p", TEXT)])]
    assert found == [
        ("sentence", "Keys rotate, e.g. every week.", ""),
        ("sentence", "Version 3.11 is needed!", ""),
        ("sentence", "See docs.", ""),
        ("row", "| a | reads |", "| key | use |"),
        ("sentence", "Pick one:", ""),
        ("item", "first choice", "Pick one:"),
        ("item", "second choice that goes on", "Pick one:"),
        ("code", "```\nlockgate serve --port 9000\n```", "Pick one:"),
    ]


def test_sentences_do_not_end_at_numbers_or_abbreviations() -> None:
    assert split_sentences("Use 3.11, i.e. a recent one. Then go.") == ["Use 3.11, i.e. a recent one.", "Then go."]


def test_words_meet_across_their_endings() -> None:
    assert content_words("rotating keys") == content_words("Rotates the key") == content_words("rotated key")


def test_numbers_and_names_are_exact_parts() -> None:
    assert exact_parts("Use Qdrant 1.20 on port 6333.") == {"qdrant", "1.20", "6333"}


def test_a_question_that_stands_alone_is_left_alone() -> None:
    history = [Message("user", "How do I rotate a key?"), Message("assistant", "So.")]
    question = "Which file formats can the ingestion parser read?"
    assert not follows_up(question)
    assert condense(question, history) == question
    assert condense("And how often?", []) == "And how often?"


def test_a_chain_of_follow_ups_goes_back_to_the_question_that_stood_alone() -> None:
    history = [
        Message("user", "How do I rotate a signing key?"),
        Message("assistant", "So."),
        Message("user", "And how often?"),
        Message("assistant", "Often."),
    ]
    assert condense("Why is that?", history) == "How do I rotate a signing key? Why is that?"
