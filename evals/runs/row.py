"""The stored row of one case and repeat: everything that a report, a comparison or a later scoring needs of it.

A row is JSON, and what is read back is not trusted: a score that is missing, not a number or off its metric's scale is
unscored, whoever wrote the row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from evals.case import Case, Outcome, ToolCall
from evals.metrics.metric import Metric
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.probes.probe import probed_from_json
from lockgate.errors import Corrupt
from lockgate.types import Answer, Citation, Usage

if TYPE_CHECKING:
    from evals.runs.asking import Asked

_DIGITS = 12
"""Significant digits of a stored score: the same answers scored on two machines give the same bytes."""


@dataclass(frozen=True, slots=True)
class Row:
    """``cluster`` ties cases together that share a gold page. ``ranking`` and ``chunk_ranking`` are None when retrieval
    failed, ``answer`` when asking did; ``code`` is then the error's. ``passages`` are the texts that the answer could
    be made from. ``cached``: the answer is one that the release gave before. ``probed`` is what came of a probe. Times
    are in milliseconds."""

    case: str
    repeat: int
    answerable: bool
    split: str
    tags: tuple[str, ...]
    cluster: str
    slices: Mapping[str, str]
    question: str
    history: tuple[Mapping[str, str], ...]
    reference: str
    pages: tuple[str, ...]
    chunks: tuple[str, ...]
    answer: str | None
    abstained: bool | None
    mode: str | None
    finish_reason: str | None
    asked_as: str | None
    citations: tuple[Mapping[str, Any], ...]
    uncited_sentences: int | None
    ranking: tuple[str, ...] | None
    chunk_ranking: tuple[str, ...] | None
    passages: tuple[str, ...] | None
    retrieved_with: str
    searched: str | None  # the kind of the snapshot
    cosine: float | None
    rare_share: float | None
    tool_calls: tuple[Mapping[str, Any], ...] | None
    scores: Mapping[str, float]
    unscored: Mapping[str, str]
    not_applicable: Mapping[str, str]
    answer_error: str
    retrieval_error: str
    code: str
    milliseconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached: bool
    trace_id: str | None
    snapshot: str | None
    release: str
    probed: Mapping[str, Any] | None = None
    format: int = field(default=1)

    @property
    def errors(self) -> list[str]:
        return list(dict.fromkeys(text for text in (self.answer_error, self.retrieval_error) if text))

    def score(self, metric: Metric) -> Score:
        """What the row says of a metric, or of what pass^k is made of; unscored when that is nothing, or something that
        cannot be."""
        name, metric = metric.row_name, metric.base or metric
        if name in self.not_applicable:
            return NotApplicable(self.not_applicable[name])
        if name in self.unscored:
            return Unscored(self.unscored[name])
        value = self.scores.get(name)
        if value is None:
            return Unscored("the row holds no score")
        low, high = metric.scale
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return Unscored(f"the row holds {str(value)[:40]}, which is no number")
        return float(value) if low <= value <= high else Unscored(f"the row holds {value}, which is off the scale")

    def with_scores(self, scores: Mapping[str, Score]) -> Row:
        """The row with these scores added, each in the place of an earlier one of that metric."""
        kept = {
            part: {name: value for name, value in getattr(self, part).items() if name not in scores}
            for part in ("scores", "unscored", "not_applicable")
        }
        added = split_scores(scores)
        body = {each.name: getattr(self, each.name) for each in fields(self)}
        return Row(**{**body, **{part: {**kept[part], **added[part]} for part in kept}})

    def outcome(self, case: Case) -> Outcome:
        """What came back for ``case``, to be scored again."""
        answer = None
        if self.answer is not None:
            answer = Answer(
                text=self.answer,
                citations=tuple(_citation(each) for each in self.citations),
                abstained=bool(self.abstained),
                mode="generative" if self.mode == "generative" else "extractive",
                trace_id=self.trace_id or "",
                snapshot=self.snapshot or "",
                release=self.release,
                usage=Usage(self.prompt_tokens or 0, self.completion_tokens or 0),
                finish_reason="length" if self.finish_reason == "length" else "stop",
                uncited_sentences=self.uncited_sentences or 0,
                question=self.asked_as or "",
            )
        calls = self.tool_calls
        return Outcome(
            case=case,
            pages=self.ranking,
            answer=answer,
            retrieval_error=self.retrieval_error,
            answer_error=self.answer_error,
            chunks=self.chunk_ranking,
            passages=self.passages,
            answer_code=self.code,
            milliseconds=self.milliseconds,
            tool_calls=None if calls is None else tuple(ToolCall(each["name"], each["arguments"]) for each in calls),
            probed=probed_from_json(self.probed),
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "errors": self.errors}


def make_row(
    asked: Asked,
    slices: Mapping[str, str],
    scores: Mapping[str, Score],
    *,
    repeat: int = 0,
    release: str = "",
) -> Row:
    """The row of a case that was asked and scored."""
    outcome, retrieval = asked.outcome, asked.retrieval
    case, answer = outcome.case, outcome.answer
    parts = split_scores(scores)
    return Row(
        case=case.id,
        repeat=repeat,
        answerable=case.answerable,
        split=case.split,
        tags=case.tags,
        cluster=case.cluster,
        slices=dict(slices),
        question=case.question,
        history=tuple({"role": turn.role, "content": turn.content} for turn in case.history),
        reference=case.reference,
        pages=case.pages,
        chunks=case.chunks,
        answer=answer.text if answer else None,
        abstained=answer.abstained if answer else None,
        mode=answer.mode if answer else None,
        finish_reason=answer.finish_reason if answer else None,
        asked_as=answer.question if answer else None,
        citations=tuple(
            {
                "number": each.number,
                "chunk": each.chunk_id,
                "source": each.source,
                "path": each.path,
                "title": each.title,
                "heading": list(each.heading),
                "version": each.version,
                "text": each.text,
            }
            for each in (answer.citations if answer else ())
        ),
        uncited_sentences=answer.uncited_sentences if answer else None,
        ranking=outcome.pages,
        chunk_ranking=outcome.chunks,
        passages=outcome.passages,
        retrieved_with=asked.retrieved_with,
        searched=retrieval.kind if retrieval else None,
        cosine=retrieval.cosine if retrieval else None,
        rare_share=retrieval.rare_share if retrieval else None,
        tool_calls=None
        if outcome.tool_calls is None
        else tuple({"name": call.name, "arguments": dict(call.arguments)} for call in outcome.tool_calls),
        scores=parts["scores"],
        unscored=parts["unscored"],
        not_applicable=parts["not_applicable"],
        answer_error=outcome.answer_error,
        retrieval_error=outcome.retrieval_error,
        code=outcome.answer_code,
        milliseconds=None if outcome.milliseconds is None else round(outcome.milliseconds, 1),
        prompt_tokens=answer.usage.prompt_tokens if answer else None,
        completion_tokens=answer.usage.completion_tokens if answer else None,
        cached=asked.cached,
        trace_id=answer.trace_id if answer else None,
        snapshot=(answer.snapshot if answer else "") or (retrieval.snapshot if retrieval else None),
        release=release,
        probed=outcome.probed.as_json() if outcome.probed else None,
    )


def split_scores(scores: Mapping[str, Score]) -> dict[str, dict[str, Any]]:
    """The scores as a row keeps them: numbers, reasons for none, and reasons why not to ask."""
    numbers = {name: _rounded(value) for name, value in scores.items() if isinstance(value, float)}
    unscored = {name: value.reason for name, value in scores.items() if isinstance(value, Unscored)}
    other = {name: value.reason for name, value in scores.items() if isinstance(value, NotApplicable)}
    return {"scores": numbers, "unscored": unscored, "not_applicable": other}


def row_from_json(body: Mapping[str, Any], *, where: str) -> Row:
    """The row that ``as_json`` wrote. Raises Corrupt that names ``where`` for anything else."""
    if not isinstance(body, Mapping) or body.get("format") != 1:
        raise Corrupt(f"{where}: is not a row of this version.", hint="Run the suite again.")
    known = {each.name for each in fields(Row)}
    # Rows from before there were probes have none.
    given = {"probed": None, **{key: value for key, value in body.items() if key != "errors"}}
    if given.keys() != known:
        odd = ", ".join(sorted(given.keys() ^ known)[:5])
        raise Corrupt(f"{where}: is not a row of this version: {odd}.", hint="Run the suite again.")
    for key, kinds in _KINDS.items():
        if not isinstance(given[key], kinds):
            raise Corrupt(f"{where}: {key} is {str(given[key])[:40]!r}.", hint="Run the suite again.")
    return Row(**{key: _tuples(value) if key in _SEQUENCES else value for key, value in given.items()})


def rows_from_json(bodies: object, *, where: str) -> tuple[Row, ...]:
    """A list of rows. Raises Corrupt."""
    if not isinstance(bodies, Sequence) or isinstance(bodies, str | bytes):
        raise Corrupt(f"{where}: a list of rows was expected.")
    return tuple(row_from_json(body, where=f"{where}, row {number}") for number, body in enumerate(bodies, start=1))


_NONE = type(None)
_SEQUENCES = (
    "tags", "history", "pages", "chunks", "citations", "ranking", "chunk_ranking", "passages", "tool_calls",
)  # fmt: skip
_KINDS: Mapping[str, tuple[type, ...]] = {
    "case": (str,),
    "repeat": (int,),
    "answerable": (bool,),
    **dict.fromkeys(("split", "cluster", "question", "reference", "release"), (str,)),
    **dict.fromkeys(("answer_error", "retrieval_error", "code"), (str,)),
    "answer": (str, _NONE),
    "abstained": (bool, _NONE),
    "milliseconds": (int, float, _NONE),
    "probed": (Mapping, _NONE),
    **dict.fromkeys(("slices", "scores", "unscored", "not_applicable"), (Mapping,)),
    **dict.fromkeys(("tags", "history", "pages", "chunks", "citations"), (list, tuple)),
    **dict.fromkeys(("ranking", "chunk_ranking", "passages", "tool_calls"), (list, tuple, _NONE)),
}


def _tuples(value: Any) -> Any:
    return None if value is None else tuple(value)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _citation(body: Mapping[str, Any]) -> Citation:
    return Citation(
        number=int(body.get("number", 0)),
        chunk_id=str(body.get("chunk", "")),
        source=str(body.get("source", "")),
        path=str(body.get("path", "")),
        title=str(body.get("title", "")),
        heading=tuple(body.get("heading", ())),
        version=str(body.get("version", "")),
        text=str(body.get("text", "")),
    )
