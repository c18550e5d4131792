from __future__ import annotations

from chains.extractive import Quote, choose_quotes, write_quotes
from chains.sentences import Unit
from tests.chains.fakes import ROTATE, passage
from tests.ingestion.fakes import WordEmbedder

TABLE = "| Resource | Tags | Notes |\n| --- | --- | --- |\n| AMI | Yes | |\n| Key \\| pair | No | soon |"


def quote(kind: str, text: str, number: int = 1, context: str = "") -> Quote:
    return Quote(Unit(0, 0, text, kind, context), number, 1.0)


def test_a_table_row_is_told_with_the_names_of_its_columns() -> None:
    header = "| Resource | Tags | Notes |"
    assert write_quotes([quote("row", "| AMI | Yes | |", context=header)]) == "- Resource: AMI · Tags: Yes [1]"
    assert write_quotes([quote("row", "| a \\| b | No | soon |", context=header)]).startswith(
        "- Resource: a \\| b · Tags: No"
    )
    assert write_quotes([quote("row", "| one | two |", context=header)]) == "- one · two [1]"


def test_sentences_run_on_and_everything_else_stands_apart() -> None:
    text = write_quotes(
        [
            quote("sentence", "First."),
            quote("sentence", "Second.", 2),
            quote("item", "an item", 2),
            quote("code", "```sh\nmake up\n```", 3),
            quote("sentence", "Last.", 3),
        ]
    )
    assert text == "First. [1] Second. [2]\n- an item [2]\n\n```sh\nmake up\n```\n\n[3]\n\nLast. [3]"


def test_the_row_that_answers_is_found_in_a_table() -> None:
    found = choose_quotes("Does an AMI have tags?", [passage("tags", TABLE)], WordEmbedder())
    assert "Resource: AMI · Tags: Yes" in write_quotes(found)


def test_without_vectors_words_choose() -> None:
    found = choose_quotes("rotate command", [passage("rotate", ROTATE)], None)
    assert "Run the rotate command" in write_quotes(found)


def test_a_sentence_is_not_quoted_twice() -> None:
    found = choose_quotes("How do I rotate a key?", [passage("a", ROTATE), passage("b", ROTATE)], WordEmbedder())
    texts = [quote.unit.text for quote in found]
    assert len(texts) == len(set(texts))


def test_a_heading_or_lead_in_is_no_answer() -> None:
    found = choose_quotes(
        "How to choose a key?",
        [passage("k", "How to choose a key:\n\n- take the long one\n- never share it")],
        WordEmbedder(),
    )
    assert all(not quote.unit.text.endswith(":") for quote in found)


def test_numbers_count_passages_in_the_order_of_their_use() -> None:
    found = choose_quotes(
        "rotate key command", [passage("x", "Nothing here at all."), passage("rotate", ROTATE)], WordEmbedder()
    )
    assert [quote.number for quote in found] == sorted(quote.number for quote in found)
    assert found[0].number == 1
