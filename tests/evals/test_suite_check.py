"""A suite as a check in somebody's tests: measured once, judged like a gate, and never a pass for what is missing."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import evals.runs.measuring
from evals.suite_check import LOCK_FILE, CheckOptions, SuiteResult, check_suite, read_check
from lockgate.actor import Actor
from lockgate.errors import Conflict, LockgateError, NotFound, UserError
from lockgate.owner import acquire
from lockgate.store.channels import Move, move_channel
from lockgate.store.evidence import list_evidence
from tests.evals.projects import POLICY, Project

COUNT = 24
BOUNDS: dict[str, Any] = {"floors": {"abstention_accuracy": 0.1}, "min_n": COUNT}
WORDS = ("moon", "glacier", "opera", "violin", "sonnet", "marathon", "volcano", "saffron", "tapestry", "origami")


def cases() -> list[dict[str, Any]]:
    """Half of them are answered by a page."""
    rows = []
    for number in range(COUNT):
        row: dict[str, Any] = {"id": f"c{number}", "split": "dev", "answerable": False}
        if number % 2:
            question = "How often do I rotate a key?" if number % 4 == 1 else "What does the gate refuse at all times?"
            reference = "Every ninety days." if number % 4 == 1 else "A release without evidence."
            page = "keys.md" if number % 4 == 1 else "gate.md"
            row |= {"answerable": True, "question": question, "reference": reference, "pages": [page]}
        else:
            row["question"] = f"Why would somebody paint {WORDS[number // 2 % len(WORDS)]} tonight, {number} times?"
        rows.append(row)
    return rows


def write_cases(project: Project, rows: list[dict[str, Any]]) -> None:
    (project.folder / "evals/suites/tiny/cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project = Project(tmp_path)
    write_cases(project, cases())
    project.sync()
    project.serve_fakes(monkeypatch)
    yield project


def check(project: Project, options: CheckOptions | None = None, **keywords: Any) -> SuiteResult:
    return check_suite(project.settings, read_check("tiny", {**BOUNDS, **keywords}), options or CheckOptions())


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The release of each run that was made."""
    made: list[str] = []
    measure = evals.runs.measuring.measure

    def counted(settings: Any, request: Any, **options: Any) -> Any:
        made.append(request.release)
        return measure(settings, request, **options)

    monkeypatch.setattr("evals.suite_check.measure", counted)
    return made


def test_a_suite_is_measured_once_and_then_its_evidence_counts(project: Project, runs: list[str]) -> None:
    first = check(project)
    assert (first.verdict, first.measured, first.reasons()) == ("PASS", True, [])
    second = check(project, floors={"abstention_accuracy": 0.2})
    assert (second.verdict, second.measured, second.evidence) == ("PASS", False, first.evidence)
    assert runs == [first.release]
    assert first.release == project.build().id
    assert first.value("abstention_accuracy") == second.metrics["abstention_accuracy"]["value"]
    assert second.line() == f"PASS  tiny, release {first.release[:12]}, from evidence {first.evidence[:12]}"
    with pytest.raises(KeyError):
        first.value("mrr")


def test_the_verdict_is_that_of_the_gate(project: Project) -> None:
    result = check(project, floors=None, zero_tolerance=("token_f1",))
    assert result.verdict == "FAIL"
    assert any(reason.startswith("FAIL: token_f1") for reason in result.reasons())
    text = "channel: production\nrules:\n  - {rule: suite, suite: tiny, zero_tolerance: [token_f1], min_n: 24}\n"
    gates = project.folder / "evals" / "gates"
    gates.mkdir()
    (gates / "production.yaml").write_text(text)
    keywords = {"floors": None, "min_n": None}
    by_gate = check(project, gate="production", **keywords)
    assert [each.decision() for each in by_gate.report.rules] == [each.decision() for each in result.report.rules]
    with pytest.raises(UserError, match="has no rule about the suite 'tiny'"):
        (gates / "production.yaml").write_text("channel: production\nrules: [{rule: verify}]\n")
        check(project, gate="production", **keywords)


def test_too_few_cases_are_inconclusive_with_what_would_resolve_it(project: Project) -> None:
    result = check(project, min_n=40)
    assert result.verdict == "INCONCLUSIVE"
    assert any("-> 16 more cases." in reason for reason in result.reasons())


def test_without_evidence_and_told_not_to_run_it_is_inconclusive(project: Project, runs: list[str]) -> None:
    result = check(project, CheckOptions(run=False))
    assert (result.verdict, result.evidence, runs) == ("INCONCLUSIVE", "", [])
    assert "none is on record" in result.reasons()[0]
    assert "-> Run: lockgate evals run tiny --release" in result.reasons()[0]
    assert "no evidence" in result.line()


def test_a_metric_that_the_suite_does_not_measure_is_inconclusive(project: Project) -> None:
    result = check(project, floors={"mrr": 0.5})
    assert result.verdict == "INCONCLUSIVE"
    assert "does not measure mrr" in result.reasons()[0]


@pytest.mark.parametrize("change", ["suite", "page", "rerun", "tier"])
def test_what_changed_is_measured_again(project: Project, runs: list[str], change: str) -> None:
    check(project)
    options = CheckOptions()
    if change == "suite":
        write_cases(project, [{**row, "id": f"x{row['id']}"} for row in cases()])
    elif change == "page":
        project.sync({"new.md": "# New\n\nA page of its own.\n"})
    elif change == "rerun":
        options = CheckOptions(since=datetime.now(UTC))
    else:
        assert not check(project, tier="offline").measured
        assert not check(project, tier="judged").measured  # nothing in this suite asks a judge
        return
    assert check(project, options).measured
    assert len(runs) == 2


def test_what_was_measured_in_this_session_counts_in_a_rerun_too(project: Project, runs: list[str]) -> None:
    """Of several processes of one session, one measures."""
    options = CheckOptions(since=datetime.now(UTC))
    assert [check(project, options).measured for _ in range(2)] == [True, False]


def promote(project: Project, release: str) -> None:
    with project.database() as db:
        move_channel(db, Move("production", "docs", "promote", release, 0, Actor("ada")))


def test_a_drop_against_production_fails_and_the_baseline_is_measured_too(project: Project, runs: list[str]) -> None:
    good = project.build().id
    promote(project, good)
    guard = {"check": "input_length", "action": "block", "max_characters": 1, "message": "Too long."}
    project.write_policy(input=[guard])
    keywords: dict[str, Any] = {"floors": None, "max_drop": {"abstention_accuracy": 0.1}}
    result = check(project, **keywords)
    assert (result.verdict, result.compared_with) == ("FAIL", good)
    assert runs == [result.release, good]
    assert any("abstention_accuracy" in reason for reason in result.reasons())
    # Put right again, it is the release in production, which is never worse than itself.
    project.write_policy(input=POLICY["input"])
    assert check(project, **keywords).verdict == "PASS"
    bad = check(project, **keywords, release=result.release, against=good[:12])
    assert (bad.verdict, bad.compared_with) == ("FAIL", good)
    assert check(project, channel="production", **keywords).release == good


def test_an_empty_channel_has_nothing_to_compare_with(project: Project) -> None:
    drop = {"abstention_accuracy": 0.1}
    assert check(project, max_drop=drop).verdict == "PASS"
    assert check(project, floors=None, max_drop=drop).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("keywords", "kind", "message"),
    [
        ({"channel": "staging"}, NotFound, "staging"),
        ({"release": "ffffffffffff"}, NotFound, "ffffffffffff"),
        ({"release": ""}, UserError, "is empty"),
        ({"chain": "nothing"}, NotFound, "nothing"),
        ({"max_drop": {"token_f1": 0.1}, "against": "staging"}, NotFound, "staging"),
        ({"max_drop": {"token_f1": 0.1}, "against": "../x"}, LockgateError, "../x"),
        ({"gate": "nowhere", "floors": None, "min_n": None}, NotFound, "nowhere"),
    ],
)
def test_a_name_that_means_nothing_is_an_error(
    project: Project, keywords: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        check(project, **keywords)


def test_a_project_that_is_not_indexed_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    project.serve_fakes(monkeypatch)
    with pytest.raises(LockgateError) as caught:
        check(project)
    assert "lockgate ingestion sync" in str(caught.value)


def test_a_release_of_another_chain_is_refused(project: Project) -> None:
    release = project.build().id
    with pytest.raises(UserError, match="is of chain 'docs', not 'other'"):
        check(project, release=release, chain="other")


def test_it_waits_for_another_test_process_and_then_says_so(project: Project, runs: list[str]) -> None:
    project.settings.state_dir.mkdir(exist_ok=True)
    fd = os.open(project.settings.state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(Conflict, match="another test process is still measuring"):
        check(project, CheckOptions(wait=0))
    threading.Timer(0.5, os.close, [fd]).start()
    assert check(project, CheckOptions(wait=60)).verdict == "PASS"


def test_it_waits_for_the_command_that_has_the_index_and_then_names_it(project: Project) -> None:
    owner = acquire(project.settings.state_dir, "lockgate ingestion sync")
    with pytest.raises(Conflict, match="lockgate ingestion sync"):
        check(project, CheckOptions(wait=0))
    threading.Timer(0.5, owner.release).start()
    assert check(project, CheckOptions(wait=60)).verdict == "PASS"


def test_it_works_inside_a_running_event_loop(project: Project) -> None:
    async def inside() -> tuple[str, str]:
        result = check(project)
        with pytest.raises(NotFound):
            check(project, release="ffffffffffff")
        return result.verdict, result.report.channel

    assert asyncio.run(inside()) == ("PASS", "production")


def test_the_commands_evidence_counts_too(project: Project, runs: list[str]) -> None:
    check(project)
    with project.database() as db:
        assert [each.suite for each in list_evidence(db)] == ["tiny"]


@pytest.mark.parametrize(
    ("suite", "keywords", "message"),
    [
        ("tiny", {"flors": {}}, "unknown keyword 'flors'. Known keywords: against, chain"),
        ("tiny", {"suite": "x"}, "unknown keyword 'suite'"),
        ("tiny", {}, "needs floors, max_drop, slices or zero_tolerance"),
        ("tiny", {"floors": {}}, "needs floors"),
        ("tiny", {"floors": {"token_f7": 0.5}}, "unknown metric"),
        ("tiny", {"floors": {"token_f1": 2}}, "token_f1: 2 is outside its scale, 0 to 1"),
        ("tiny", {"floors": {"token_f1": float("nan")}}, "floors.token_f1"),
        ("tiny", {"floors": {"token_f1": "0.5"}}, "floors.token_f1: Input should be a valid number, got '0.5'"),
        ("tiny", {"floors": {"token_f1": True}}, "floors.token_f1"),
        ("tiny", {"floors": [1]}, "floors"),
        ("tiny", {"max_drop": {"token_f1": 0}}, "token_f1: 0 is no drop"),
        ("tiny", {"floors": {"token_f1": 0.5}, "max_unscored": 0.5}, "max_unscored"),
        ("tiny", {"floors": {"token_f1": 0.5}, "min_n": 0}, "min_n"),
        ("tiny", {"floors": {"token_f1": 0.5}, "min_n": "many"}, "min_n"),
        ("tiny", {"floors": {"token_f1": 0.5}, "concurrency": 0}, "concurrency"),
        ("tiny", {"floors": {"token_f1": 0.5}, "tier": "fast"}, "tier: Input should be 'offline' or 'judged'"),
        ("tiny", {"floors": {"token_f1": 0.5}, "gate": "production"}, "gate brings its own bounds: leave out floors"),
        ("tiny", {"floors": {"token_f1": 0.5}, "release": "a", "channel": "b"}, "leave out one"),
        ("../tiny", {"floors": {"token_f1": 0.5}}, "is not the name of a suite"),
        ("", {"floors": {"token_f1": 0.5}}, "is not the name of a suite"),
        (7, {"floors": {"token_f1": 0.5}}, "suite: Input should be a valid string"),
    ],
)
def test_a_mistake_is_named(suite: Any, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_check(suite, keywords)
    assert message in str(caught.value)
