"""Citations: whether an answer leads its reader to the gold pages or chunks."""

from __future__ import annotations

from typing import Literal

from evals.case import Outcome
from evals.metrics.metric import MetricParameters, Tools, metric
from evals.metrics.score import NotApplicable, Score, Unscored


class CitationParameters(MetricParameters):
    gold: Literal["pages", "chunks"] = "pages"


Cited = tuple[list[str], frozenset[str]]


def _cited(outcome: Outcome, gold: Literal["pages", "chunks"]) -> Cited | NotApplicable | Unscored:
    """(what the answer cites, what it should)."""
    if not outcome.case.answerable:
        return NotApplicable("no gold page to cite; abstention metrics judge this case")
    wanted = frozenset(outcome.case.pages if gold == "pages" else outcome.case.chunks)
    if not wanted:
        return NotApplicable(f"the case names no gold {gold}")
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    if outcome.answer.abstained:
        return [], wanted
    return [each.path if gold == "pages" else each.chunk_id for each in outcome.answer.citations], wanted


@metric("citation_precision", "citations", parameters=CitationParameters)
def citation_precision(outcome: Outcome, _tools: Tools, parameters: CitationParameters) -> Score:
    """Share of the citations that lead to gold; an answer without any citation counts 0.

    An abstention makes no claim, so the metric does not speak about it; citation_recall counts it 0. Source: after
    Gao et al., "Enabling Large Language Models to Generate Text with Citations", EMNLP 2023, with gold pages in the
    place of a model that judges each citation.
    """
    cited = _cited(outcome, parameters.gold)
    if not isinstance(cited, tuple):
        return cited
    if outcome.answer is not None and outcome.answer.abstained:
        return NotApplicable("abstained, so nothing was cited")
    found, gold = cited
    return sum(each in gold for each in found) / len(found) if found else 0.0


@metric("citation_recall", "citations", parameters=CitationParameters)
def citation_recall(outcome: Outcome, _tools: Tools, parameters: CitationParameters) -> Score:
    """Share of the gold pages or chunks that the answer cites; an abstention counts 0.

    Source: as for citation_precision.
    """
    cited = _cited(outcome, parameters.gold)
    if not isinstance(cited, tuple):
        return cited
    found, gold = cited
    return len(gold.intersection(found)) / len(gold)
