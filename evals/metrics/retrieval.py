"""Retrieval: where the gold pages or chunks stand in the ranking. The gain of each is 1 or 0.

Every metric takes ``gold``: ``pages``, where a page stands at the place of its first chunk, or ``chunks``. This
version of Lockgate has no access filters, so there is one ranking, which everybody gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from evals.case import Outcome
from evals.metrics.metric import MetricParameters, Tools, metric
from evals.metrics.score import NotApplicable, Score, Unscored

DEEPEST = 50
"""So many chunks are asked for in a run: a rank beyond says nothing."""


class Ranked(MetricParameters):
    """``k`` None looks at the whole ranking."""

    k: int | None = Field(default=None, ge=1, le=DEEPEST)
    gold: Literal["pages", "chunks"] = "pages"


class FirstRanks(MetricParameters):
    k: int = Field(ge=1, le=DEEPEST)
    gold: Literal["pages", "chunks"] = "pages"


Ranking = tuple[Sequence[str], frozenset[str]]


def _ranking(outcome: Outcome, gold: Literal["pages", "chunks"]) -> Ranking | NotApplicable | Unscored:
    """(what was found, best first and each once; what should have been)."""
    if not outcome.case.answerable:
        return NotApplicable("no page answers this question")
    wanted = frozenset(outcome.case.pages if gold == "pages" else outcome.case.chunks)
    if not wanted:
        return NotApplicable(f"the case names no gold {gold}")
    found = outcome.pages if gold == "pages" else outcome.chunks
    if found is None:
        return Unscored(outcome.retrieval_error or "retrieval did not run")
    return tuple(dict.fromkeys(found)), wanted


@metric("recall", "retrieval", parameters=FirstRanks)
def recall(outcome: Outcome, _tools: Tools, parameters: FirstRanks) -> Score:
    """Share of the gold pages or chunks among the first k.

    Source: Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, section 8.4.
    """
    ranking = _ranking(outcome, parameters.gold)
    if not isinstance(ranking, tuple):
        return ranking
    found, gold = ranking
    return len(gold.intersection(found[: parameters.k])) / len(gold)


@metric("precision", "retrieval", parameters=FirstRanks)
def precision(outcome: Outcome, _tools: Tools, parameters: FirstRanks) -> Score:
    """Share of the first k places that hold a gold page or chunk; a shorter ranking counts as empty places.

    With fewer than k gold pages even a perfect ranking is below 1. Source: as for recall, "precision at k".
    """
    ranking = _ranking(outcome, parameters.gold)
    if not isinstance(ranking, tuple):
        return ranking
    found, gold = ranking
    return len(gold.intersection(found[: parameters.k])) / parameters.k


@metric("mrr", "retrieval", parameters=Ranked)
def reciprocal_rank(outcome: Outcome, _tools: Tools, parameters: Ranked) -> Score:
    """One over the rank of the first gold page or chunk, 0 when none was found.

    Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.
    """
    ranking = _ranking(outcome, parameters.gold)
    if not isinstance(ranking, tuple):
        return ranking
    found, gold = ranking
    return next((1 / rank for rank, item in enumerate(found[: parameters.k], start=1) if item in gold), 0.0)


@metric("ndcg", "retrieval", parameters=FirstRanks)
def ndcg(outcome: Outcome, _tools: Tools, parameters: FirstRanks) -> Score:
    """Discounted gain of the gold pages or chunks in the first k, over that of a perfect ranking.

    Binary gain, discount 1 / log2(rank + 1). Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", ACM TOIS 20(4), 2002, in the form that trec_eval's ndcg_cut uses.
    """
    ranking = _ranking(outcome, parameters.gold)
    if not isinstance(ranking, tuple):
        return ranking
    found, gold = ranking
    gain = math.fsum(1 / math.log2(rank + 1) for rank, item in enumerate(found[: parameters.k], 1) if item in gold)
    ideal = math.fsum(1 / math.log2(rank + 1) for rank in range(1, min(len(gold), parameters.k) + 1))
    return min(1.0, gain / ideal)
