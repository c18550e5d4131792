from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chains.definition import ChainDefinition
from evals.tuning.chain_file import BEGIN, END, edited, write_definition
from lockgate.content import parse_yaml
from lockgate.errors import Conflict, UserError

CHANGES: dict[tuple[str, ...], Any] = {
    ("retrieval", "dense_weight"): 0.7,
    ("passages",): 4,
    ("relevance", "threshold"): 0.5,
}
FILES = {
    "block": "name: x # n\nretrieval:\n  dense_weight: 0.1 # w\n  candidates: 9\nrelevance: {threshold: .3}",
    "flow": "{name: x, retrieval: {dense_weight: 0.1}, passages: 3, relevance: {threshold: 1e-1,}}\n",
    "empty flow": "name: x\nretrieval: {}\nrelevance: { }\n",
    "keys missing": "name: x\nretrieval:\n    candidates: 9   # c\n\n# tail\n",
    "all missing": "---\nname: x",
    "quoted": "name: 'x'\nretrieval: {\"dense_weight\": 0.1}\n",
    "tagged": "name: x\npassages: !!int 3\n",
    "no line end": "name: x\npassages: 3",
    "block text last": "name: x\nabstention: |\n  A.\n  B.\n",
    "folded text": "name: x\nabstention: >-\n  A\n  # no comment\n\npassages: 3\n",
    "crlf": "name: x\r\npassages: 3\r\n# c\r\n",
    "unicode": "name: x\ndescription: '\U0001f511 ключ'\npassages: 3\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_every_shape_of_yaml_takes_the_numbers(text: str) -> None:
    new = edited(text, CHANGES, ["why"], where="f")
    found, old = (parse_yaml(each, ChainDefinition, where="f") for each in (new, text))
    assert (found.retrieval.dense_weight, found.passages, found.relevance.threshold) == (0.7, 4, 0.5)
    assert found.abstention == old.abstention and found.description == old.description
    assert [c for c in text if c == "#"] == [c for c in new.partition(BEGIN)[0] if c == "#"]
    assert ("\r\n" in text) == ("\r\n" in new)
    assert not ("\r\n" in text and "\n" in new.replace("\r\n", ""))


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_second_block_takes_the_place_of_the_first(text: str) -> None:
    once = edited(text, CHANGES, ["first"], where="f")
    twice = edited(once, {("passages",): 5}, ["second"], where="f")
    assert (twice.count(BEGIN), twice.count(END)) == (1, 1)
    assert "first" not in twice and "second" in twice
    assert edited(once, {}, ["first"], where="f") == once


def test_a_note_is_one_line_whatever_it_holds() -> None:
    new = edited("name: x\n", {}, ["a\nmax_tokens: 9\r\n# tuned: end"], where="f")
    assert parse_yaml(new, ChainDefinition, where="f") == ChainDefinition(name="x")


@pytest.mark.parametrize("text", ["name: x\npassages: 3\n...\n", "name: x\nabstention: |+\n  A.\n\n"])
def test_what_cannot_be_edited_safely_is_said_with_the_values(text: str) -> None:
    try:
        new = edited(text, CHANGES, ["why"], where="f")
    except UserError as error:
        assert "retrieval.dense_weight: 0.7" in str(error)
    else:
        assert parse_yaml(new, ChainDefinition, where="f").passages == 4
        assert parse_yaml(new, ChainDefinition, where="f").abstention == (
            parse_yaml(text, ChainDefinition, where="f").abstention
        )


def test_mode_and_byte_order_mark_stay(tmp_path: Path) -> None:
    file = tmp_path / "docs.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: x\n")
    file.chmod(0o600)
    write_definition(file, file, "name: x\n", "name: x\npassages: 3\n")
    assert file.read_bytes() == b"\xef\xbb\xbfname: x\npassages: 3\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_appeared_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    source, target = tmp_path / "shipped.yaml", tmp_path / "own.yaml"
    source.write_text("name: x\n")
    target.write_text("name: mine\n")
    with pytest.raises(Conflict):
        write_definition(source, target, "name: x\n", "name: y\n")
    assert target.read_text() == "name: mine\n"
