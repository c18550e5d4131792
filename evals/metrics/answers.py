"""The text of an answer, beside the reference and beside the passages that it was made from. No judge."""

from __future__ import annotations

from collections import Counter

from pydantic import Field

from evals.case import Outcome
from evals.metrics.metric import MetricParameters, Tools, metric
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.metrics.words import answer_tokens, content_words, longest_common_subsequence, without_citations, words


def _answered(outcome: Outcome) -> str | NotApplicable | Unscored:
    """The answer's text where a reference judges it; "" for an abstention, which is then no answer at all."""
    if not outcome.case.answerable:
        return NotApplicable("no reference answer; abstention metrics judge this case")
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    return "" if outcome.answer.abstained else outcome.answer.text


def _overlap(outcome: Outcome) -> tuple[int, int, int] | NotApplicable | Unscored:
    """(words in common, words of the answer, words of the reference)."""
    text = _answered(outcome)
    if not isinstance(text, str):
        return text
    answer, reference = answer_tokens(text), answer_tokens(outcome.case.reference)
    if not reference:
        return Unscored("the reference holds no word")
    return sum((Counter(answer) & Counter(reference)).values()), len(answer), len(reference)


@metric("token_f1", "answer")
def token_f1(outcome: Outcome, _tools: Tools) -> Score:
    """Harmonic mean of word precision and word recall against the reference; an abstention counts 0.

    Source: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016.
    """
    counts = _overlap(outcome)
    if not isinstance(counts, tuple):
        return counts
    common, answer, reference = counts
    return 2 * common / (answer + reference) if common else 0.0


@metric("token_recall", "answer")
def token_recall(outcome: Outcome, _tools: Tools) -> Score:
    """Share of the reference's words that the answer holds; does not punish a longer answer.

    Source: the recall inside token_f1, for long answers as in Adlakha et al., "Evaluating Correctness and Faithfulness
    of Instruction-Following Models for Question Answering", TACL 2024.
    """
    counts = _overlap(outcome)
    if not isinstance(counts, tuple):
        return counts
    common, _, reference = counts
    return common / reference


@metric("exact_match", "answer", binary=True)
def exact_match(outcome: Outcome, _tools: Tools) -> Score:
    """Whether the answer has the reference's words, all of them, in that order and no others.

    Source: the official evaluation script of SQuAD 1.1 (Rajpurkar et al., 2016).
    """
    text = _answered(outcome)
    if not isinstance(text, str):
        return text
    reference = answer_tokens(outcome.case.reference)
    return float(answer_tokens(text) == reference) if reference else Unscored("the reference holds no word")


class RougeParameters(MetricParameters):
    """``beta`` over 1 weighs recall more than precision."""

    beta: float = Field(default=1.0, gt=0, le=100)


@metric("rouge_l", "answer", parameters=RougeParameters)
def rouge_l(outcome: Outcome, _tools: Tools, parameters: RougeParameters) -> Score:
    """F-measure of the longest common subsequence of words of answer and reference; an abstention counts 0.

    (1 + beta^2) R P / (R + beta^2 P) with R and P the subsequence's share of the reference and of the answer; words
    are lower-cased, not stemmed. Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, section
    3.1.
    """
    text = _answered(outcome)
    if not isinstance(text, str):
        return text
    answer, reference = words(text), words(outcome.case.reference)
    if not reference:
        return Unscored("the reference holds no word")
    common = longest_common_subsequence(answer, reference)
    if not common:
        return 0.0
    precision, recall, weight = common / len(answer), common / len(reference), parameters.beta**2
    return min(1.0, (1 + weight) * recall * precision / (recall + weight * precision))


@metric("semantic_similarity", "answer", needs=("embedder",))
def semantic_similarity(outcome: Outcome, tools: Tools) -> Score:
    """Cosine of the embeddings of answer and reference, below 0 taken as 0; an abstention counts 0.

    The embedder is the project's own. It is no measure of truth: a wrong number hardly moves it. Source: the "semantic
    answer similarity" of Risch et al., 2021, in its bi-encoder form.
    """
    text = _answered(outcome)
    if not isinstance(text, str):
        return text
    answer = without_citations(text).strip()
    if not answer or tools.embedder is None:
        return 0.0
    first, second = tools.embedder.embed([answer, outcome.case.reference])
    cosine = float(first @ second)
    # Rounding may end just over 1; anything else stays visible as a value off the scale.
    return max(0.0, min(1.0, cosine)) if cosine < 1.001 else cosine


@metric("lexical_support", "answer")
def lexical_support(outcome: Outcome, _tools: Tools) -> Score:
    """Share of the answer's content words that stand in the passages that were found; an empty answer counts 0.

    A floor, no proof: words can be there and say something else. Source: the complement of the "share of answer words
    not in the context", in use as a baseline since Dziri et al., "Evaluating Attribution in Dialogue Systems: The BEGIN
    Benchmark", TACL 2022. Words such as "the" and "is" do not count.
    """
    if outcome.answer is None:
        return Unscored(outcome.answer_error or "no answer came back")
    if outcome.answer.abstained:
        return NotApplicable("abstained, so nothing was claimed")
    if outcome.passages is None:
        return Unscored(outcome.retrieval_error or "the passages are not known")
    said = content_words(outcome.answer.text)
    if not said:
        return 0.0
    known = {word for passage in outcome.passages for word in words(passage)}
    return sum(word in known for word in said) / len(said)
