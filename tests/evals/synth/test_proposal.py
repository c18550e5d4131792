from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.synth.proposal import (
    FILE,
    Decision,
    add_proposals,
    change_proposals,
    named,
    proposal_id,
    read_proposals,
)
from lockgate.errors import NotFound, UserError
from tests.evals.synth.pages import WHEN, proposal

FIRST = proposal()
SECOND = proposal(id="0123456789cd", question="What is a gate?")


def test_what_was_written_is_read_back_and_what_was_there_stays_byte_for_byte(tmp_path: Path) -> None:
    assert read_proposals(tmp_path) == []
    add_proposals(tmp_path, [FIRST])
    odd = (tmp_path / FILE).read_bytes().replace(b'", "', b'",   "').rstrip(b"\n")
    (tmp_path / FILE).write_bytes(odd)
    add_proposals(tmp_path, [SECOND])
    assert read_proposals(tmp_path) == [FIRST, SECOND]
    assert (tmp_path / FILE).read_bytes().startswith(odd + b"\n")


def test_only_the_changed_lines_change(tmp_path: Path) -> None:
    add_proposals(tmp_path, [FIRST, SECOND])
    path = tmp_path / FILE
    spaced = path.read_bytes().replace(b'": ', b'":   ') + b"\n"
    path.write_bytes(spaced)
    said_no = SECOND.model_copy(
        update={"state": "rejected", "decision": Decision(by="ann", at=WHEN, reason="no"), "passage": ""}
    )
    change_proposals(tmp_path, {SECOND.id: said_no})
    assert path.read_bytes().split(b"\n")[0] == spaced.split(b"\n")[0]
    assert read_proposals(tmp_path) == [FIRST, said_no]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"extra": 1}, r"proposals\.jsonl:1: unknown key 'extra'"),
        ({"id": "../../etc"}, "key 'id'"),
        ({"question": ""}, "key 'question'"),
        ({"kind": "dream"}, "key 'kind'"),
        ({"reference": ""}, "an answerable question has a reference"),
        ({"answerable": False}, "an answerable question has a reference"),
        ({"state": "accepted"}, "a decision is there exactly when"),
        ({"made_at": "2026-01-01T00:00:00"}, "key 'made_at'"),
    ],
)
def test_a_file_that_somebody_edited_is_checked(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    body = {**FIRST.model_dump(mode="json"), **change}
    (tmp_path / FILE).write_text(json.dumps(body) + "\n")
    with pytest.raises(UserError, match=problem):
        read_proposals(tmp_path)


def test_an_id_used_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    add_proposals(tmp_path, [FIRST, FIRST])
    with pytest.raises(UserError, match=r":2: the id '0123456789ab' is used twice, first on line 1"):
        read_proposals(tmp_path)


def test_is_found_by_its_first_characters() -> None:
    assert named([FIRST, SECOND], "0123456789a") == FIRST
    with pytest.raises(UserError, match="could be 0123456789ab or 0123456789cd"):
        named([FIRST, SECOND], "0123")
    for name in ("", "ff"):
        with pytest.raises(NotFound):
            named([FIRST, SECOND], name)


def test_the_same_question_about_the_same_page_is_the_same_proposal() -> None:
    assert proposal_id("Why?", "a.md") == proposal_id("Why?", "a.md")
    assert len({proposal_id("Why?", "a.md"), proposal_id("Why?", "b.md"), proposal_id("How?", "a.md")}) == 3


def test_text_that_is_no_unicode_is_written_as_text_that_is(tmp_path: Path) -> None:
    add_proposals(tmp_path, [FIRST.model_copy(update={"passage": "broken \ud800 half"})])
    assert read_proposals(tmp_path)[0].passage == "broken ? half"


def test_a_file_that_could_not_be_read_any_more_is_not_written(tmp_path: Path) -> None:
    huge = FIRST.model_copy(update={"passage": "x" * 10_000_001})
    with pytest.raises(UserError, match="would be larger than 10 MB"):
        add_proposals(tmp_path, [huge])
    assert not (tmp_path / FILE).exists()
