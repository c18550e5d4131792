"""The recipe of the injection classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from lockgate.content import ContentModel, load_yaml

SHIPPED = Path(__file__).resolve().parent.parent / "recipes" / "injection.yaml"


class SourceRecipe(ContentModel):
    """One published set: ``folder`` is relative to the data folder."""

    folder: str
    title: str
    licence: str

    @field_validator("folder")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith(("/", "~")) or ".." in Path(value).parts or not value:
            raise ValueError("must be a folder inside the data folder")
        return value


class HeadRecipe(ContentModel):
    """``false_alarms``: the share of harmless dev texts that the threshold lets be taken for attacks."""

    hidden: int = Field(ge=1, le=256)
    epochs: int = Field(ge=1, le=500)
    learning_rate: float = Field(gt=0, lt=1)
    decay: float = Field(ge=0, lt=1)
    false_alarms: Annotated[float, Field(gt=0, lt=0.5)]


class InjectionRecipe(ContentModel):
    """``attacks_each`` is of one family; ``documents`` are harmless ones, each of which also gets an attack."""

    name: str
    version: str
    embedder: str
    seed: int
    sources: tuple[SourceRecipe, ...] = Field(min_length=1)
    measured: SourceRecipe
    attacks_each: int = Field(ge=25)
    documents: int = Field(ge=10)
    dev_documents: int = Field(ge=10)
    direct: HeadRecipe
    indirect: HeadRecipe


def load_recipe(path: Path = SHIPPED) -> InjectionRecipe:
    """Raises NotFound, and UserError naming file, line and key."""
    return load_yaml(path, InjectionRecipe)
