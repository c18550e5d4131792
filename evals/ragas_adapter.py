"""Ragas, as it is published: a metric of ``ragas.metrics.collections`` by name, and nothing of it that fails open.

Ragas' own code and prompts make the number. Its calls go through our judge, which caches, counts, limits and checks
them; its usage reports are off; its exceptions, NaN, and the failed calls that it passes over leave a case unscored.
``evaluate()``, which patches the event loop and averages over what is left, is never called.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import importlib.util
import inspect
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from evals.judge.judge import Judge
from evals.judge.metrics import JudgedMetric
from evals.judge.metrics import Need as JudgedNeed
from evals.judge.sample import JudgedSample
from evals.judge.server import JudgeFailed
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.ragas_table import RAGAS_METRICS, RAGAS_VERSION, UNUSABLE, Input, RagasSpec
from evals.runs.budget import BudgetSpent
from lockgate.errors import MissingExtra, NotFound, UserError
from lockgate.release import canonical_json
from lockgate.types import Message

if TYPE_CHECKING:
    from lockgate.ports import Embedder

T = TypeVar("T", bound=BaseModel)

PREFIX = "ragas:"

_ROUNDING = 1e-6

_NOT_CHOSEN = frozenset({"llm", "embeddings", "name", "kwargs"})
_NEEDS: Mapping[Input, JudgedNeed] = {
    "reference": "reference",
    "retrieved_contexts": "passages",
    "reference_contexts": "passages",
}


def open_ragas(
    name: str,
    parameters: Mapping[str, object] | None = None,
    embedder: Embedder | None = None,
    *,
    label: str = "",
) -> JudgedMetric:
    """The metric called ``name`` ("ragas:faithfulness", or without the prefix), with Ragas' own parameters.

    ``label`` is what results call it; default: its name. Register its ``told_by`` in the judge's prompts before it is
    asked, so that the judge's identity names it.

    Raises NotFound for an unknown name, UserError for a parameter that it does not have, MissingExtra without Ragas.
    """
    short = name.removeprefix(PREFIX)
    spec = find_spec(short)
    chosen = dict(parameters or {})
    if spec.embeddings and embedder is None:
        raise UserError(f"{PREFIX}{short} compares vectors: an embedder is needed.")
    kind = _load_class(short, spec)
    _check_parameters(short, spec, kind, chosen)

    async def measure(sample: JudgedSample, judge: Judge) -> Score:
        return await _measure(spec, kind, chosen, sample, judge, embedder)

    needs = tuple(dict.fromkeys(_NEEDS[each] for each in spec.inputs if each in _NEEDS))
    return JudgedMetric(
        name=label or PREFIX + short,
        description=f"{spec.class_name} of Ragas {RAGAS_VERSION}.",
        function=measure,
        prompts=(label or PREFIX + short,),
        needs=needs,
        scale=spec.scale,
        direction=spec.direction,
        calls=spec.calls,
        judges="answer" if "response" in spec.inputs or "messages" in spec.inputs else "passages",
        asks_judge=spec.model,
    )


def told_by(name: str, parameters: Mapping[str, object] | None = None, label: str = "") -> tuple[str, str]:
    """(name, hash) of what a judge is told by through this metric: Ragas' version, its class and the parameters."""
    short = name.removeprefix(PREFIX)
    body = {"ragas": RAGAS_VERSION, "class": find_spec(short).class_name, "parameters": dict(parameters or {})}
    return label or PREFIX + short, hashlib.sha256(canonical_json(body)).hexdigest()


def find_spec(short: str) -> RagasSpec:
    """Raises NotFound that lists the names, UserError for a metric that cannot be measured here."""
    if short in UNUSABLE:
        raise UserError(f"{PREFIX}{short} cannot be measured here: {UNUSABLE[short]}.")
    if short not in RAGAS_METRICS:
        raise NotFound(
            f"Ragas {RAGAS_VERSION} has no metric {short[:80]!r}.", hint=f"It has: {', '.join(RAGAS_METRICS)}."
        )
    return RAGAS_METRICS[short]


def load_ragas() -> Any:
    """The module ``ragas.metrics.collections``, imported without its usage reports.

    Raises MissingExtra when Ragas is missing, of another version, or cannot be imported with what is installed.
    """
    hint = "Run: pip install lockgate[evals]"
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    try:
        found = version("ragas")
    except PackageNotFoundError:
        raise MissingExtra("Ragas is not installed.", hint=hint) from None
    if found != RAGAS_VERSION:
        raise MissingExtra(f"Ragas {found} is installed; its metrics are those of {RAGAS_VERSION} here.", hint=hint)
    try:
        from ragas import _analytics
        from ragas.metrics import collections
    except ImportError as error:
        raise MissingExtra(f"Ragas cannot be imported: {error}.", hint=hint) from None
    _analytics.do_not_track.cache_clear()  # whoever imported Ragas before may have had it decide otherwise
    return collections


def _load_class(short: str, spec: RagasSpec) -> type[Any]:
    for package in spec.packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(
                f"{PREFIX}{short} needs the package {package}, which Ragas does not bring.",
                hint=f"Run: pip install {package.replace('_', '-')}",
            )
    kind: type[Any] = getattr(load_ragas(), spec.class_name)
    return kind


def _check_parameters(short: str, spec: RagasSpec, kind: type[Any], chosen: dict[str, object]) -> None:
    """Turn names of enums into their values; raise UserError for what the metric does not take."""
    declared = inspect.signature(kind.__init__).parameters
    known = [key for key in declared if key not in _NOT_CHOSEN and key != "self"] + list(spec.given)
    for key, value in chosen.items():
        if key not in known:
            has = ", ".join(known) or "none"
            raise UserError(f"{PREFIX}{short} has no parameter {key!r}.", hint=f"Parameters: {has}.")
        default = declared[key].default if key in declared else None
        if isinstance(default, enum.Enum):
            try:
                chosen[key] = type(default)(value)
            except ValueError:
                names = ", ".join(str(each.value) for each in type(default))
                raise UserError(f"{PREFIX}{short}: {key}: {value!r} is none of {names}.") from None
    if missing := [key for key in spec.given if key not in chosen]:
        raise UserError(f"{PREFIX}{short} needs the parameter {missing[0]!r}.")


async def _measure(
    spec: RagasSpec,
    kind: type[Any],
    chosen: Mapping[str, object],
    sample: JudgedSample,
    judge: Judge | None,
    embedder: Embedder | None,
) -> Score:
    if spec.model and judge is None:
        return Unscored("there is no judge")
    inputs = _inputs(spec, sample)
    if isinstance(inputs, Unscored | NotApplicable):
        return inputs
    log = _CallLog()
    made: dict[str, Any] = {key: value for key, value in chosen.items() if key not in spec.given}
    if spec.ratings:
        made.setdefault("max_retries", 1)  # our judge has asked again already
    if spec.model and judge is not None:
        made["llm"] = _make_llm(judge, log, spec.ratings)
    if spec.embeddings and embedder is not None:
        made["embeddings"] = _make_embeddings(embedder)
    try:
        # An instance a sample: what one sample's calls ran into is nobody else's.
        result = await kind(**made).ascore(**inputs, **{key: chosen[key] for key in spec.given})
        value = result.value
    except BudgetSpent:
        raise
    except Exception as error:  # whatever Ragas raises is this row's reason
        if log.stop is not None:
            raise log.stop from None
        said = log.failures[0] if log.failures else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return Unscored(f"Ragas failed: {said}")
    if log.stop is not None:
        raise log.stop
    if log.failures:
        return Unscored(f"Ragas went on without a reply that it needed: {log.failures[0]}")
    return _number(value, spec.scale)


def _number(value: object, scale: tuple[float, float]) -> Score:
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever it is, it is judged here
    except (TypeError, ValueError):
        return Unscored(f"Ragas gave {value!r:.80}, which is no number")
    if math.isnan(number):
        return Unscored("Ragas gave NaN")
    # A cosine of 1.0000000000000002 is rounding; anything further out is for whoever checks the scale.
    near = min(max(number, scale[0]), scale[1])
    return near if abs(near - number) < _ROUNDING else number


def _inputs(spec: RagasSpec, sample: JudgedSample) -> dict[str, Any] | Unscored | NotApplicable:
    """What the metric's ``ascore`` is called with."""
    given: dict[str, Any] = {}
    passages = list(sample.passages or ())
    for each in spec.inputs:
        if each == "messages":
            given["user_input"] = _messages(sample)
        elif each == "reference_tool_calls":
            if not sample.expected_calls:
                return NotApplicable("no tool call is expected")
            if sample.tool_calls is None:
                return Unscored("the tool calls are not known")
            given[each] = _tool_calls([(call.name, call.arguments or {}) for call in sample.expected_calls])
        elif each in ("retrieved_contexts", "reference_contexts"):
            given[each] = passages
        else:
            given[each] = {"user_input": sample.question, "response": sample.answer, "reference": sample.reference}[
                each
            ]
    return given


def _messages(sample: JudgedSample) -> list[Any]:
    from ragas.messages import AIMessage, HumanMessage

    calls = _tool_calls([(call.name, dict(call.arguments)) for call in sample.tool_calls or ()])
    return [HumanMessage(content=sample.question), AIMessage(content=sample.answer, tool_calls=calls or None)]


def _tool_calls(calls: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    from ragas.messages import ToolCall

    return [ToolCall(name=name, args=arguments) for name, arguments in calls]


@dataclass
class _CallLog:
    """What went wrong inside Ragas, which retries and averages over failures without a word."""

    failures: list[str] = field(default_factory=list)
    stop: BudgetSpent | None = None


def _make_llm(judge: Judge, log: _CallLog, ratings: frozenset[int]) -> Any:
    from ragas.llms.base import InstructorBaseRagasLLM

    class JudgeLLM(InstructorBaseRagasLLM):
        """Ragas' language model: our judge."""

        def generate(self, *_: Any) -> Any:
            raise TypeError("Ragas asked its model from outside the event loop")

        async def agenerate(self, prompt: str, response_model: type[T]) -> T:
            try:
                reply = await judge.ask([Message("user", prompt)], response_model, purpose="ragas")
            except BudgetSpent as error:
                log.stop = error
                raise
            except JudgeFailed as error:
                log.failures.append(error.reason)
                raise
            rating = getattr(reply, "rating", None)
            if ratings and rating not in ratings:
                log.failures.append(f"the judge's rating {rating!r} is none of {sorted(ratings)}")
            return reply

    return JudgeLLM()


def _make_embeddings(embedder: Embedder) -> Any:
    from ragas.embeddings.base import BaseRagasEmbedding

    class ProjectEmbeddings(BaseRagasEmbedding):
        """Ragas' embeddings: the project's embedder, which computes in a thread of its own."""

        def embed_text(self, text: str, **_options: Any) -> list[float]:
            return [float(value) for value in embedder.embed([text])[0]]

        async def aembed_text(self, text: str, **options: Any) -> list[float]:
            return await asyncio.to_thread(self.embed_text, text, **options)

    return ProjectEmbeddings()
