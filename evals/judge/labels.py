"""Labels that a judge is held against, and scores that were kept from elsewhere: JSONL, one answer a line."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from evals.judge.sample import JudgedSample
from evals.metrics.score import NotApplicable, Score, Unscored
from lockgate.content import ContentModel, read_jsonl
from lockgate.errors import UserError

MAX_LABELS = 100_000
MAX_LEVELS = 11

Source = Literal["human", "model"]
Key = tuple[str, str]

_Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Text = Annotated[str, StringConstraints(max_length=200_000)]


class LabelRow(ContentModel):
    """What a person, or a model, thinks of one answer.

    ``id`` names the question and may repeat: answers to one question are one cluster. ``variant`` tells them apart.
    ``source`` says who labelled, ``by`` names them; a label by a model never gives a judge a vote.
    """

    id: _Id
    variant: str = Field(default="", max_length=200)
    label: float
    scale: tuple[float, float] = (0.0, 1.0)
    source: Source
    by: str = Field(min_length=1, max_length=200)
    cluster: str = Field(default="", max_length=200)
    slices: dict[_Id, _Id] = Field(default_factory=dict)
    question: _Text = ""
    answer: _Text = ""
    passages: tuple[_Text, ...] | None = None
    reference: _Text = ""

    @model_validator(mode="after")
    def _on_its_scale(self) -> LabelRow:
        low, high = self.scale
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("scale: two finite numbers were expected, the lower one first")
        if not low <= self.label <= high:  # also false for NaN
            raise ValueError(f"label: {self.label} is outside the scale {low:g} to {high:g}")
        return self

    @property
    def key(self) -> Key:
        return self.id, self.variant

    @property
    def sample(self) -> JudgedSample:
        return JudgedSample(self.question, self.answer, self.passages, self.reference)


class ScoreRow(ContentModel):
    """A score that was made elsewhere; None, NaN and what lies outside 0 to 1 are unscored."""

    id: _Id
    variant: str = Field(default="", max_length=200)
    score: float | None
    reason: str = Field(default="", max_length=1000)

    @property
    def value(self) -> Score:
        if self.score is None:
            return Unscored(self.reason or "no score was kept")
        if not 0.0 <= self.score <= 1.0:
            return Unscored(f"the score {self.score} is outside 0 to 1")
        return self.score


@dataclass(frozen=True, slots=True)
class Labels:
    """``levels`` is the number of steps of the labels' scale; ``hash`` names the rows' content."""

    rows: tuple[LabelRow, ...]
    scale: tuple[float, float]
    levels: int
    hash: str

    @property
    def source(self) -> Literal["human", "model", "mixed"]:
        kinds = {row.source for row in self.rows}
        return next(iter(kinds)) if len(kinds) == 1 else "mixed"

    def level(self, row: LabelRow) -> int:
        """The step of the row's label, from 0."""
        low, high = self.scale
        return round((row.label - low) / (high - low) * (self.levels - 1))


def load_labels(path: Path, *, levels: int | None = None) -> Labels:
    """The labels of a JSONL file; ``levels`` is needed where their scale does not go in whole steps.

    Raises NotFound, or UserError that names file and line: two rows for one answer, two scales, a label between steps.
    """
    rows: list[tuple[int, LabelRow]] = []
    seen: dict[Key, int] = {}
    for number, row in read_jsonl(path, LabelRow):
        if row.key in seen:
            raise UserError(
                f"{path}:{number}: the answer {_named(row.key)} was labelled on line {seen[row.key]} already.",
                hint="Give several answers to one question different variants; settle several labels of one answer.",
            )
        seen[row.key] = number
        rows.append((number, row))
        if len(rows) > MAX_LABELS:
            raise UserError(f"{path}: more than {MAX_LABELS} labels.")
    if not rows:
        raise UserError(f"{path}: holds no label.")
    scale = rows[0][1].scale
    for number, row in rows:
        if row.scale != scale:
            raise UserError(f"{path}:{number}: scale {list(row.scale)}, but line {rows[0][0]} has {list(scale)}.")
    steps = levels if levels is not None else _whole_steps(scale)
    if not 2 <= steps <= MAX_LEVELS:
        raise UserError(f"{path}: the scale has {steps} levels; from 2 to {MAX_LEVELS} can be compared.")
    for number, row in rows:
        step = (row.label - scale[0]) / (scale[1] - scale[0]) * (steps - 1)
        if abs(step - round(step)) > 1e-9:
            raise UserError(
                f"{path}:{number}: label {row.label:g} lies between two of the {steps} levels of {scale[0]:g} to "
                f"{scale[1]:g}.",
                hint="Say how many levels the labels have with --levels, or settle it on one.",
            )
    kept = tuple(row for _, row in rows)
    return Labels(kept, scale, steps, _hash([row.model_dump_json() for row in kept]))


def load_scores(path: Path) -> tuple[dict[Key, Score], str]:
    """(the scores by answer, the hash of their content). Raises NotFound, UserError."""
    scores: dict[Key, Score] = {}
    lines: list[str] = []
    for number, row in read_jsonl(path, ScoreRow):
        key = (row.id, row.variant)
        if key in scores:
            raise UserError(f"{path}:{number}: the answer {_named(key)} is scored twice.")
        scores[key] = row.value
        lines.append(row.model_dump_json())
    if not scores:
        raise UserError(f"{path}: holds no score.")
    return scores, _hash(lines)


def scored(labels: Labels, scores: Mapping[Key, Score]) -> list[Score]:
    """The score of every label's answer, in their order; unscored where there is none."""
    return [scores.get(row.key, Unscored("no score was given")) for row in labels.rows]


def score_level(score: float, levels: int, threshold: float) -> int:
    """The step of a score between 0 and 1: by ``threshold`` for two levels, else the nearest."""
    return int(score >= threshold) if levels == 2 else math.floor(score * (levels - 1) + 0.5)


def is_missing(score: Score) -> bool:
    return isinstance(score, Unscored | NotApplicable) or not math.isfinite(score)


def _whole_steps(scale: tuple[float, float]) -> int:
    width = scale[1] - scale[0]
    return int(width) + 1 if width.is_integer() else 0


def _named(key: Key) -> str:
    return repr(key[0][:60]) + (f" ({key[1][:60]})" if key[1] else "")


def _hash(lines: Sequence[str]) -> str:
    """Of the rows whatever their order in the file."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
