"""What an answer took: time, tokens and money. Lower is better, and nothing known is never 0."""

from __future__ import annotations

from pydantic import Field

from evals.case import Outcome
from evals.metrics.metric import MetricParameters, Tools, metric
from evals.metrics.score import Score, Unscored
from lockgate.types import Usage

LONGEST = 3600.0
MOST_TOKENS = 10_000_000.0
DEAREST = 1_000_000.0


def _usage(outcome: Outcome) -> Usage | Unscored:
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    usage = outcome.answer.usage
    # Not even the question was counted: whoever answered does not count.
    return usage if usage.prompt_tokens or usage.completion_tokens else Unscored("no tokens were counted")


@metric("latency_seconds", "performance", scale=(0.0, LONGEST), direction="lower")
def latency_seconds(outcome: Outcome, _tools: Tools) -> Score:
    """Seconds until the whole answer was there, waiting for a full server left out.

    An answer out of the cache keeps the time that it took when it was made. Source: the clock.
    """
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    return outcome.milliseconds / 1000 if outcome.milliseconds is not None else Unscored("nobody took the time")


@metric("prompt_tokens", "performance", scale=(0.0, MOST_TOKENS), direction="lower")
def prompt_tokens(outcome: Outcome, _tools: Tools) -> Score:
    """Tokens that went into the answer, as the chain counts them."""
    usage = _usage(outcome)
    return usage if isinstance(usage, Unscored) else float(usage.prompt_tokens)


@metric("completion_tokens", "performance", scale=(0.0, MOST_TOKENS), direction="lower")
def completion_tokens(outcome: Outcome, _tools: Tools) -> Score:
    """Tokens of the answer, as the chain counts them."""
    usage = _usage(outcome)
    return usage if isinstance(usage, Unscored) else float(usage.completion_tokens)


class Prices(MetricParameters):
    """Prices of a million tokens, in any one currency. Without both there is no cost."""

    prompt_price: float | None = Field(default=None, ge=0)
    completion_price: float | None = Field(default=None, ge=0)
    currency: str = Field(default="", pattern=r"^[A-Z]{0,3}$")

    def of(self, prompt_tokens: float, completion_tokens: float) -> float | None:
        """What so many tokens cost, None without prices."""
        if self.prompt_price is None or self.completion_price is None:
            return None
        return (prompt_tokens * self.prompt_price + completion_tokens * self.completion_price) / 1_000_000


@metric("cost", "performance", scale=(0.0, DEAREST), direction="lower", parameters=Prices)
def cost(outcome: Outcome, _tools: Tools, parameters: Prices) -> Score:
    """Price of the answer's tokens, by the prices that the suite gives; unscored without prices.

    A quoted answer asks no model and costs nothing. Source: tokens times price.
    """
    if parameters.prompt_price is None or parameters.completion_price is None:
        return Unscored("no prices are configured: give cost its prompt_price and completion_price")
    usage = _usage(outcome)
    if isinstance(usage, Unscored):
        return usage
    if outcome.answer is not None and outcome.answer.mode == "extractive":
        return 0.0
    return parameters.of(usage.prompt_tokens, usage.completion_tokens) or 0.0
