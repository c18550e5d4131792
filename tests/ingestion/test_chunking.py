from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ingestion.chunking import Chunking, chunk_document, text_hash
from lockgate.types import Block, Document

SMALL = Chunking(max_tokens=40, min_tokens=8)


def count(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def page(*blocks: Block, title: str = "Keys") -> Document:
    return Document("docs", "keys.md", "v1", title, "markdown", blocks)


def sentences(number: int) -> str:
    return " ".join(f"Sentence {i} says something about keys." for i in range(number))


def test_sections_do_not_share_a_chunk() -> None:
    chunks = chunk_document(
        page(Block("text", sentences(3), ("Rotate",)), Block("text", sentences(3), ("Revoke",))), SMALL, count
    )
    assert [chunk.heading for chunk in chunks] == [("Rotate",), ("Revoke",)]
    assert chunks[0].embed_text.startswith("Keys > Rotate\n")


def test_a_fragment_joins_its_sibling_and_keeps_its_heading_as_text() -> None:
    chunks = chunk_document(
        page(Block("text", "Short one.", ("Setup", "A")), Block("text", "Short two.", ("Setup", "B"))), SMALL, count
    )
    assert len(chunks) == 1
    assert "B:" in chunks[0].text
    assert "Short two." in chunks[0].text


def test_code_that_fits_is_never_cut() -> None:
    code = "\n".join(f"step {i}" for i in range(15))
    chunks = chunk_document(page(Block("text", sentences(4)), Block("code", code)), SMALL, count)
    assert any(f"```\n{code}\n```" in chunk.text for chunk in chunks)


def test_long_code_is_cut_between_lines_and_every_part_is_fenced() -> None:
    code = "\n".join(f"run step number {i} of ```many``` steps" for i in range(40))
    chunks = chunk_document(page(Block("code", code, language="sh")), SMALL, count)
    assert len(chunks) > 1
    assert all(chunk.text.startswith("````sh\n") and chunk.text.endswith("\n````") for chunk in chunks)
    lines = [line for chunk in chunks for line in chunk.text.split("\n") if not line.startswith("````")]
    assert "\n".join(lines) == code


def test_a_long_table_is_cut_between_rows_and_each_part_has_the_header() -> None:
    rows = [f"| key{i} | what key {i} does |" for i in range(30)]
    table = "\n".join(["| key | use |", "| --- | --- |", *rows])
    chunks = chunk_document(page(Block("table", table)), SMALL, count)
    assert len(chunks) > 1
    assert all(chunk.text.startswith("| key | use |") for chunk in chunks)
    found = [line for chunk in chunks for line in chunk.text.split("\n")[2:]]
    assert found == rows


def test_the_same_text_twice_on_a_page_gives_two_ids_and_one_vector() -> None:
    chunks = chunk_document(
        page(
            Block("text", sentences(4), ("A",)),
            Block("text", sentences(4), ("B",)),
            Block("text", sentences(4), ("A",)),
        ),
        SMALL,
        count,
    )
    same = [chunk for chunk in chunks if chunk.heading == ("A",)]
    assert len({chunk.id for chunk in same}) == 2
    assert len({text_hash(chunk) for chunk in same}) == 1


def test_an_edit_leaves_the_ids_of_other_sections_alone() -> None:
    before = chunk_document(
        page(Block("text", sentences(3), ("A",)), Block("text", sentences(3), ("B",))), SMALL, count
    )
    after = chunk_document(
        page(
            Block("text", "New words here, quite enough of them to stand alone.", ("A",)),
            Block("text", sentences(3), ("B",)),
        ),
        SMALL,
        count,
    )
    assert before[-1].id == after[-1].id
    assert before[0].id != after[0].id


kinds = st.sampled_from(["text", "list", "table", "code"])
texts = st.text(alphabet=st.sampled_from("ab .\n|-"), min_size=1, max_size=400)
headings = st.lists(st.sampled_from(["A", "B", "C"]), max_size=2).map(tuple)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.builds(Block, kind=kinds, text=texts, heading=headings), max_size=8))
def test_no_word_is_lost_and_no_chunk_is_too_long(blocks: list[Block]) -> None:
    chunks = chunk_document(page(*blocks), SMALL, count)
    assert all(chunk.tokens <= SMALL.max_tokens + 2 for chunk in chunks)
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    expected = sorted(letter for block in blocks if block.kind != "table" for letter in block.text if letter in "ab")
    if all(block.kind != "table" for block in blocks):
        assert sorted(letter for chunk in chunks for letter in chunk.text if letter in "ab") == expected


def test_a_word_longer_than_a_chunk_is_cut_between_characters() -> None:
    def by_letters(given: Sequence[str]) -> list[int]:
        return [len(text.replace(" ", "")) for text in given]

    chunks = chunk_document(page(Block("text", "x" * 1000), title="T"), SMALL, by_letters)
    assert "".join(chunk.text for chunk in chunks).replace("\n", "").replace(" ", "") == "x" * 1000
    assert all(chunk.tokens <= SMALL.max_tokens for chunk in chunks)


def test_absurd_sizes_are_refused() -> None:
    with pytest.raises(ValidationError):
        Chunking(max_tokens=0)
