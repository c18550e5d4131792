"""Whether an answer keeps to the form that its prompt promises."""

from __future__ import annotations

from evals.case import Outcome
from evals.metrics.metric import Tools, metric
from evals.metrics.score import NotApplicable, Score, Unscored


@metric("json_valid", "format", binary=True)
def json_valid(outcome: Outcome, tools: Tools) -> Score:
    """Whether the answer keeps to the output schema of the release's answer prompt.

    An abstention is the chain's own text and is not judged, nor is any answer of a prompt without a schema. Source:
    JSON Schema 2020-12, the part of it that prompt files may use.
    """
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    if tools.check_output is None:
        return NotApplicable("the release's answer prompt has no output schema")
    if outcome.answer.abstained:
        return NotApplicable("abstained with the chain's own words")
    return float(not tools.check_output(outcome.answer.text))
