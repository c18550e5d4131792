"""Channels in one server and from the command line: who answers, what a move needs, what a history tells."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from chains.assembly import SharedModels, assemble_chain
from chains.release import build_manifest, keep_release, verify_release
from evals import gate
from lockgate.actor import Actor
from lockgate.errors import (
    Conflict,
    Corrupt,
    GateFailed,
    Inconclusive,
    LockgateError,
    NotFound,
    Unavailable,
    UserError,
)
from lockgate.owner import acquire
from lockgate.store.arms import arm_figures
from lockgate.store.channels import ChannelRecord, Move, get_channel, history, move_channel
from lockgate.store.releases import open_releases
from lockgate.store.tables import Channel, Pointer, Release, Snapshot
from lockgate.store.traces import get_trace, list_traces
from lockgate.types import Answer, AskRequest, Finished
from serving import cli
from serving.channels import promote, roll_back, stop_rollout
from serving.rollout import new_rollout
from serving.wiring import Application
from tests.chains.projects import ANN, Project, open_project
from tests.ingestion.fakes import WordEmbedder, handle
from tests.serving.fakes import wait_for

BOB = Actor("bob")
QUESTION = "How do I rotate a signing key?"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setattr("ingestion.embedding.open_embedder", lambda _settings: handle(WordEmbedder()))
    with open_project(tmp_path / "project") as opened:
        yield opened


def chain_file(project: Project, **values: object) -> None:
    folder = project.folder / "chains" / "definitions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "docs.yaml").write_text(json.dumps({"name": "docs", "mode": "extractive", **values}))


def two_releases(project: Project) -> tuple[str, str]:
    """The second one abstains in other words."""
    first = project.build()
    chain_file(project, abstention="Not in the new release.")
    return first, project.build()


def move(project: Project, release: str, channel: str = "staging", **options: Any) -> ChannelRecord:
    store = open_releases(project.settings, project.db)
    models = SharedModels(project.settings)
    return promote(
        project.settings,
        project.db,
        release,
        channel,
        actor=options.pop("actor", ANN),
        asker_of=lambda wanted: assemble_chain(store.manifest(wanted), project.db, project.service, models),
        **options,
    ).record


def force(project: Project, release: str, channel: str = "production", **options: Any) -> ChannelRecord:
    return move(project, release, channel, force=True, reason="No evidence yet.", **options)


def test_staging_takes_a_release_that_its_gate_lets_pass(project: Project) -> None:
    release = project.build()
    record = move(project, release, reason="First.")
    assert (record.release, record.version, record.forced) == (release, 1, False)
    (line,) = history(project.db, "staging", "docs")
    assert (line.actor, line.verified, line.reason, line.from_release) == ("ann", False, "First.", "")
    assert line.evidence[0]["verdict"] == "PASS"


def test_promoting_what_is_there_already_writes_no_history(project: Project) -> None:
    release = project.build()
    move(project, release)
    assert move(project, release).version == 1


def test_production_is_never_set_without_evidence(project: Project) -> None:
    release = project.build()
    with pytest.raises(Inconclusive, match="cannot judge"):
        move(project, release, "production")
    assert get_channel(project.db, "production", "docs").release is None
    assert history(project.db, "production", "docs") == []


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_force_needs_a_reason(project: Project, reason: str) -> None:
    with pytest.raises(UserError, match="--reason"):
        move(project, project.build(), "production", force=True, reason=reason)


@pytest.mark.parametrize("reason", ["\x1b[31mred", "x" * 2001, "a\u202eb"])
def test_a_reason_that_cannot_be_shown_is_refused(project: Project, reason: str) -> None:
    with pytest.raises(UserError, match="printable"):
        move(project, project.build(), reason=reason)


def test_a_forced_move_is_marked_everywhere(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    release = project.build()
    assert force(project, release).forced
    arguments = ["--project", str(project.folder)]
    for command in (["release", "history", "production"], ["release", "list"], ["release", "show", release]):
        assert cli.run([*arguments, *command]) == 0
        assert "forced" in capsys.readouterr().out.lower()


def test_force_past_a_gate_that_agrees_is_not_forced(project: Project) -> None:
    assert not move(project, project.build(), force=True, reason="To be sure.").forced


def test_a_channel_without_a_gate_is_never_set(project: Project) -> None:
    with pytest.raises(NotFound, match=r"evals/gates/canary\.yaml"):
        force(project, project.build(), "canary")
    with pytest.raises(UserError, match="name of a channel"):
        force(project, project.build(), "../staging")


def test_a_channel_of_ones_own_takes_a_gate_file(project: Project) -> None:
    gates = project.folder / "evals" / "gates"
    gates.mkdir(parents=True)
    (gates / "canary.yaml").write_text("channel: canary\nrules: [{rule: verify}]\n")
    release = project.build()
    assert move(project, release, "canary").release == release


def test_a_release_with_something_missing_does_not_pass(project: Project) -> None:
    release = project.build()
    for path in project.settings.models_path.glob("words-*/model"):
        path.write_bytes(b"other")
    with pytest.raises(GateFailed, match="words"):
        move(project, release)
    assert get_channel(project.db, "staging", "docs").release is None


def test_of_two_promotions_at_once_one_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_releases(project)
    judge = gate.judge

    async def in_thread(*arguments: Any) -> Any:
        monkeypatch.setattr(gate, "judge", judge)
        await asyncio.to_thread(move, project, second, actor=BOB)
        return await judge(*arguments)

    monkeypatch.setattr(gate, "judge", in_thread)
    with pytest.raises(Conflict, match="bob moved it"):
        move(project, first)
    assert get_channel(project.db, "staging", "docs").release == second


def test_rolling_back_twice_goes_back_twice_and_never_to_what_was_undone(project: Project) -> None:
    first, second = two_releases(project)
    chain_file(project, abstention="Third.")
    third = project.build()
    for release in (first, second, third):
        move(project, release)
    record = roll_back(project.settings, project.db, "staging", "docs", actor=BOB, reason="It was wrong.")
    assert record.release == second
    assert roll_back(project.settings, project.db, "staging", "docs", actor=BOB).release == first
    actions = [(line.action, line.actor) for line in history(project.db, "staging", "docs")]
    assert actions == [("rollback", "bob")] * 2 + [("promote", "ann")] * 3
    with pytest.raises(NotFound, match="--to RELEASE"):
        roll_back(project.settings, project.db, "staging", "docs", actor=BOB)
    assert roll_back(project.settings, project.db, "staging", "docs", actor=BOB, to=third).release == third
    with pytest.raises(UserError, match="already"):
        roll_back(project.settings, project.db, "staging", "docs", actor=BOB, to=third)


def test_rolling_back_during_a_rollout_asks_what_is_meant(project: Project) -> None:
    first, second = two_releases(project)
    chain_file(project, abstention="Third.")
    third = project.build()
    move(project, first)
    move(project, second)
    move(project, third, rollout=new_rollout("percent", third, share=10))
    with pytest.raises(UserError, match="release rollout staging --stop"):
        roll_back(project.settings, project.db, "staging", "docs", actor=BOB)
    record = roll_back(project.settings, project.db, "staging", "docs", actor=BOB, to=first)
    assert (record.release, record.rollout) == (first, None)


def test_a_way_back_is_not_barred_by_a_broken_provenance(project: Project) -> None:
    first, second = two_releases(project)
    move(project, first)
    move(project, second)
    with project.db.session() as session:
        session.execute(update(Release).where(Release.id == first).values(provenance={"body": []}))
    assert verify_release(project.settings, project.db, first)
    assert roll_back(project.settings, project.db, "staging", "docs", actor=ANN).release == first
    assert cli.run(["--project", str(project.folder), "release", "list"]) == 0


def test_rollback_with_the_index_gone_moves_nothing(project: Project) -> None:
    first, second = two_releases(project)
    move(project, first)
    move(project, second)
    project.service.close()
    shutil.rmtree(project.settings.state_dir / "index")
    with pytest.raises(NotFound, match="its index is gone"):
        roll_back(project.settings, project.db, "staging", "docs", actor=ANN)
    assert get_channel(project.db, "staging", "docs").release == second


def test_a_promotion_that_finds_nothing_to_do_looks_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_releases(project)
    move(project, first)
    judge = gate.judge

    async def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(gate, "judge", judge)
        await asyncio.to_thread(move, project, second, actor=BOB)
        return await judge(*arguments)

    monkeypatch.setattr(gate, "judge", meanwhile)
    with pytest.raises(Conflict, match="meanwhile"):
        move(project, first)


def test_a_snapshot_that_is_dropped_before_the_move_bars_it(project: Project) -> None:
    release = project.build()
    with project.db.session() as session:
        session.execute(delete(Pointer))
        session.execute(delete(Snapshot))
    with pytest.raises(NotFound, match="not here any more"):
        move_channel(project.db, Move("staging", "docs", "promote", release, 0, ANN))
    assert get_channel(project.db, "staging", "docs").release is None
    assert history(project.db, "staging", "docs") == []


def test_a_rollout_of_a_newer_version_is_told_and_not_guessed_at(project: Project) -> None:
    move(project, project.build())
    with project.db.session() as session:
        session.execute(update(Channel).values(rollout={"id": "x", "teleport": True}))
    with pytest.raises(Corrupt, match="staging of docs"):
        get_channel(project.db, "staging", "docs")


def test_releases_made_for_a_comparison_are_not_listed_until_they_are_built(project: Project) -> None:
    store = open_releases(project.settings, project.db)
    manifest = build_manifest(project.settings, project.db, project.service.embedder, "docs")
    keep_release(project.settings, project.db, manifest, BOB, purpose="comparison")
    assert store.list() == []
    assert [record.purpose for record in store.list(all_of_them=True)] == ["comparison"]
    assert project.build() == manifest.id
    (record,) = store.list()
    assert record.provenance["body"]["builder"] == "ann"


@pytest.mark.parametrize(
    "arguments",
    [
        ["release", "promote", "", "staging"],
        ["release", "rollback", "staging", "--to", ""],
        ["release", "build", "--chain", ""],
        ["release", "build", "--snapshot", ""],
        ["release", "verify", ""],
        ["release", "diff", "", "staging"],
        ["release", "history", "nope"],
        ["release", "history", "staging", "--chain", "nope"],
        ["release", "promote", "staging", "production", "--sample", "5", "--force", "--reason", "x"],
    ],
)
def test_an_empty_or_unknown_name_is_never_a_default(
    project: Project, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = two_releases(project)
    move(project, first)
    move(project, second)
    assert cli.run(["--project", str(project.folder), *arguments]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert get_channel(project.db, "staging", "docs").release == second
    assert get_channel(project.db, "production", "docs").release is None


def test_a_refusal_in_json_carries_the_report(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.service.close()
    release = project.build()
    assert cli.run(["--project", str(project.folder), "release", "promote", release, "production", "--json"]) in (1, 3)
    body = json.loads(capsys.readouterr().out)
    assert body["moved"] is False
    assert body["gate"]["verdict"] != "PASS"


def test_rolling_back_to_what_was_never_there_is_refused(project: Project) -> None:
    first, second = two_releases(project)
    with pytest.raises(NotFound, match="never set"):
        roll_back(project.settings, project.db, "staging", "docs", actor=ANN)
    move(project, first)
    with pytest.raises(NotFound, match="never pointed at another release before"):
        roll_back(project.settings, project.db, "staging", "docs", actor=ANN)
    with pytest.raises(NotFound, match="takes a promotion"):
        roll_back(project.settings, project.db, "staging", "docs", actor=ANN, to=second)


def test_rolling_back_to_a_forced_release_is_still_marked(project: Project) -> None:
    first, second = two_releases(project)
    force(project, first)
    force(project, second)
    assert roll_back(project.settings, project.db, "production", "docs", actor=ANN).forced


def test_rollback_with_objects_deleted_says_so_and_moves_nothing(project: Project) -> None:
    first, second = two_releases(project)
    move(project, first)
    move(project, second)
    (project.settings.state_dir / "objects" / first[:2] / first[2:]).unlink()
    with pytest.raises(NotFound, match=f"Release {first[:12]} cannot answer here, so staging stays"):
        roll_back(project.settings, project.db, "staging", "docs", actor=ANN)
    record = get_channel(project.db, "staging", "docs")
    assert (record.release, record.version) == (second, 2)


def test_a_rollout_needs_a_current_release_and_another_one(project: Project) -> None:
    first, second = two_releases(project)
    with pytest.raises(UserError, match="points at nothing yet"):
        move(project, first, rollout=new_rollout("percent", first, share=10))
    move(project, first)
    with pytest.raises(UserError, match="already"):
        move(project, first, rollout=new_rollout("percent", first, share=10))
    record = move(project, second, rollout=new_rollout("percent", second, share=10))
    assert record.release == first
    assert record.rollout
    assert record.rollout.release == second
    record = stop_rollout(project.db, "staging", "docs", actor=BOB, reason="Enough.")
    assert (record.release, record.rollout) == (first, None)
    with pytest.raises(NotFound, match="no rollout"):
        stop_rollout(project.db, "staging", "docs", actor=BOB, reason="")


def test_a_forced_rollout_is_marked_and_what_it_runs_beside_is_not(project: Project) -> None:
    first, second = two_releases(project)
    force(project, first)
    move(project, first, "staging")
    gates = project.folder / "evals" / "gates"
    gates.mkdir(parents=True)
    (gates / "staging.yaml").write_text("channel: staging\nrules: [{rule: evidence}]\n")
    rollout = new_rollout("percent", second, share=10)
    record = move(project, second, "staging", force=True, reason="Try.", rollout=rollout)
    assert not record.forced
    assert record.rollout
    assert record.rollout.forced


@pytest.fixture
def application(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    class NoModel:
        generator = None

    monkeypatch.setattr(SharedModels, "chat", lambda _self, _pinned: NoModel())
    first, second = two_releases(project)
    move(project, first)
    force(project, second)
    project.service.close()
    with acquire(project.settings.state_dir, "test") as owner:
        application = Application(project.settings, owner)
        application.start()
        assert wait_for(lambda: application.readiness().ready, 30), application.readiness()
        yield application
        application.close()


async def ask(application: Application, model: str, question: str = QUESTION, **options: Any) -> Answer:
    events = [event async for event in application.asker(model).ask(AskRequest(question, **options))]
    last = events[-1]
    assert isinstance(last, Finished)
    return last.answer


async def test_two_channels_answer_differently_side_by_side(application: Application, project: Project) -> None:
    staging, production = (get_channel(project.db, name, "docs").release for name in ("staging", "production"))
    assert staging != production
    for _ in range(3):
        old = await ask(application, "staging", "Quantum gravity?")
        new = await ask(application, "production", "Quantum gravity?")
        assert (old.text, old.release, old.channel, old.forced) == (
            "The documents do not answer this question.",
            staging,
            "staging",
            False,
        )
        assert (new.text, new.release, new.channel, new.forced) == (
            "Not in the new release.",
            production,
            "production",
            True,
        )
    assert (await ask(application, "", QUESTION)).channel == "production"
    readiness = application.readiness()
    assert (readiness.release, readiness.channel, readiness.forced) == (production, "production", True)


async def test_a_running_server_follows_a_move_at_once_and_a_request_under_way_stays(
    application: Application, project: Project
) -> None:
    staging = str(get_channel(project.db, "staging", "docs").release)
    production = str(get_channel(project.db, "production", "docs").release)
    under_way = application.asker("production").ask(AskRequest(QUESTION))
    first = await anext(under_way)
    move_channel(project.db, Move("production", "docs", "promote", staging, 1, ANN))
    assert (await ask(application, "production")).release == staging
    events = [first, *[event async for event in under_way]]
    assert isinstance(events[-1], Finished)
    assert events[-1].answer.release == production
    assert wait_for(lambda: application.readiness().release == staging, 2)


async def test_a_rollout_is_sticky_and_leaves_its_arm_in_the_trace(application: Application, project: Project) -> None:
    staging = str(get_channel(project.db, "staging", "docs").release)
    production = str(get_channel(project.db, "production", "docs").release)
    rollout = new_rollout("percent", production, share=50)
    move_channel(project.db, Move("staging", "docs", "rollout", staging, 1, ANN, rollout=rollout))
    seen: dict[str, str] = {}
    for number in range(20):
        key = f"user-{number}"
        answers = [await ask(application, "staging", conversation=key) for _ in range(2)]
        assert answers[0].release == answers[1].release
        trace = get_trace(project.db, answers[0].trace_id)
        assert trace.rollout == rollout.id
        seen[trace.arm] = answers[0].release
        assert answers[0].channel == "staging"
    assert seen == {"current": staging, "candidate": production}


async def test_a_shadow_answers_aside_and_is_never_shown(application: Application, project: Project) -> None:
    staging = str(get_channel(project.db, "staging", "docs").release)
    production = str(get_channel(project.db, "production", "docs").release)
    rollout = new_rollout("shadow", production, share=100, budget=3)
    move_channel(project.db, Move("staging", "docs", "rollout", staging, 1, ANN, rollout=rollout))
    answer = await ask(application, "staging", "Quantum gravity?")
    assert answer.release == staging

    def shadows() -> list[Any]:
        return [trace for trace in list_traces(project.db, limit=50) if trace.origin == "shadow"]

    for _ in range(100):
        if shadows():
            break
        await asyncio.sleep(0.02)
    (shadow,) = shadows()
    assert (shadow.release, shadow.shadow_of, shadow.answer) == (
        production,
        answer.trace_id,
        "Not in the new release.",
    )


async def test_evals_take_no_part_in_a_rollout(application: Application, project: Project) -> None:
    staging = str(get_channel(project.db, "staging", "docs").release)
    production = str(get_channel(project.db, "production", "docs").release)
    rollout = new_rollout("percent", production, share=99)
    move_channel(project.db, Move("staging", "docs", "rollout", staging, 1, ANN, rollout=rollout))
    for number in range(5):
        assert (await ask(application, "staging", origin="eval", conversation=str(number))).release == staging


async def test_a_candidate_that_cannot_answer_counts_and_users_are_answered_all_the_same(
    application: Application, project: Project
) -> None:
    staging = str(get_channel(project.db, "staging", "docs").release)
    gone = "f" * 64
    rollout = new_rollout("percent", gone, share=99)
    move_channel(project.db, Move("staging", "docs", "rollout", staging, 1, ANN, rollout=rollout))
    answers = [await ask(application, "staging", conversation=str(number)) for number in range(6)]
    assert {answer.release for answer in answers} == {staging}
    assert arm_figures(project.db, rollout.id)["candidate"].errors >= 5
    assert wait_for(lambda: get_channel(project.db, "staging", "docs").rollout is None, 10)
    assert "stopped itself" in history(project.db, "staging", "docs")[0].reason


async def test_a_channel_that_points_at_a_broken_release_fails_clearly(
    application: Application, project: Project
) -> None:
    release = str(get_channel(project.db, "staging", "docs").release)
    move_channel(project.db, Move("staging", "docs", "promote", "f" * 64, 1, ANN))
    with pytest.raises(LockgateError, match="manifest of release ffffffffffff is gone"):
        await ask(application, "staging")
    path = project.settings.state_dir / "objects" / release[:2] / release[2:]
    path.write_bytes(path.read_bytes() + b" ")
    move_channel(project.db, Move("staging", "docs", "promote", release, 2, ANN))
    application._opened().shelf._chains.clear()
    with pytest.raises(Corrupt, match="hash"):
        await ask(application, "staging")
    assert (await ask(application, "production")).channel == "production"


def test_a_broken_suite_makes_a_gate_inconclusive_and_does_not_bar_force(project: Project) -> None:
    suite = project.folder / "evals" / "suites" / "docs-smoke"
    suite.mkdir(parents=True)
    (suite / "suite.yaml").write_text("a: [")
    release = project.build()
    with pytest.raises(Inconclusive, match=r"suite\.yaml"):
        move(project, release)
    record = move(project, release, force=True, reason="The suite is broken.")
    assert (record.release, record.forced) == (release, True)


def test_a_database_that_is_away_is_no_verdict_on_a_release(project: Project) -> None:
    release = project.build()
    with project.db.session() as session:
        session.connection().exec_driver_sql("ALTER TABLE releases RENAME TO hidden")
    with pytest.raises(Unavailable):
        verify_release(project.settings, project.db, release)
