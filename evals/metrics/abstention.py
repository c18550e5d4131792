"""Abstention: knowing when to be silent. Answerable or not, answered or not: a 2 x 2 table, and the rates in it."""

from __future__ import annotations

from evals.case import Outcome
from evals.metrics.metric import Tools, metric
from evals.metrics.score import NotApplicable, Score, Unscored

# Source of all four: the confusion matrix of a two-way decision; answered_rate is its sensitivity, abstained_rate its
# specificity, abstention_balanced their mean (balanced accuracy: Brodersen et al., ICPR 2010).


def _right_decision(outcome: Outcome) -> Score:
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    return float(outcome.answer.abstained != outcome.case.answerable)


@metric("abstention_accuracy", "abstention", binary=True)
def abstention_accuracy(outcome: Outcome, _tools: Tools) -> Score:
    """Share of all cases where answering or abstaining was the right decision."""
    return _right_decision(outcome)


@metric("abstention_balanced", "abstention", aggregation="balanced")
def abstention_balanced(outcome: Outcome, _tools: Tools) -> Score:
    """Mean of answered_rate and abstained_rate, so that always answering scores 0.5.

    Source: balanced accuracy, as in Brodersen et al., "The Balanced Accuracy and Its Posterior Distribution", 2010.
    """
    return _right_decision(outcome)


@metric("answered_rate", "abstention", binary=True)
def answered_rate(outcome: Outcome, _tools: Tools) -> Score:
    """Share of the answerable questions that were answered."""
    if not outcome.case.answerable:
        return NotApplicable("unanswerable")
    return _right_decision(outcome)


@metric("abstained_rate", "abstention", binary=True)
def abstained_rate(outcome: Outcome, _tools: Tools) -> Score:
    """Share of the unanswerable questions on which it abstained."""
    if outcome.case.answerable:
        return NotApplicable("answerable")
    return _right_decision(outcome)
