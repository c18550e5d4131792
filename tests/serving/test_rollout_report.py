from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lockgate.actor import Actor
from lockgate.store.channels import ChannelRecord, Move, get_channel, move_channel
from lockgate.store.database import Database, open_database
from serving.rollout_keeper import RolloutKeeper
from serving.rollout_report import report_lines, rollout_report
from tests.serving.rollouts import NEW, OLD, asked, begin


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as database:
        yield database


def report_of(db: Database, record: ChannelRecord) -> dict[str, Any]:
    report = rollout_report(db, record)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    return report


def test_a_channel_that_never_had_one_says_so(db: Database) -> None:
    report = report_of(db, get_channel(db, "production", "docs"))
    assert report == {"channel": "production", "chain": "docs", "release": None, "state": "none", "rollout": None}
    assert report_lines(report) == ["production of docs: no rollout, now or before."]


def test_both_arms_are_reported_with_intervals_and_bounds(db: Database) -> None:
    record = begin(db, share=10)
    asked(db, record, "current", 38)
    asked(db, record, "current", 2, status="error", error_code="internal")
    asked(db, record, "candidate", 7)
    asked(db, record, "candidate", 3, abstained=True)
    report = report_of(db, record)
    assert report["state"] == "running"
    assert report["shadow"] is None
    old, new = report["arms"]["current"], report["arms"]["candidate"]
    assert (old["release"], old["n"], old["errors"], old["error_rate"]) == (OLD, 40, 2, 0.05)
    assert old["error_interval"] == pytest.approx([0.0138, 0.1650], abs=1e-4)
    assert (new["release"], new["abstained"], new["abstention_rate"]) == (NEW, 3, 0.3)
    assert (new["p50_ms"], new["p95_ms"]) == (90.0, 110.0)
    assert [found["metric"] for found in report["comparisons"]] == ["error_rate", "abstention_rate", "latency_ratio"]
    assert not any(found["worse"] for found in report["comparisons"])
    text = "\n".join(report_lines(report))
    assert f"{NEW[:12]} for 10 % of the conversations" in text
    assert "5.0 % (1.4 to 16.5)" in text
    assert "bound 5 points" in text
    assert "bound 10 points" in text
    assert "bound 1.5 times" in text


def test_an_empty_rollout_is_not_comparable_yet(db: Database) -> None:
    report = report_of(db, begin(db))
    assert report["arms"]["candidate"]["error_interval"] is None
    text = "\n".join(report_lines(report))
    assert "error rate: not comparable yet (current 0, candidate 0; each needs 5)" in text


def test_a_rollout_that_stopped_itself_is_still_reported_with_its_reason(db: Database) -> None:
    record = begin(db)
    asked(db, record, "candidate", 6, status="error", error_code="internal")
    stopped = RolloutKeeper(db).check(record)
    report = report_of(db, stopped)
    assert report["state"] == "ended"
    assert report["ended"]["action"] == "stop"
    assert report["arms"]["candidate"]["errors"] == 6
    assert "by stop of lockgate (unverified)" in report_lines(report)[1]
    assert "all 6 requests to the new release failed" in report_lines(report)[1]


def test_a_rollout_that_was_promoted_names_the_release_it_was_beside(db: Database) -> None:
    record = begin(db)
    promoted = move_channel(db, Move("production", "docs", "promote", NEW, record.version, Actor("ada")))
    again = move_channel(db, Move("production", "docs", "rollback", OLD, promoted.version, Actor("ada")))
    report = report_of(db, again)
    assert report["arms"]["current"]["release"] == OLD
    assert (report["ended"]["action"], report["ended"]["release"]) == ("promote", NEW)


def test_a_shadow_shows_how_alike_the_answers_are_and_examples_that_differ_first(db: Database) -> None:
    record = begin(db, "shadow", budget=50)
    for number in range(12):
        user, other = f"u{number}", "Another." if number == 3 else "It is so."
        asked(db, record, "current", id=user, answer="It is so.", question=f"Question {number}? " + "long " * 40)
        asked(
            db,
            record,
            "candidate",
            id=f"s{number}",
            origin="shadow",
            shadow_of=user,
            answer=other,
            abstained=number == 3,
        )
    shadow = report_of(db, record)["shadow"]
    assert (shadow["repeated"], shadow["budget"], shadow["pairs"]) == (12, 50, 12)
    assert shadow["same_answer"] == shadow["same_abstention"] == pytest.approx(11 / 12)
    assert len(shadow["examples"]) == 10
    assert (shadow["examples"][0]["current"], shadow["examples"][0]["candidate"]) == ("u3", "s3")
    assert all(len(pair["question"]) <= 80 for pair in shadow["examples"])
    report = report_of(db, record)
    assert not any("Question" in line for line in report_lines(report))
    shown = report_lines(report, examples=True)
    assert sum("Question" in line for line in shown) == 10
    assert any(line.startswith("  differ  u3  s3  Question 3?") for line in shown)


def test_a_forced_rollout_is_shown_as_forced(db: Database) -> None:
    record = begin(db)
    assert record.rollout is not None
    forced = replace(record, rollout=replace(record.rollout, forced=True))
    assert "FORCED past its gate" in report_lines(report_of(db, forced))[0]
