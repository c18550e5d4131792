"""The metrics of ``ragas.metrics.collections`` 0.4.3, so that a suite is checked without importing Ragas.

A test compares this table with Ragas itself: the same names, and for each the inputs that it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

RAGAS_VERSION = "0.4.3"

Input = Literal[
    "user_input",
    "response",
    "reference",
    "retrieved_contexts",
    "reference_contexts",
    "messages",
    "reference_tool_calls",
]
"""What a metric is given; ``messages`` is the conversation with the tool calls, which Ragas calls user_input too."""


@dataclass(frozen=True, slots=True)
class RagasSpec:
    """``model`` and ``embeddings``: whether it needs them. ``packages`` are those that Ragas asks for by itself.

    ``given`` are inputs that come from the suite's parameters. ``ratings`` are those that Ragas takes from its two
    judges: it goes on with one of them when the other gives another, which here leaves the case unscored.
    """

    class_name: str
    inputs: tuple[Input, ...]
    model: bool = True
    embeddings: bool = False
    packages: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    direction: Literal["higher", "lower"] = "higher"
    calls: int = 2
    ratings: frozenset[int] = frozenset()


_QA: tuple[Input, ...] = ("user_input", "response")
_QAR: tuple[Input, ...] = ("user_input", "response", "reference")
_PAIR: tuple[Input, ...] = ("reference", "response")
_ALL: tuple[Input, ...] = ("user_input", "response", "retrieved_contexts", "reference")
_COSINE = (-1.0, 1.0)
"""Ragas says 0 to 1 and gives what the cosine is."""

_RUBRIC: tuple[Input, ...] = ("user_input", "response", "retrieved_contexts")

RAGAS_METRICS: Mapping[str, RagasSpec] = MappingProxyType(
    {
        "answer_accuracy": RagasSpec("AnswerAccuracy", _QAR, ratings=frozenset({0, 2, 4})),
        "answer_correctness": RagasSpec("AnswerCorrectness", _QAR, embeddings=True, scale=_COSINE, calls=3),
        "answer_relevancy": RagasSpec("AnswerRelevancy", _QA, embeddings=True, scale=_COSINE, calls=3),
        "bleu_score": RagasSpec("BleuScore", _PAIR, model=False, packages=("sacrebleu",), calls=0),
        "chrf_score": RagasSpec("CHRFScore", _PAIR, model=False, packages=("sacrebleu",), calls=0),
        "context_entity_recall": RagasSpec("ContextEntityRecall", ("reference", "retrieved_contexts")),
        "context_recall": RagasSpec("ContextRecall", ("user_input", "retrieved_contexts", "reference"), calls=1),
        "context_precision": RagasSpec("ContextPrecision", ("user_input", "reference", "retrieved_contexts"), calls=10),
        "context_precision_with_reference": RagasSpec(
            "ContextPrecisionWithReference", ("user_input", "reference", "retrieved_contexts"), calls=10
        ),
        "context_precision_without_reference": RagasSpec("ContextPrecisionWithoutReference", _RUBRIC, calls=10),
        "context_relevance": RagasSpec(
            "ContextRelevance", ("user_input", "retrieved_contexts"), ratings=frozenset({0, 1, 2})
        ),
        "context_utilization": RagasSpec("ContextUtilization", _RUBRIC, calls=10),
        "exact_match": RagasSpec("ExactMatch", _PAIR, model=False, calls=0),
        "factual_correctness": RagasSpec("FactualCorrectness", ("response", "reference"), calls=4),
        "faithfulness": RagasSpec("Faithfulness", _RUBRIC),
        "noise_sensitivity": RagasSpec("NoiseSensitivity", _ALL, direction="lower", calls=24),
        "non_llm_string_similarity": RagasSpec(
            "NonLLMStringSimilarity", _PAIR, model=False, packages=("rapidfuzz",), calls=0
        ),
        "quoted_spans_alignment": RagasSpec(
            "QuotedSpansAlignment", ("response", "retrieved_contexts"), model=False, calls=0
        ),
        "response_groundedness": RagasSpec(
            "ResponseGroundedness", ("response", "retrieved_contexts"), ratings=frozenset({0, 1, 2})
        ),
        "rouge_score": RagasSpec("RougeScore", _PAIR, model=False, packages=("rouge_score",), calls=0),
        "semantic_similarity": RagasSpec(
            "SemanticSimilarity", _PAIR, model=False, embeddings=True, scale=_COSINE, calls=0
        ),
        "string_presence": RagasSpec("StringPresence", _PAIR, model=False, calls=0),
        "summary_score": RagasSpec("SummaryScore", ("reference_contexts", "response"), calls=3),
        "agent_goal_accuracy": RagasSpec("AgentGoalAccuracy", ("messages", "reference")),
        "agent_goal_accuracy_with_reference": RagasSpec("AgentGoalAccuracyWithReference", ("messages", "reference")),
        "agent_goal_accuracy_without_reference": RagasSpec("AgentGoalAccuracyWithoutReference", ("messages",)),
        "tool_call_accuracy": RagasSpec("ToolCallAccuracy", ("messages", "reference_tool_calls"), model=False, calls=0),
        "tool_call_f1": RagasSpec("ToolCallF1", ("messages", "reference_tool_calls"), model=False, calls=0),
        "topic_adherence": RagasSpec("TopicAdherence", ("messages",), given=("reference_topics",), calls=3),
        "domain_specific_rubrics": RagasSpec("DomainSpecificRubrics", _RUBRIC, scale=(1.0, 5.0), calls=1),
        "instance_specific_rubrics": RagasSpec(
            "InstanceSpecificRubrics", _RUBRIC, given=("rubrics",), scale=(1.0, 5.0), calls=1
        ),
        "rubrics_score_without_reference": RagasSpec(
            "RubricsScoreWithoutReference", _RUBRIC, scale=(1.0, 5.0), calls=1
        ),
        "rubrics_score_with_reference": RagasSpec("RubricsScoreWithReference", _ALL, scale=(1.0, 5.0), calls=1),
        "data_compy_score": RagasSpec("DataCompyScore", _PAIR, model=False, packages=("datacompy",), calls=0),
        "sql_semantic_equivalence": RagasSpec("SQLSemanticEquivalence", ("response", "reference"), calls=1),
    }
)

UNUSABLE: Mapping[str, str] = MappingProxyType(
    {
        "multi_modal_faithfulness": "it judges pictures, and passages are text",
        "multi_modal_relevance": "it judges pictures, and passages are text",
    }
)
"""Metrics of Ragas that cannot be measured here, and why."""
