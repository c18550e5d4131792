"""Grounding: whether the passages hold what an answer says, by the detector that ships, without a judge."""

from __future__ import annotations

from evals.case import Outcome
from evals.metrics.metric import Tools, metric
from evals.metrics.score import NotApplicable, Score, Unscored
from lockgate.errors import LockgateError
from lockgate.grounding import GroundingReport


def _report(outcome: Outcome) -> GroundingReport | NotApplicable | Unscored:
    if outcome.refused:
        return NotApplicable("refused by the policy, so nothing was claimed")
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    if outcome.answer.abstained:
        return NotApplicable("abstained, so nothing was claimed")
    if outcome.passages is None:
        return Unscored(outcome.retrieval_error or "the passages are not known")
    from guardrails.checks.grounding import shipped_grounder

    try:
        return shipped_grounder().check(outcome.answer.question, outcome.answer.text, outcome.passages)
    except LockgateError as error:
        return Unscored(f"the grounding detector failed: {error}")


@metric("grounded", "grounding", binary=True)
def grounded(outcome: Outcome, _tools: Tools) -> Score:
    """Whether the grounding detector lets the answer pass; one that it flags may still be right.

    Source: docs/grounding.md, with the detector's error rates.
    """
    report = _report(outcome)
    return float(not report.flagged) if isinstance(report, GroundingReport) else report


@metric("supported_sentences", "grounding")
def supported_sentences(outcome: Outcome, _tools: Tools) -> Score:
    """Share of the answer's claims that the passages hold, by the same detector.

    Source: as faithfulness of Es et al., "Ragas: Automated Evaluation of Retrieval Augmented Generation", EACL 2024,
    with sentences in the place of statements and a small encoder in the place of a model that judges.
    """
    report = _report(outcome)
    if not isinstance(report, GroundingReport):
        return report
    if not report.sentences:
        return NotApplicable("no sentence claims anything")
    return 1 - len(report.unsupported) / len(report.sentences)
