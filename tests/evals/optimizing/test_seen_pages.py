"""What an example shows is not asked in the report: the passage of a dev case may answer a test case too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.case import Case
from evals.optimizing.example_pool import PoolExample, build_pool
from evals.suite import load_suite
from lockgate.errors import Conflict
from tests.evals.optimizing.test_optimize import Optimizing
from tests.evals.tuning.projects import BIRDS, TEAMS, UNKNOWN


def both_halves_of_each_page(pages_of_test_alone: int) -> list[dict[str, Any]]:
    """The owner is asked in dev and the port in test, of most pages. A port is too short to be found in a text."""
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(BIRDS):
        gold = {"pages": [f"{name}.md"], "answerable": True}
        owner = "test" if number < pages_of_test_alone else "dev"
        team = f"The {name} service is owned by the {TEAMS[number % len(TEAMS)]} team."
        port = {"question": f"Which port does the {name} service listen on?", "reference": f"Port {4100 + 7 * number}."}
        asked = {"question": f"Which team is the {name} service owned by?", "reference": team}
        rows += [
            {"id": f"{name}-port", "split": "test"} | port | gold,
            {"id": f"{name}-owner", "split": owner} | asked | gold,
        ]
    for number, word in enumerate(UNKNOWN):
        question = f"Why would somebody write about {word} tonight?"
        rows.append({"id": word, "question": question, "answerable": False, "split": "test" if number % 2 else "dev"})
    return rows


def test_the_winner_is_not_asked_about_pages_that_its_examples_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Optimizing(tmp_path, monkeypatch)
    work.project.write_cases(both_halves_of_each_page(4))
    found = work.run(budget=200, dry_run=True, metrics=("token_f1",))
    assert found.winner is not None and found.winner.recipe.dev and found.test is not None
    test = load_suite(work.project.folder, "services").select("test")
    before_and_asked = [
        ("\n".join(each.content for each in messages[:-1]), messages[-1].content.rpartition("Question: ")[2].strip())
        for messages in work.reader.asked
    ]
    told = [
        case.id
        for case in test
        for before, question in before_and_asked
        if question == case.question and case.answerable and f"The {case.id.split('-')[0]} service" in before
    ]
    assert told == []
    assert 0 < found.test.cases < found.test.of
    assert any("test cases are left out: the winner's examples show their pages" in note for note in found.notes)


def test_no_case_is_scored_about_a_page_that_an_example_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example without an answer shows passages of pages that other cases are about."""
    work = Optimizing(tmp_path, monkeypatch)
    work.project.write_cases(both_halves_of_each_page(4))
    dev = load_suite(work.project.folder, "services").select("dev")
    shown: list[str] = []
    raced: list[Case] = []

    def pool_that_shows_more(chosen: Sequence[Case], *others: Any) -> dict[str, PoolExample]:
        shown.append(next(case.pages[0] for case in dev if case.answerable and case not in chosen))
        return {
            name: replace(each, pages=each.pages | set(shown)) for name, each in build_pool(chosen, *others).items()
        }

    async def race(_plan: object, cases: list[Case], *_: object) -> None:
        raced.extend(cases)
        raise Conflict("enough")

    monkeypatch.setattr("evals.optimizing.optimize.build_pool", pool_that_shows_more)
    monkeypatch.setattr("evals.optimizing.optimize.race", race)
    with pytest.raises(Conflict, match="enough"):
        work.run(budget=100, dry_run=True)
    assert raced
    assert not set(shown) & {page for case in raced for page in case.pages}
