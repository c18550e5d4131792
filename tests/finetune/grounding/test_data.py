"""Rows from sets in the shape in which they are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.grounding.data import build_data, rarity_of, training_pairs
from finetune.grounding.recipe import GroundingRecipe, load_recipe
from lockgate.errors import NotFound, UserError


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody watches a test's progress."""


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows))


@pytest.fixture
def recipe() -> GroundingRecipe:
    shipped = load_recipe()
    kept = tuple(source for source in shipped.sources if source.name in ("summedits", "begin", "fever_nli", "squad2"))
    return shipped.model_copy(update={"sources": kept})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = [f"Door {n} opens at {n} in the morning.\nAda Park of Lisbon owns door {n}." for n in range(40)]
    good = [f"Ada Park owns door {n}, and it opens at {n} in the morning." for n in range(40)]
    edits = []
    for number, (doc, summary) in enumerate(zip(docs, good, strict=True)):
        shared = {"doc": doc, "original_summary": summary, "domain": "doors"}
        edits.append(shared | {"id": f"{number}_og", "summary": summary, "label": 1, "edit_types": []})
        wrong = summary.replace("Ada", "Bo")
        edits.append(
            shared | {"id": f"{number}_1", "summary": wrong, "label": 0, "edit_types": ["entity_modification"]}
        )
    lines(tmp_path / "summedits" / "summedits.jsonl", edits)
    begin = [
        {"split": split, "knowledge": f"Lake {split} {n} is deep.", "response": f"Lake {split} {n} is big.",
         "begin_label": label, "model_name": "t5"}
        for n in range(20)
        for split, label in (("dev", "Fully attributable"), ("test", "Not fully attributable"), ("dev", "Generic"))
    ]  # fmt: skip
    lines(tmp_path / "begin" / "begin.jsonl", begin)
    fever = [
        {"premise": f"Film {n} -LRB- 19{n} -RRB- won a prize in Rome .", "hypothesis": f"Film {n} won.", "label": label}
        for n in range(20)
        for label in ("entailment", "not_entailment")
    ]
    lines(tmp_path / "fever_nli" / "fever_dev_nli.jsonl", fever)
    paragraph = " ".join(f"The tower number {n} of the old town was built in 18{n} by Bo Lee." for n in range(10, 16))
    article = {"title": "Towers", "paragraphs": [{"context": paragraph, "qas": []}]}
    (tmp_path / "squad2").mkdir()
    (tmp_path / "squad2" / "dev-v2.0-cs224n.json").write_text(json.dumps({"data": [article]}))
    return tmp_path


def test_a_passage_is_in_one_part_only(recipe: GroundingRecipe, folder: Path) -> None:
    parts: dict[str, set[str]] = {}
    for row in build_data(recipe, folder, quiet).rows:
        parts.setdefault(row.group, set()).add(row.split)
    assert {len(splits) for splits in parts.values()} == {1}
    assert {"train", "dev", "test"} <= set().union(*parts.values())


def test_the_test_split_of_begin_is_never_trained_on(recipe: GroundingRecipe, folder: Path) -> None:
    rows = [row for row in build_data(recipe, folder, quiet).rows if row.source == "begin"]
    assert {row.split for row in rows if "Lake test" in row.claim} == {"test"}
    assert {row.label for row in rows if "Lake dev" in row.claim} == {"supported"}


def test_an_edit_is_marked_where_it_was_made(recipe: GroundingRecipe, folder: Path) -> None:
    rows = [row for row in build_data(recipe, folder, quiet).rows if row.source == "summedits" and row.bad]
    assert {row.label for row in rows} == {"contradicted"}
    assert {row.claim[start:end] for row in rows for start, end in row.spans or ()} == {"Bo"}


def test_made_rows_are_of_every_label(recipe: GroundingRecipe, folder: Path) -> None:
    rows = [row for row in build_data(recipe, folder, quiet).rows if row.source == "squad"]
    assert {row.label for row in rows} == {"supported", "not_found", "contradicted"}
    absent = next(row for row in rows if row.label == "not_found")
    assert all(absent.claim not in passage for passage in absent.passages)


def test_the_same_files_give_the_same_pairs(recipe: GroundingRecipe, folder: Path) -> None:
    one, other = (build_data(recipe, folder, quiet) for _ in range(2))
    assert one == other
    assert set(one.hashes) >= {"summedits/summedits.jsonl", "squad2/dev-v2.0-cs224n.json"}
    rarity = rarity_of(one.rows)
    assert training_pairs(recipe, one.rows, rarity, quiet) == training_pairs(recipe, other.rows, rarity, quiet)
    assert 0.0 <= min(rarity.values()) <= max(rarity.values()) <= 1.0


def test_a_missing_set_is_named(recipe: GroundingRecipe, folder: Path) -> None:
    (folder / "begin" / "begin.jsonl").unlink()
    with pytest.raises(NotFound, match=r"begin\.jsonl"):
        build_data(recipe, folder, quiet)
    (folder / "begin").rmdir()
    with pytest.raises(NotFound, match="begin"):
        build_data(recipe, folder, quiet)


def test_a_broken_line_is_named(recipe: GroundingRecipe, folder: Path) -> None:
    with (folder / "summedits" / "summedits.jsonl").open("a") as file:
        file.write("\n{")
    with pytest.raises(UserError, match=r"summedits\.jsonl:81"):
        build_data(recipe, folder, quiet)


def test_rows_of_another_shape_are_named(recipe: GroundingRecipe, folder: Path) -> None:
    lines(folder / "summedits" / "summedits.jsonl", [{"text": "x"}])
    with pytest.raises(NotFound, match="no key"):
        build_data(recipe, folder, quiet)


@pytest.mark.parametrize("change", ["name: other", "folder: ../elsewhere", "folder: /etc"])
def test_a_recipe_names_known_sets_inside_the_folder(tmp_path: Path, change: str) -> None:
    source = {"name": "begin", "folder": "begin"} | dict([change.split(": ")])
    path = tmp_path / "recipe.yaml"
    path.write_text(f"name: x\nsources:\n  - {{name: {source['name']}, folder: {source['folder']}}}\n")
    with pytest.raises(UserError, match=r"recipe\.yaml:3"):
        load_recipe(path)
