from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evals.judge.server import JudgeFailed
from evals.metrics.catalogue import resolve_metric
from evals.metrics.judged import rubrics_of
from evals.metrics.metric import Tools
from evals.metrics.score import NotApplicable, Unscored
from lockgate.types import Message
from tests.evals.outcomes import answered, failed, make_answer, make_case

RUBRIC = """---
name: tone
description: Whether the tone is right.
---
""" + "".join(f"## {level}\nLevel {level}.\n" for level in range(1, 6))


@dataclass
class Prompts:
    project_dir: Path = Path()

    def messages(self, name: str, values: dict[str, Any], **plain: object) -> list[Message]:
        return [Message("user", name)]


@dataclass
class ScriptedJudge:
    """Replies by prompt, or fails."""

    replies: dict[str, Any]
    prompts: Prompts = field(default_factory=Prompts)
    asked: list[str] = field(default_factory=list)

    async def ask(self, prompt: list[Message], schema: Any, *, purpose: str) -> Any:
        name = prompt[0].content
        self.asked.append(name)
        reply = self.replies[name]
        if isinstance(reply, Exception):
            raise reply
        return schema.model_validate(reply)


def tools(judge: ScriptedJudge) -> Tools:
    return Tools(judge=judge)


LEVEL = {"reason": "so", "level": 4}


async def test_a_judged_metric_is_named_in_a_suite_like_any_other() -> None:
    found = resolve_metric("answer_relevance")
    assert (found.tier, found.needs, found.group, found.calls) == ("judged", ("judge",), "judged", 1)
    judge = ScriptedJudge({"judge-answer-relevance": LEVEL})
    assert await found.measure(answered("Port 8000."), tools(judge)) == 0.75


async def test_what_the_judge_does_not_give_is_unscored() -> None:
    judge = ScriptedJudge({"judge-answer-relevance": JudgeFailed("prose")})
    got = await resolve_metric("answer_relevance").measure(answered("Port 8000."), tools(judge))
    assert isinstance(got, Unscored)
    assert "prose" in got.reason


async def test_a_case_that_failed_abstained_or_was_refused_asks_no_judge() -> None:
    judge = ScriptedJudge({})
    metric = resolve_metric("faithfulness")
    assert await metric.measure(failed(), tools(judge)) == Unscored("model gone")
    assert isinstance(await metric.measure(failed(answer_code="policy_refused"), tools(judge)), NotApplicable)
    abstained = answered("", answer=make_answer("No.", abstained=True))
    assert isinstance(await metric.measure(abstained, tools(judge)), NotApplicable)
    assert await metric.measure(answered("x"), Tools()) == Unscored("faithfulness needs a judge")
    assert judge.asked == []


async def test_a_rubric_is_a_metric_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "evals" / "rubrics"
    folder.mkdir(parents=True)
    (folder / "tone.md").write_text(RUBRIC)
    judge = ScriptedJudge({"judge-rubric": LEVEL}, Prompts(tmp_path))
    metric = resolve_metric("rubric:tone")
    assert rubrics_of([metric, resolve_metric("mrr")]) == ["tone"]
    assert await metric.measure(answered("Port 8000."), tools(judge)) == 0.75
    gone = await resolve_metric("rubric:gone").measure(answered("x", case=make_case()), tools(judge))
    assert isinstance(gone, Unscored)
    assert "no rubric 'gone'" in gone.reason


@pytest.mark.parametrize("name", ["rubric:", "rubric:../x", "rubric:Tone", "rubric:tone[k=1]", "rubric:" + "x" * 65])
def test_what_cannot_be_a_rubric_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"rubric|cannot read"):
        resolve_metric(name)
