"""What a run will take, said before it begins: rows, model calls, and money where the suite gives prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evals.metrics.metric import Metric
from evals.metrics.performance import Prices
from evals.runs.measured_release import MeasuredRelease

PROMPT_FRAME = 400
"""Tokens that a prompt holds beside its passages, roughly: instructions, question, examples."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """``answers``, ``condensed`` and ``judge_calls`` are the most that can be needed; ``condensed`` are follow-ups that
    the model completes, and ``kept`` answers are expected from the cache."""

    rows: int
    done: int
    answers: int
    kept: int
    judge_calls: int
    condensed: int = 0
    cost: float | None = None
    currency: str = ""

    @property
    def calls(self) -> int:
        return self.answers + self.condensed + self.judge_calls

    def lines(self, budget: int | None) -> Iterator[str]:
        """In words, for people."""
        resumed = f", {self.done} of them done already" if self.done else ""
        calls = [f"at most {self.answers} answers by the model"] if self.answers else ["no answer by a model"]
        if self.condensed:
            calls.append(f"at most {self.condensed} follow-ups completed by the model")
        if self.kept:
            calls.append(f"{self.kept} answers from the cache")
        calls.append(f"at most {self.judge_calls} judge calls" if self.judge_calls else "no judge call")
        yield f"{self.rows} rows{resumed}: {', '.join(calls)}."
        if self.answers:
            money = "unknown, the suite gives no prices" if self.cost is None else f"at most {self.cost:.4g}"
            yield f"Cost of the answers: {f'{money} {self.currency}'.strip()}."
        if budget is not None and budget < self.calls:
            yield f"The budget of {budget} calls may end the run before that; it can be resumed."


def estimate(
    measured: MeasuredRelease,
    metrics: Sequence[Metric],
    *,
    rows: int,
    done: int,
    generative: bool,
    kept: int,
    condensed: int = 0,
) -> Estimate:
    """``kept`` is how many of the missing answers the cache has; ``condensed`` is how many of the others take a call
    more, to complete the question. Judged rows are all counted as asked."""
    missing = rows - done
    answers = max(0, missing - kept) if generative else 0
    prices = next((each.parameters for each in metrics if isinstance(each.parameters, Prices)), None)
    most = (measured.prompt_tokens + PROMPT_FRAME) * answers, measured.completion_tokens * answers
    return Estimate(
        rows=rows,
        done=done,
        answers=answers,
        kept=min(kept, missing) if generative else 0,
        judge_calls=missing * sum(metric.calls for metric in metrics),
        condensed=condensed,
        cost=prices.of(*most) if prices else None,
        currency=prices.currency if prices else "",
    )
