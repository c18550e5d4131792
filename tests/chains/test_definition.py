from __future__ import annotations

from pathlib import Path

import pytest

from chains.definition import list_chains, load_chain
from lockgate.errors import NotFound, UserError
from tests.ingestion.fakes import write_pages


def test_the_shipped_chain_loads(tmp_path: Path) -> None:
    assert list_chains(tmp_path) == ["docs"]
    assert load_chain(tmp_path, "docs").name == "docs"


def test_a_chain_that_does_not_exist_lists_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="docs"):
        load_chain(tmp_path, "../../etc/passwd")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: mine\nmodle: x\n", r"mine\.yaml:2: unknown key 'modle'"),
        ("name: mine\nretrieval:\n  dense_wait: 1\n", r"mine\.yaml:3: unknown key 'retrieval.dense_wait'"),
        ("name: mine\npassages: many\n", r"mine\.yaml:2: key 'passages'"),
        ("name: other\n", "must be that of the file"),
        ("name: mine\nname: mine\n", "given twice"),
        ("- name: mine\n", "mapping"),
        ("name: [mine\n", "not valid YAML"),
        ("", "key 'name' is missing"),
        ("name: &a mine\ndescription: *a\n", "aliases"),
    ],
)
def test_a_bad_definition_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    write_pages(tmp_path / "chains" / "definitions", {"mine.yaml": text})
    with pytest.raises(UserError, match=problem):
        load_chain(tmp_path, "mine")
