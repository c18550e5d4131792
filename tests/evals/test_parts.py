from __future__ import annotations

import copy
from typing import Any

import pytest

from evals.comparing.parts import Part, differing_parts, mix
from lockgate.errors import Corrupt
from lockgate.release import Manifest
from tests.lockgate.samples import manifest_body

CHAIN = {
    "name": "docs",
    "description": "",
    "retrieval": {"dense_weight": 0.3, "candidates": 200, "evidence": 8},
    "passages": 8,
    "relevance": {"threshold": 0.41},
    "prompts": {"answer": "answer", "condense": "condense"},
    "model": "tiny",
    "mode": "auto",
    "suite": "tiny",
    "passage_budget": 800,
    "max_tokens": 160,
    "condense": "rule",
    "policy": "default",
    "abstention": "Nothing.",
}


def body(**changes: Any) -> dict[str, Any]:
    """A manifest's body with ``a__b__c=value`` put at a.b.c."""
    made = manifest_body()
    made["chain"] = copy.deepcopy(CHAIN)
    made["model"]["limits"] = {"max_tokens": 160, "passage_budget": 800, "context_window": 2048}
    for place, value in changes.items():
        *above, last = place.split("__")
        target = made
        for key in above:
            target = target[key]
        target[last] = copy.deepcopy(value)
    return made


def release(**changes: Any) -> Manifest:
    return Manifest.model_validate(body(**changes))


def names(good: Manifest, bad: Manifest) -> list[str]:
    return [part.name for part in differing_parts(good, bad)]


CHANGES: dict[str, dict[str, Any]] = {
    "prompt answer": {
        "prompts__answer": {"name": "short", "hash": "b" * 64, "files": {"short.md": "Be short.\n"}},
        "chain__prompts__answer": "short",
    },
    "prompt condense": {"prompts__condense": {"name": "condense", "hash": "c" * 64, "files": {"condense.md": "x\n"}}},
    "snapshot": {
        "snapshot__id": "d" * 64,
        "snapshot__manifest": "d" * 64,
        "snapshot__embedder": "e" * 64,
        "embedder": {"name": "other", "digest": "e" * 64, "files": body()["embedder"]["files"]},
    },
    "model": {
        "model": {
            "name": "big",
            "provider": "server",
            "revision": "",
            "digest": "",
            "files": None,
            "limits": {"max_tokens": 160, "passage_budget": 800},
        },
        "chain__model": "big",
        "adapter": None,
    },
    "policy": {
        "policy": {"name": "strict", "hash": "f" * 64, "text": "name: strict\n"},
        "chain__policy": "strict",
    },
    "mode": {"route__mode": "extractive", "chain__mode": "extractive"},
    "budgets": {"chain__max_tokens": 20, "model__limits__max_tokens": 20},
    "retrieval": {"chain__retrieval__dense_weight": 0.9},
    "relevance": {"chain__relevance__threshold": 0.9},
    "passages": {"chain__passages": 2},
    "condensing": {"chain__condense": "model"},
    "abstention text": {"chain__abstention": "I do not know."},
    "chain tools": {"chain__tools": ["calculator"]},
}
EVERYTHING = {place: value for changes in CHANGES.values() for place, value in changes.items() if place != "budgets"}


@pytest.mark.parametrize("name", CHANGES)
def test_one_changed_part_is_the_only_one_and_taking_it_over_gives_the_other_release(name: str) -> None:
    good, bad = release(), release(**CHANGES[name])
    (part,) = differing_parts(good, bad)
    assert part.name == name
    assert part.change
    assert mix(good, bad, [part]).id == bad.id
    assert mix(bad, good, [part]).id == good.id
    assert mix(good, bad, []).id == good.id


def test_all_parts_together_make_the_other_release() -> None:
    good, bad = release(), release(**EVERYTHING)
    parts = differing_parts(good, bad)
    assert [part.name for part in parts] == list(CHANGES)
    assert mix(good, bad, parts).id == bad.id


def test_every_mixture_has_an_id_of_its_own() -> None:
    good, bad = release(), release(**EVERYTHING)
    parts = differing_parts(good, bad)
    assert len({mix(good, bad, [part]).id for part in parts} | {good.id, bad.id}) == len(parts) + 2


def test_what_changes_no_answer_is_no_part() -> None:
    bad = release(
        chain__name="other", chain__description="Words.", chain__suite="big", chain__mode="generative", lockgate="9.9.9"
    )
    assert names(release(), bad) == []


def test_a_part_that_is_absent_on_one_side_is_taken_away() -> None:
    good, bad = release(chain__tools=["calculator"]), release()
    (part,) = differing_parts(good, bad)
    assert "tools" not in mix(good, bad, [part]).chain


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("relevance", "threshold 0.41 -> 0.9"),
        ("passages", "passages 8 -> 2"),
        ("budgets", "max tokens 160 -> 20"),
        ("mode", "mode generative -> extractive"),
        ("policy", "default 888888888888 -> strict ffffffffffff"),
        ("prompt answer", "answer 111111111111 -> short bbbbbbbbbbbb"),
    ],
)
def test_a_change_is_told_in_a_line(name: str, told: str) -> None:
    (part,) = differing_parts(release(), release(**CHANGES[name]))
    assert part.change == told


def test_a_long_text_of_many_lines_is_cut_to_one_short_one() -> None:
    (part,) = differing_parts(release(), release(chain__abstention="line\n" * 500))
    assert "\n" not in part.change
    assert len(part.change) < 150


def test_parts_that_do_not_fit_make_no_manifest() -> None:
    good, bad = release(), release(**CHANGES["model"])
    torn = Part("model files", "", (("model", "files"),))
    with pytest.raises(Corrupt, match=f"{good.id[:12]} with model files of {bad.id[:12]}"):
        mix(good, bad, [torn])
