"""Which checks of a policy do their work now, and what it means when one does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from guardrails.check import STAGES, OnError, Stage
from guardrails.guard import Guard


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """One check of a policy. ``problem`` is "" while it works; ``on_error`` is what happens to what it should see while
    it does not."""

    stage: Stage
    check: str
    problem: str
    on_error: OnError
    dry_run: bool

    @property
    def closes(self) -> bool:
        """Whether nothing gets past it now."""
        return bool(self.problem) and self.on_error == "block" and not self.dry_run

    def in_words(self) -> str:
        """One sentence about one that does not work."""
        if self.closes:
            what = {"input": "every question", "output": "every answer", "tool_call": "every tool call"}
            then = f"{what.get(self.stage, 'every text of that stage')} is blocked"
        else:
            then = "what it should see is flagged" if self.on_error == "flag" else "what it should see passes"
            if self.dry_run:
                then = "nothing follows from it in a dry run"
        return (
            f"The check {self.check} at the stage {self.stage} does not work, so {then}: {self.problem.rstrip('. ')}."
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "check": self.check,
            "ok": not self.problem,
            "problem": self.problem,
            "on_error": self.on_error,
        }


def check_health(guard: Guard, channel: str = "") -> tuple[CheckHealth, ...]:
    """Every check of the policy, as it is for ``channel``."""
    problems = guard.health()
    policy = guard.policy.view(channel)
    return tuple(
        CheckHealth(
            stage,
            each.check,
            problems.get(f"{stage} {each.check}", ""),
            policy.on_error(each, stage),
            policy.dry_run,
        )
        for stage in STAGES
        for each in policy.checks(stage)
    )
