"""The rule ``reviews``: people have looked at answers of the release."""

from __future__ import annotations

from evals.rules.definitions import ReviewsRule
from evals.verdict import Finding


async def judge_reviews(rule: ReviewsRule) -> Finding:
    """Always INCONCLUSIVE: this version cannot record a review, and a rule that cannot be checked is not fulfilled."""
    return Finding(
        "INCONCLUSIVE",
        f"{rule.at_least} review(s) by people are required, and this version cannot record any.",
        "Take the rule out of the gate until reviews can be recorded.",
    )
