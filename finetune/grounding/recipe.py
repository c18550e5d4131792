"""The recipe of a grounding detector: which sets, how many rows of each, how to train and how to calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from finetune.grounding.sources import READERS
from lockgate.content import ContentModel, load_yaml

SHIPPED = Path(__file__).resolve().parent.parent / "recipes" / "grounding.yaml"

Share = Annotated[float, Field(ge=0, lt=1)]


class SourceRecipe(ContentModel):
    """One set: ``folder`` is relative to the data folder; ``dev`` and ``test`` are shares of its source passages."""

    name: str
    folder: str
    title: str
    licence: str
    dev: Share = 0.15
    test: Share = 0.0

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in READERS:
            raise ValueError(f"no reader is called {value!r}; there are {', '.join(READERS)}")
        return value

    @field_validator("folder")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith(("/", "~")) or ".." in Path(value).parts or not value:
            raise ValueError("must be a folder inside the data folder")
        return value


class ScheduleRecipe(ContentModel):
    """The keys of ``finetune.grounding.training.Schedule``."""

    steps: int = Field(ge=1)
    batch: int = Field(ge=1, le=256)
    learning_rate: float = Field(gt=0, lt=1)
    warmup: int = Field(ge=0)
    averaged: int = Field(ge=1)
    max_tokens: int = Field(ge=32, le=512)
    token_weight: float = Field(ge=0)
    frozen_layers: int = Field(ge=0)
    checkpoint_every: int = Field(ge=1)


class CompositionRecipe(ContentModel):
    """The keys of ``finetune.grounding.calibration.Composition``."""

    answers: int = Field(ge=100)
    bad_share: float = Field(gt=0, lt=1)
    good: dict[str, float]
    bad: dict[str, float]
    sentences: tuple[float, float]


class CalibrationRecipe(ContentModel):
    """``importance`` weighs the sources' dev rows; ``rows`` bounds how many of each are read, ``answers`` how many of
    those kept out are measured."""

    rows: int = Field(ge=10)
    answers: int = Field(ge=10)
    importance: dict[str, float]
    settled_error: float = Field(gt=0, lt=0.5)
    composition: CompositionRecipe


class GroundingRecipe(ContentModel):
    """``train_rows`` are rows by the name that a row carries; a set's made rows end in ``_made``."""

    name: str
    version: str
    base: str
    seed: int
    sources: tuple[SourceRecipe, ...] = Field(min_length=1)
    train_rows: dict[str, int]
    repeats: dict[str, int] = Field(default_factory=dict)
    schedule: ScheduleRecipe
    calibration: CalibrationRecipe


def load_recipe(path: Path = SHIPPED) -> GroundingRecipe:
    """The recipe in ``path``. Raises NotFound, and UserError naming file, line and key."""
    return load_yaml(path, GroundingRecipe)
