"""Judged metrics: their numbers with an honest judge, and none at all with a broken one."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.case import Case, Outcome
from evals.judge.book import PromptBook
from evals.judge.metrics import (
    JUDGED_METRICS,
    average_precision,
    preference,
    rubric_metric,
    share_covered,
)
from evals.judge.rubric import find_rubric
from evals.judge.sample import JudgedPair, JudgedSample, sample_of
from evals.judge.server import JudgeFailed
from evals.metrics.score import NotApplicable, Unscored
from evals.runs.budget import BudgetSpent
from lockgate.errors import LockgateError, NotFound, UserError
from tests.evals.conftest import make_answer
from tests.evals.judges import FakeJudge, data_in, honest

PASSAGES = ("Keys are rotated every 90 days.", "Nothing to see.", "The console shows every key.")
SAMPLE = JudgedSample(
    "How often are keys rotated?",
    "Keys are rotated every 90 days [1]. The moon is made of cheese.",
    PASSAGES,
    "Keys are rotated every 90 days.",
)
NAMES = tuple(JUDGED_METRICS)


async def score(name: str, sample: JudgedSample = SAMPLE, judge: FakeJudge | None = None) -> object:
    return await JUDGED_METRICS[name].score(sample, judge or FakeJudge(honest))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("faithfulness", 0.5),
        ("answer_relevance", 1.0),
        ("context_precision", 1.0),
        ("context_recall", 1.0),
        ("correctness", 2 / 3),
    ],
)
async def test_the_number_of_an_honest_judge(name: str, wanted: float) -> None:
    assert await score(name) == pytest.approx(wanted)


@pytest.mark.parametrize("name", NAMES)
async def test_no_metric_asks_more_often_than_it_says(name: str) -> None:
    judge = FakeJudge(honest)
    await score(name, judge=judge)
    assert 0 < len(judge.asked) <= JUDGED_METRICS[name].calls


@pytest.mark.parametrize(
    ("relevant", "wanted"),
    [
        ([], 0.0),
        ([False, False], 0.0),
        ([True], 1.0),
        ([False, True], 0.5),
        ([True, False, True], (1 + 2 / 3) / 2),
        ([False, False, True, True], (1 / 3 + 2 / 4) / 2),
    ],
)
def test_average_precision(relevant: list[bool], wanted: float) -> None:
    assert average_precision(relevant) == pytest.approx(wanted)


@given(st.lists(st.booleans(), max_size=12))
def test_moving_a_relevant_passage_up_never_lowers_average_precision(relevant: list[bool]) -> None:
    for place in range(1, len(relevant)):
        if relevant[place] and not relevant[place - 1]:
            moved = [*relevant]
            moved[place - 1], moved[place] = True, False
            assert average_precision(moved) >= average_precision(relevant)


async def test_the_passages_of_context_precision_are_judged_at_once() -> None:
    running = peak = 0

    class Slow(FakeJudge):
        async def ask(self, *args: Any, **options: Any) -> Any:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0.01)
            running -= 1
            return await super().ask(*args, **options)

    assert await score("context_precision", judge=Slow(honest)) == 1.0
    assert peak == 3


BROKEN: dict[str, Any] = {
    "prose": "I think it is fine.",
    "half JSON": '{"claims": ["Keys are',
    "wrong range": {"reason": "r", "level": 7},
    "nothing": "",
    "an empty object": {},
    "a bare number": "1.0",
    "no claims": {"claims": []},
    "blank claims": {"claims": [" "]},
    "other verdicts": {"verdicts": [{"claim": 5, "reason": "r", "supported": True}]},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
async def test_a_broken_judge_leaves_every_metric_unscored(name: str, reply: Any) -> None:
    assert isinstance(await score(name, judge=FakeJudge(lambda _p, _t: reply)), Unscored)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("broken_call", [1, 2, 3, 4])
async def test_one_failed_call_among_several_leaves_the_sample_unscored(name: str, broken_call: int) -> None:
    calls = 0

    def script(purpose: str, told: str) -> Any:
        nonlocal calls
        calls += 1
        if calls == broken_call:
            raise JudgeFailed("500s for a minute")
        return honest(purpose, told)

    value = await score(name, judge=FakeJudge(script))
    assert isinstance(value, Unscored) == (calls >= broken_call)
    if isinstance(value, Unscored):
        assert "500s for a minute" in value.reason


@pytest.mark.parametrize("name", NAMES)
async def test_a_spent_budget_stops_the_run_instead_of_the_row(name: str) -> None:
    def script(_purpose: str, _told: str) -> Any:
        raise BudgetSpent("spent")

    with pytest.raises(BudgetSpent):
        await score(name, judge=FakeJudge(script))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
async def test_a_random_judge_gives_a_number_on_the_scale_or_none(name: str, seed: int) -> None:
    chance = random.Random(seed)

    def script(purpose: str, told: str) -> Any:
        reply: Any = honest(purpose, told)
        if purpose == "verify":
            for verdict in reply["verdicts"]:
                verdict["supported"] = chance.random() < 0.5
        elif purpose == "context_precision":
            reply = {"reason": "r", "relevant": chance.random() < 0.5}
        elif purpose != "claims":
            reply = {"reason": "r", "level": chance.randint(-2, 9)}
        return reply

    value = await score(name, judge=FakeJudge(script))
    assert isinstance(value, Unscored) or 0.0 <= float(value) <= 1.0  # type: ignore[arg-type]


async def test_a_judge_that_lists_only_what_is_harmless_is_found_out() -> None:
    def script(purpose: str, told: str) -> Any:
        return {"claims": ["Keys exist."]} if purpose == "claims" else honest(purpose, told)

    value = await score("faithfulness", judge=FakeJudge(script))
    assert isinstance(value, Unscored)
    assert "left most of it out" in value.reason


def test_claims_in_other_words_still_cover_a_text() -> None:
    text = "Keys are rotated every 90 days, and the console lists them."
    assert (
        share_covered(text, ["A key rotation takes place each 90 days.", "Listing keys is done by the console."]) > 0.6
    )


@pytest.mark.parametrize(
    ("name", "sample", "kind"),
    [
        ("faithfulness", JudgedSample("q", "", ("p",)), Unscored),
        ("faithfulness", JudgedSample("q", " \n", ("p",)), Unscored),
        ("faithfulness", JudgedSample("q", "A claim.", None), Unscored),
        ("faithfulness", JudgedSample("q", "Not in the documents.", ("p",), abstained=True), NotApplicable),
        ("correctness", JudgedSample("q", "A claim.", ("p",)), NotApplicable),
        ("context_recall", JudgedSample("q", "A claim.", ("p",), "  "), NotApplicable),
        ("answer_relevance", JudgedSample("q", "word " * 10_000, ("p",)), Unscored),
    ],
)
async def test_what_cannot_be_judged_is_not_asked_about(name: str, sample: JudgedSample, kind: type) -> None:
    judge = FakeJudge(honest)
    assert isinstance(await score(name, sample, judge), kind)
    assert judge.asked == []


async def test_an_answer_without_passages_is_not_faithful() -> None:
    judge = FakeJudge(honest)
    assert await score("faithfulness", JudgedSample("q", "A claim.", ()), judge) == 0.0
    assert judge.asked == []


async def test_passages_too_large_for_the_prompt_leave_the_sample_unscored() -> None:
    value = await score("faithfulness", JudgedSample("q", "A claim about keys.", ("key " * 60_000,) * 3))
    assert isinstance(value, Unscored)


async def test_citation_markers_are_not_judged() -> None:
    judge = FakeJudge(honest)
    await score("faithfulness", judge=judge)
    assert all("[1]" not in text for _, told in judge.asked for text in data_in(told))


def test_a_sample_is_made_of_an_outcome_or_says_why_not() -> None:
    case = Case(id="a", question="Q?", reference="R.", pages=("p.md",), answerable=True, split="dev")
    answered = Outcome(case, ("p.md",), make_answer("A [1].", ["p.md"], question="Q, in full?"), passages=("P",))
    assert sample_of(answered) == JudgedSample("Q, in full?", "A [1].", ("P",), "R.")
    assert sample_of(Outcome(case, None, None, answer_error="timed out")) == Unscored("timed out")
    assert isinstance(sample_of(Outcome(case, None, None, answer_code="policy_refused")), NotApplicable)


RUBRIC = """\
---
name: tone
description: How polite the answer is.
shows: [{shows}]
---

Politeness, and nothing else.

## 1
Rude.
## 2
Curt.
## 3
Neutral.
## 4
Friendly.
## 5: best
Kind.
"""


def write_rubric(project: Path, text: str, name: str = "tone") -> Path:
    folder = project / "evals" / "rubrics"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    return project


async def test_a_rubric_gives_its_level_on_the_scale(tmp_path: Path) -> None:
    rubric = find_rubric(write_rubric(tmp_path, RUBRIC.replace("{shows}", "passages")), "tone")
    judge = FakeJudge(lambda _p, _t: {"reason": "r", "level": 2}, PromptBook(tmp_path))
    judge.prompts.register(rubric.key, rubric.hash)
    assert await rubric_metric(rubric).score(SAMPLE, judge) == 0.25
    ((_, told),) = judge.asked
    assert "Politeness, and nothing else." in told
    assert PASSAGES[2] in told
    assert judge.identity.narrowed(rubric_metric(rubric).prompts).prompt_hashes["rubric:tone"] == rubric.hash


async def test_a_rubric_shows_only_what_it_says(tmp_path: Path) -> None:
    rubric = find_rubric(write_rubric(tmp_path, RUBRIC.replace("{shows}", "")), "tone")
    judge = FakeJudge(lambda _p, _t: {"reason": "r", "level": 5})
    assert await rubric_metric(rubric).score(JudgedSample("q", "A.", None), judge) == 1.0
    shown = find_rubric(write_rubric(tmp_path, RUBRIC.replace("{shows}", "reference")), "tone")
    assert isinstance(await rubric_metric(shown).score(JudgedSample("q", "A."), judge), NotApplicable)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("## 3\nNeutral.\n", "", "level 3 has no text"),
        ("Neutral.\n", "", "level 3 has no text"),
        ("## 3", "## 2", r"tone\.md:13: level 2 is given twice"),
        ("## 3", "## three", r"tone\.md:13: a heading"),
        ("name: tone", "name: other", "not the name of the file"),
        ("shows: [{shows}]", "shows: [everything]", r"tone\.md:4"),
        ("shows: [{shows}]", "colour: red", "unknown key 'colour'"),
        ("---\nname", "name", "front matter"),
    ],
)
def test_a_broken_rubric_names_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    project = write_rubric(tmp_path, RUBRIC.replace(old, new).replace("{shows}", ""))
    with pytest.raises(UserError, match=message):
        find_rubric(project, "tone")


@pytest.mark.parametrize("name", ["gone", "../tone", "", "TONE", "a/b"])
def test_an_unknown_rubric_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound, match="tone"):
        find_rubric(write_rubric(tmp_path, RUBRIC), name)


RIGHT, WRONG = "Every 90 days.", "Once a year."


@pytest.mark.parametrize(
    ("new", "old", "wanted"), [(RIGHT, WRONG, 1.0), (WRONG, RIGHT, 0.0), (RIGHT, RIGHT, 0.5), (WRONG, WRONG, 0.5)]
)
async def test_preference_asks_both_orders(new: str, old: str, wanted: float) -> None:
    judge = FakeJudge(honest)
    assert await preference(JudgedPair("How often?", new, old, RIGHT), judge) == wanted
    assert len(judge.asked) == 2


@pytest.mark.parametrize("always", ["first", "second", "tie"])
async def test_a_judge_that_likes_a_place_makes_a_tie(always: str) -> None:
    judge = FakeJudge(lambda _p, _t: {"reason": "r", "better": always})
    assert await preference(JudgedPair("How often?", RIGHT, WRONG), judge) == 0.5


async def test_preference_is_unscored_without_an_answer_or_a_judge() -> None:
    assert isinstance(await preference(JudgedPair("q", "", "a"), FakeJudge(honest)), Unscored)
    assert isinstance(await preference(JudgedPair("q", "b", "a"), FakeJudge(lambda _p, _t: "?")), Unscored)


async def test_a_project_s_own_judge_prompt_is_used(tmp_path: Path) -> None:
    library = tmp_path / "prompts" / "library"
    library.mkdir(parents=True)
    shipped = (Path(__file__).parents[2] / "prompts" / "library" / "judge-claims.md").read_text()
    (library / "judge-claims.md").write_text(
        shipped.replace("You split a text", "As our lawyers want it, split a text")
    )
    judge = FakeJudge(honest, PromptBook(tmp_path))
    await score("faithfulness", judge=judge)
    assert "As our lawyers want it" in judge.asked[0][1]


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_says_what_it_is(name: str) -> None:
    metric = JUDGED_METRICS[name]
    assert "Source:" in (metric.function.__doc__ or "")
    assert "Scale 0 to 1" in (metric.function.__doc__ or "")
    assert set(metric.prompts) <= PromptBook(Path()).hashes.keys()


def test_a_failed_judge_is_one_of_ours() -> None:
    assert isinstance(JudgeFailed("x"), LockgateError)
    assert JudgeFailed("x").reason == "x"
