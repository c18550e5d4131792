"""Metrics: small functions over one outcome, each with a declared scale and direction.

A function returns a number, or says why there is none: ``Unscored`` when the case should have had a value (it failed),
``NotApplicable`` when the metric does not speak about that case (recall of a question without gold pages). A value that
is not finite or lies outside the declared scale becomes ``Unscored`` too, so that NaN can never help a run.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from evals.case import Outcome

Group = Literal["retrieval", "answer", "citations", "abstention"]
Direction = Literal["higher", "lower"]
Aggregation = Literal["mean", "balanced"]

_CITATION = re.compile(r"\[\d{1,3}\]")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Unscored:
    """The case should have had a value and has none."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The metric does not speak about this case."""

    reason: str


Score = float | Unscored | NotApplicable


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with what a reader needs to judge its number.

    ``binary`` metrics get a Wilson interval, others a bootstrap one. ``aggregation`` "balanced" is the mean of the
    means over answerable and unanswerable cases, so that the larger half cannot hide the smaller one.
    """

    name: str
    group: Group
    scale: tuple[float, float]
    direction: Direction
    binary: bool
    aggregation: Aggregation
    description: str
    function: Callable[[Outcome], Score]

    @property
    def worst(self) -> float:
        """The end of the scale that a missing value counts as."""
        return self.scale[0] if self.direction == "higher" else self.scale[1]

    def score(self, outcome: Outcome) -> Score:
        value = self.function(outcome)
        if isinstance(value, Unscored | NotApplicable):
            return value
        low, high = self.scale
        if not math.isfinite(value) or not low <= value <= high:
            return Unscored(f"{self.name} gave {value}, which is outside {low} to {high}")
        return float(value)


def metric(
    name: str,
    group: Group,
    *,
    scale: tuple[float, float] = (0.0, 1.0),
    direction: Direction = "higher",
    binary: bool = False,
    aggregation: Aggregation = "mean",
) -> Callable[[Callable[[Outcome], Score]], Metric]:
    """Make a metric of a function; the first line of its docstring becomes the description."""

    def declare(function: Callable[[Outcome], Score]) -> Metric:
        description = (function.__doc__ or "").strip().split("\n")[0]
        return Metric(name, group, scale, direction, binary, aggregation, description, function)

    return declare


def _ranking(outcome: Outcome) -> tuple[str, ...] | NotApplicable | Unscored:
    if not outcome.case.answerable:
        return NotApplicable("no page answers this question")
    if outcome.pages is None:
        return Unscored(outcome.retrieval_error or "retrieval did not run")
    return outcome.pages


def _recall_at(name: str, k: int) -> Metric:
    def recall(outcome: Outcome) -> Score:
        ranking = _ranking(outcome)
        if not isinstance(ranking, tuple):
            return ranking
        gold = set(outcome.case.pages)
        return len(gold & set(ranking[:k])) / len(gold)

    recall.__doc__ = f"Share of the gold pages among the first {k} pages."
    return metric(name, "retrieval")(recall)


recall_at_1 = _recall_at("recall@1", 1)
recall_at_5 = _recall_at("recall@5", 5)
recall_at_10 = _recall_at("recall@10", 10)


@metric("mrr", "retrieval")
def reciprocal_rank(outcome: Outcome) -> Score:
    """One over the rank of the first gold page, 0 when none was found.

    Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.
    """
    ranking = _ranking(outcome)
    if not isinstance(ranking, tuple):
        return ranking
    return next((1 / rank for rank, page in enumerate(ranking, start=1) if page in outcome.case.pages), 0.0)


@metric("ndcg@10", "retrieval")
def ndcg_at_10(outcome: Outcome) -> Score:
    """Discounted gain of the gold pages in the first 10, over that of a perfect ranking.

    Binary gain, discount 1 / log2(rank + 1). Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", ACM TOIS 20(4), 2002, in the form that trec_eval's ndcg_cut uses.
    """
    ranking = _ranking(outcome)
    if not isinstance(ranking, tuple):
        return ranking
    gold = set(outcome.case.pages)
    gain = sum(1 / math.log2(rank + 1) for rank, page in enumerate(ranking[:10], start=1) if page in gold)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(gold), 10) + 1))
    return gain / ideal


def answer_tokens(text: str) -> list[str]:
    """Words after SQuAD's normalisation: lower case, no punctuation, no articles. Citation markers are left out.

    Source: the official evaluation script of SQuAD 1.1 (Rajpurkar et al., 2016).
    """
    text = _CITATION.sub(" ", text).lower().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", text).split()


def _overlap(outcome: Outcome) -> tuple[int, int, int] | NotApplicable | Unscored:
    """(words in common, words of the answer, words of the reference)."""
    if not outcome.case.answerable:
        return NotApplicable("no reference answer; abstention metrics judge this case")
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    reference = answer_tokens(outcome.case.reference)
    if outcome.answer.abstained:
        return 0, 0, len(reference)
    answer = answer_tokens(outcome.answer.text)
    return sum((Counter(answer) & Counter(reference)).values()), len(answer), len(reference)


@metric("token_f1", "answer")
def token_f1(outcome: Outcome) -> Score:
    """Harmonic mean of word precision and word recall against the reference; an abstention counts 0.

    Source: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016.
    """
    counts = _overlap(outcome)
    if not isinstance(counts, tuple):
        return counts
    common, answer, reference = counts
    return 2 * common / (answer + reference) if common else 0.0


@metric("token_recall", "answer")
def token_recall(outcome: Outcome) -> Score:
    """Share of the reference's words that the answer holds; does not punish a longer answer."""
    counts = _overlap(outcome)
    if not isinstance(counts, tuple):
        return counts
    common, _, reference = counts
    return common / reference if reference else 0.0


def _cited_pages(outcome: Outcome) -> list[str] | NotApplicable | Unscored:
    if not outcome.case.answerable:
        return NotApplicable("no gold page to cite; abstention metrics judge this case")
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    return [] if outcome.answer.abstained else [citation.path for citation in outcome.answer.citations]


@metric("citation_precision", "citations")
def citation_precision(outcome: Outcome) -> Score:
    """Share of the citations whose page is a gold page; an answer without any citation counts 0.

    An abstention makes no claim, so the metric does not speak about it; citation_recall counts it 0.
    """
    cited = _cited_pages(outcome)
    if not isinstance(cited, list):
        return cited
    if outcome.answer is not None and outcome.answer.abstained:
        return NotApplicable("abstained, so nothing was cited")
    return sum(page in outcome.case.pages for page in cited) / len(cited) if cited else 0.0


@metric("citation_recall", "citations")
def citation_recall(outcome: Outcome) -> Score:
    """Share of the gold pages that the answer cites; an abstention counts 0."""
    cited = _cited_pages(outcome)
    if not isinstance(cited, list):
        return cited
    gold = set(outcome.case.pages)
    return len(gold & set(cited)) / len(gold)


def _right_decision(outcome: Outcome) -> Score:
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    return float(outcome.answer.abstained != outcome.case.answerable)


@metric("abstention_accuracy", "abstention", binary=True)
def abstention_accuracy(outcome: Outcome) -> Score:
    """Share of all cases where answering or abstaining was the right decision."""
    return _right_decision(outcome)


@metric("abstention_balanced", "abstention", aggregation="balanced")
def abstention_balanced(outcome: Outcome) -> Score:
    """Mean of answered_rate and abstained_rate, so that always answering scores 0.5."""
    return _right_decision(outcome)


@metric("answered_rate", "abstention", binary=True)
def answered_rate(outcome: Outcome) -> Score:
    """Share of the answerable questions that were answered."""
    if not outcome.case.answerable:
        return NotApplicable("unanswerable")
    return _right_decision(outcome)


@metric("abstained_rate", "abstention", binary=True)
def abstained_rate(outcome: Outcome) -> Score:
    """Share of the unanswerable questions on which it abstained."""
    if outcome.case.answerable:
        return NotApplicable("answerable")
    return _right_decision(outcome)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        each.name: each
        for each in (
            recall_at_1,
            recall_at_5,
            recall_at_10,
            reciprocal_rank,
            ndcg_at_10,
            token_f1,
            token_recall,
            citation_precision,
            citation_recall,
            abstention_accuracy,
            abstention_balanced,
            answered_rate,
            abstained_rate,
        )
    }
)
