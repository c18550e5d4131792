from __future__ import annotations

import random
from pathlib import Path

import pytest

from finetune.toxicity.rows import DAVIDSON, GROUPS, WRITTEN, Group, Written, clean, davidson, filled, written
from lockgate.content import read_jsonl
from lockgate.errors import NotFound, UserError

GROUP = Group(group="Asians", person="an Asian woman", adjective="Asian", split="dev")
HEADER = ",count,hate_speech,offensive_language,neither,class,tweet\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{group} came.", "Asians came."),
        ("A {adjective} boss and {person}", "An Asian boss and an Asian woman"),
        ("{person} spoke.", "An Asian woman spoke."),
        ("no slot here", "no slot here"),
    ],
)
def test_a_group_is_put_into_the_slots(text: str, expected: str) -> None:
    assert filled(text, GROUP) == expected


@pytest.mark.parametrize(
    ("tweet", "expected"),
    [
        ("!!! RT @someone_1: Nice &amp; warm https://t.co/x #sun", "Nice & warm sun"),
        ("&#8220;@a: hi&#8221;", "“ hi”"),
        ("@only", ""),
    ],
)
def test_a_tweet_loses_what_twitter_adds(tweet: str, expected: str) -> None:
    assert clean(tweet) == expected


def test_labels_are_shares_of_votes(tmp_path: Path) -> None:
    (tmp_path / DAVIDSON).write_text(HEADER + "0,3,2,1,0,0,some tweet\n", encoding="utf-8")
    (row,) = davidson(tmp_path, 0.1)
    assert (row.labels[0], row.labels[2]) == (2 / 3, 1)
    assert row.labels[1] != row.labels[1], "nobody was asked about threats"
    assert row.family == "hate"


def test_a_missing_or_strange_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=DAVIDSON):
        list(davidson(tmp_path, 0.1))
    (tmp_path / DAVIDSON).write_text(HEADER + "0,three,2,1,0,0,some tweet\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"{DAVIDSON}:2"):
        list(davidson(tmp_path, 0.1))


def test_groups_and_texts_of_the_dev_part_are_not_trained_on() -> None:
    texts = [each for _, each in read_jsonl(WRITTEN, Written)]
    groups = [each for _, each in read_jsonl(GROUPS, Group)]
    assert len({each.text for each in texts}) == len(texts)
    assert {each.group for each in groups if each.split == "train"}.isdisjoint(
        each.group for each in groups if each.split == "dev"
    )
    hateful = [each for each in texts if each.label == "hate"]
    assert {each.family for each in hateful if each.split == "train"}.isdisjoint(
        each.family for each in hateful if each.split == "dev"
    )


def test_the_same_seed_gives_the_same_rows() -> None:
    assert written(2, random.Random(3)) == written(2, random.Random(3))
