from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.comparing import bisect as module
from evals.comparing.bisect import Bisection, Observed, bisect
from evals.release_commands import app
from lockgate.errors import Inconclusive, NotFound, UserError
from lockgate.owner import acquire
from lockgate.release import Manifest
from lockgate.store.releases import open_releases
from lockgate.store.traces import list_traces
from tests.evals.projects import CASES, PAGES, Project
from tests.evals.test_parts import CHANGES, EVERYTHING, release
from tests.ingestion.fakes import quiet

GOOD, BAD = release(), release(**EVERYTHING)

Says = Callable[[Manifest], Observed]


def run(says: Says, good: Manifest = GOOD, bad: Manifest = BAD, *, by_score: bool = False) -> Bisection:
    async def ask(manifest: Manifest) -> Observed:
        return says(manifest)

    return asyncio.run(bisect(good, bad, ask, quiet, by_score=by_score))


def from_bad(manifest: Manifest) -> set[str]:
    """The parts that ``manifest`` has from the bad release."""
    return {name for name, changes in CHANGES.items() if _has(manifest, changes)}


def _has(manifest: Manifest, changes: dict[str, Any]) -> bool:
    value: Any = manifest.body()
    place, wanted = next(iter(changes.items()))
    if place == "model":
        return bool(value["model"]["name"] == wanted["name"])
    for key in place.split("__"):
        value = value.get(key) if isinstance(value, dict) else None
    return bool(value == wanted)


def said(manifest: Manifest, text: str) -> Observed:
    return Observed(manifest.id, text)


def culprits(found: Bisection) -> list[set[str]]:
    return [{part.name for part in parts} for parts in found.culprits]


@pytest.mark.parametrize("name", CHANGES)
def test_finds_the_one_part_that_makes_the_change(name: str) -> None:
    found = run(lambda manifest: said(manifest, "bad" if name in from_bad(manifest) else "good"))
    assert culprits(found) == [{name}]
    assert (
        found.verdict
        == f"{name[0].upper()}{name[1:]} alone makes the change; without it the case is as in the good release."
    )
    assert [each.like for each in found.alone].count("good") == len(CHANGES) - 1


@pytest.mark.parametrize("wanted", list(itertools.combinations(list(CHANGES)[::2], 3)))
def test_finds_the_smallest_set_where_no_part_alone_makes_the_change(wanted: tuple[str, ...]) -> None:
    found = run(lambda manifest: said(manifest, "bad" if from_bad(manifest).issuperset(wanted) else "good"))
    assert culprits(found) == [set(wanted)]
    assert found.without is not None
    assert found.without.like == "good"
    assert not found.gave_up
    assert "together" in found.verdict


def test_a_set_of_all_parts_is_found_as_such() -> None:
    found = run(lambda manifest: said(manifest, "bad" if len(from_bad(manifest)) == len(CHANGES) else "good"))
    assert culprits(found) == [set(CHANGES)]


def test_several_parts_that_each_make_the_change_are_all_named() -> None:
    found = run(lambda manifest: said(manifest, "bad" if from_bad(manifest) & {"policy", "mode"} else "good"))
    assert culprits(found) == [{"policy"}, {"mode"}]
    assert found.verdict == (
        "Each of these makes the change alone: policy, mode; without them the case is as in the good release."
    )


def test_says_so_when_the_change_stays_without_the_culprit() -> None:
    def says(manifest: Manifest) -> Observed:
        parts = from_bad(manifest)
        return said(manifest, "bad" if "policy" in parts or len(parts) > 5 else "good")

    found = run(says)
    assert culprits(found) == [{"policy"}]
    assert "without it the case is still as in the bad release" in found.verdict


def test_answers_like_neither_are_told_and_do_not_mislead_the_search() -> None:
    def says(manifest: Manifest) -> Observed:
        parts = from_bad(manifest) & {"snapshot", "relevance"}
        return said(manifest, {0: "good", 1: f"half {parts}", 2: "bad"}[len(parts)])

    found = run(says)
    assert culprits(found) == [{"snapshot", "relevance"}]
    assert {each.parts[0].name for each in found.alone if each.like == "neither"} == {"snapshot", "relevance"}


def test_mixtures_that_break_are_reported_as_broken() -> None:
    def says(manifest: Manifest) -> Observed:
        parts = from_bad(manifest)
        if "prompt answer" in parts and "mode" not in parts:
            return Observed(manifest.id, problem="no value for 'tone'")
        return said(manifest, "bad" if "prompt answer" in parts else "good")

    found = run(says)
    broken = next(each for each in found.alone if each.names == ("prompt answer",))
    assert broken.like == "broken"
    assert broken.as_json()["problem"] == "no value for 'tone'"
    assert culprits(found) == [{"prompt answer", "mode"}]


def test_releases_that_differ_in_names_only_have_nothing_to_look_for() -> None:
    found = run(lambda manifest: said(manifest, "x"), bad=release(chain__description="Other words."))
    assert found.outcome == "no difference"
    assert "do not differ" in found.verdict


def test_a_case_that_does_not_change_is_asked_twice_only() -> None:
    asked: list[str] = []

    def says(manifest: Manifest) -> Observed:
        asked.append(manifest.id)
        return said(manifest, "the same")

    assert run(says).outcome == "same"
    assert asked == [GOOD.id, BAD.id]


@pytest.mark.parametrize("kind", ["abstained", "refused"])
def test_the_same_text_as_an_abstention_or_a_refusal_is_a_change(kind: str) -> None:
    def says(manifest: Manifest) -> Observed:
        changed = "policy" in from_bad(manifest)
        return Observed(
            manifest.id, "No.", abstained=changed and kind == "abstained", refused=changed and kind == "refused"
        )

    assert culprits(run(says)) == [{"policy"}]


def test_scores_are_like_the_nearer_one() -> None:
    def says(manifest: Manifest) -> Observed:
        parts = from_bad(manifest)
        drop = 0.4 * ("model" in parts) + 0.1 * ("mode" in parts) + 0.3 * ("passages" in parts)
        return Observed(manifest.id, "text that varies" + manifest.id, score=1.0 - drop)

    found = run(says, by_score=True)  # 1.0 and 0.2: 0.6 lies in the middle
    likes = {each.parts[0].name: each.like for each in found.alone}
    assert (likes["model"], likes["mode"], likes["passages"]) == ("neither", "good", "good")
    assert culprits(found) == [{"model", "mode"}] or culprits(found) == [{"model", "passages"}]


@pytest.mark.parametrize("which", ["good", "bad"])
def test_a_release_that_does_not_answer_has_no_change_to_look_for(which: str) -> None:
    broken = {"good": GOOD, "bad": BAD}[which]
    with pytest.raises(UserError, match=f"The {which} release {broken.id[:12]} does not answer the case"):
        run(lambda m: Observed(m.id, "x", problem="gone" if m.id == broken.id else ""))


def test_a_model_that_answers_differently_each_time_blames_no_part() -> None:
    count = itertools.count()
    with pytest.raises(Inconclusive, match="differently each time"):
        run(lambda m: Observed(m.id, f"answer {next(count)}", mode="generative"))


def test_the_search_ends_after_so_many_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RUNS", len(CHANGES) + 2)
    wanted = {"prompt answer", "policy", "abstention text"}
    found = run(lambda m: said(m, "bad" if from_bad(m) >= wanted else "good"))
    assert found.gave_up
    assert culprits(found)[0] >= wanted
    assert "a smaller set may exist" in found.verdict
    assert found.as_json()["complete"] is False


# A whole project, through the command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    made.serve_fakes(monkeypatch)
    monkeypatch.setenv("LOCKGATE_USER", "grace")
    monkeypatch.setenv("COLUMNS", "160")
    made.sync()
    return made


def command(good: str, bad: str, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["bisect", "--good", good, "--bad", bad, *arguments], catch_exceptions=False)


THIRTY = {"keys.md": PAGES["keys.md"].replace("ninety", "thirty")}


def test_a_changed_page_is_found_as_the_snapshot(project: Project) -> None:
    good = project.build()
    project.write_chain(passages=5, retrieval={"candidates": 100})
    project.write_policy(output=[])
    project.sync(THIRTY)
    bad = project.build()
    result = command(good.id[:12], bad.id[:12], "--case", "rotate", "--json")
    body = json.loads(result.stdout)
    assert result.exit_code == 0
    assert body["culprits"] == [["snapshot"]]
    assert body["without"]["like"] == "good"
    assert {each["parts"][0]: each["like"] for each in body["alone"]} == {
        "snapshot": "bad", "policy": "good", "retrieval": "good", "passages": "good",
    }  # fmt: skip
    assert "thirty days" in body["bad"]["answer"]


def test_a_changed_policy_is_found(project: Project) -> None:
    good = project.build()
    project.write_policy(output=[{"check": "citations", "action": "redact"}, {"check": "links", "action": "redact"}])
    project.sync({"faq.md": "# Questions\n\nAsk in the forum.\n"})
    bad = project.build()
    body = json.loads(command(good.id, bad.id, "--case", "tiny/gate", "--json").stdout)
    assert body["culprits"] == [["policy"]]


def test_a_question_that_the_policy_refuses_is_a_change_of_the_policy(project: Project) -> None:
    good = project.build()
    refuse = {"check": "input_length", "action": "block", "max_characters": 5, "message": "Too long."}
    project.write_policy(input=[refuse])
    project.write_chain(passages=3)
    body = json.loads(command(good.id, project.build().id, "--case", "rotate", "--json").stdout)
    assert body["culprits"] == [["policy"]]
    assert body["bad"]["refused"] is True


def test_a_threshold_and_its_text_are_told_apart(project: Project) -> None:
    good = project.build()
    project.write_chain(relevance={"threshold": 0.99}, abstention="No idea.", passages=4)
    body = json.loads(command(good.id, project.build().id, "--case", "rotate", "--json").stdout)
    assert body["culprits"] == [["relevance", "abstention text"]]
    likes = {each["parts"][0]: each["like"] for each in body["alone"]}
    assert likes == {"relevance": "neither", "abstention text": "good", "passages": "good"}


def test_by_metric_the_threshold_alone_is_to_blame(project: Project) -> None:
    good = project.build()
    project.write_chain(relevance={"threshold": 0.99}, abstention="No idea.", passages=4)
    bad = project.build()
    body = json.loads(command(good.id, bad.id, "--case", "rotate", "--metric", "token_f1", "--json").stdout)
    assert body["culprits"] == [["relevance"]]
    assert body["bad"]["score"] == 0.0


def test_the_table_shows_each_part_and_ends_with_the_verdict(project: Project) -> None:
    good = project.build()
    project.write_chain(relevance={"threshold": 0.99}, abstention="No idea.", passages=4)
    result = command(good.id, project.build().id, "--case", "rotate")
    assert "threshold 0.41 -> 0.99" in result.stdout
    assert "like neither" in result.stdout
    assert "relevance + abstention text" in result.stdout
    assert result.stdout.rstrip().endswith(
        "Relevance and abstention text make the change together and none of them alone; "
        "without them the case is as in the good release."
    )
    assert "bisect: " in result.stderr


def test_mixed_releases_stay_and_say_who_made_them_and_why(project: Project) -> None:
    good = project.build()
    project.write_chain(passages=4)
    project.sync(THIRTY)
    bad = project.build()
    body = json.loads(command(good.id, bad.id, "--case", "rotate", "--json").stdout)
    with project.database() as db:
        store = open_releases(project.settings, db)
        mixed = store.find(next(each["release"] for each in body["alone"] if each["parts"] == ["snapshot"]))
        assert mixed.provenance["body"]["builder"] == f"grace (bisect of {good.id[:12]} and {bad.id[:12]})"
        assert store.manifest(mixed.id).snapshot == bad.snapshot
        assert store.find(bad.id).provenance["body"]["builder"] == "ada"
        assert {trace.origin for trace in list_traces(db)} == {"eval"}


def test_a_follow_up_is_asked_with_its_history(project: Project) -> None:
    good = project.build()
    project.sync(THIRTY)
    body = json.loads(command(good.id, project.build().id, "--case", "follow", "--json").stdout)
    assert body["culprits"] == [["snapshot"]]


def test_no_change_exits_with_one_and_says_so(project: Project) -> None:
    good = project.build()
    project.write_chain(passages=4)
    result = command(good.id, project.build().id, "--case", "rotate")
    assert result.exit_code == 1
    assert "The case does not change between the two releases." in result.stdout
    assert command(good.id, good.id, "--case", "rotate").exit_code == 1


def test_an_unknown_case_lists_those_like_it(project: Project) -> None:
    release_id = project.build().id
    with pytest.raises(NotFound, match="Did you mean: rotate"):
        command(release_id, release_id, "--case", "rotaet")
    with pytest.raises(NotFound, match=f"Did you mean: {CASES[0]['id']}, gate"):
        command(release_id, release_id, "--case", "\x1b[31m" + "z" * 500)
    with pytest.raises(NotFound, match="Suites there: safety, tiny"):
        command(release_id, release_id, "--case", "../../etc/passwd")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--case", "rotate", "--metric", "beauty"), "unknown metric"),
        (("--case", "moon", "--metric", "token_f1"), "the good release .* does not answer the case"),
    ],
)
def test_a_metric_that_does_not_speak_about_the_case_is_refused(
    project: Project, arguments: tuple[str, ...], error: str
) -> None:
    good = project.build()
    project.write_chain(passages=4)
    with pytest.raises(UserError, match=f"(?i){error}"):
        command(good.id, project.build().id, *arguments)


def test_an_unknown_release_is_not_found(project: Project) -> None:
    with pytest.raises(NotFound, match="There is no release abcdef123456"):
        command(project.build().id, "abcdef123456", "--case", "rotate")


def test_the_index_is_free_again_afterwards(project: Project) -> None:
    release_id = project.build().id
    command(release_id, release_id, "--case", "rotate")
    acquire(project.settings.state_dir, "next").release()
