"""Releases that are bad on purpose: each is refused, for the right reason, and the good one is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import evals
from evals.gate import SHIPPED
from lockgate.errors import GateFailed, Inconclusive
from tests.evals import judged
from tests.evals.gated import GatedProject, ReadingGenerator, open_gated
from tests.evals.judge_server import run_judge
from tests.evals.planted import GATE, PLANTED, Planted, against, another


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatedProject, str]]:
    """The project, and the good release, which is measured and in production."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lockgate.models.generator.load_generator", lambda _settings, _entry: ReadingGenerator())
        with open_gated(tmp_path_factory.mktemp("gated")) as project:
            good = project.build()
            project.measure(good)
            project.put_in_production(good)
            yield project, good


@pytest.fixture
def good(opened: tuple[GatedProject, str]) -> str:
    return opened[1]


@pytest.fixture
def project(opened: tuple[GatedProject, str]) -> Iterator[GatedProject]:
    """As it was when the good release was built, before each test."""
    project = opened[0]
    yield project
    for folder in ("prompts/library", "guardrails/policies"):
        for file in (project.folder / folder).glob("*"):
            file.unlink()
    project.write_chain()
    project.write_suite()
    project.sync({})


def test_the_good_release_passes_and_so_does_one_that_answers_the_same(project: GatedProject, good: str) -> None:
    report = project.judge(good, GATE)
    assert report.verdict == "PASS", "\n".join(report.lines())
    same = another(project)
    project.measure(same)
    assert project.judge(same, GATE).verdict == "PASS"


def test_a_release_passes_that_a_calibrated_judge_scores_well(project: GatedProject) -> None:
    judged.write_judged_suite(project)
    release = another(project)
    with run_judge(judged.honestly) as stub:
        judged.calibrate_judge(project, stub)
        judged.measure_judged(project, stub, release)
    report = project.judge(release, judged.GATE)
    assert report.verdict == "PASS", "\n".join(report.lines())


def test_there_are_thirty_and_each_has_its_own_name() -> None:
    assert len({each.name for each in PLANTED}) == len({each.how for each in PLANTED}) == len(PLANTED) >= 30


@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: each.name)
def test_a_bad_release_is_refused_for_the_right_reason(
    project: GatedProject, monkeypatch: pytest.MonkeyPatch, planted: Planted
) -> None:
    release = planted.plant(project, monkeypatch)
    report = project.judge(release, planted.gate)
    shown = "\n".join(report.lines())
    assert report.verdict in ([planted.verdict] if planted.verdict else ["FAIL", "INCONCLUSIVE"]), shown
    found = [(reason, resolve) for name, _, reason, resolve in against(report) if name == planted.check]
    assert any(planted.reason in reason for reason, _ in found), shown
    assert all(resolve for _, resolve in found), shown
    with pytest.raises(GateFailed if report.verdict == "FAIL" else Inconclusive):
        report.require_pass()
    sys.stdout.write(f"{report.verdict:<12}  {planted.name}: {found[0][0]}\n")


def _shipped_gate() -> str:
    """The production gate for the suite of these tests, which has no token recall."""
    text = (SHIPPED / "production.yaml").read_text(encoding="utf-8")
    return text.replace("suite: docs-smoke", "suite: services").replace("      token_recall: 0.2\n", "")


def test_the_release_that_ships_to_be_refused_is_refused(project: GatedProject) -> None:
    text = (Path(evals.__file__).parent / "refused" / "docs.yaml").read_text(encoding="utf-8")
    project.write_text("chains/definitions/docs.yaml", text.replace("suite: docs-smoke", "suite: services"))
    release = project.build()
    project.measure(release)
    report = project.judge(release, _shipped_gate())
    shown = "\n".join(report.lines())
    assert report.verdict == "FAIL", shown
    found = {name: reason for name, _, reason, _ in against(report)}
    assert "It answered none of the" in found["verify"], shown
    assert "it is worse" in found["token_f1 drop"], shown
