"""The recipe of the toxicity model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from lockgate.content import ContentModel, load_yaml

SHIPPED = Path(__file__).resolve().parent.parent / "recipes" / "toxicity.yaml"


class SourceRecipe(ContentModel):
    """One published set: ``folder`` is relative to the data folder, ``dev`` the share that is not trained on."""

    folder: str
    title: str
    licence: str
    dev: Annotated[float, Field(gt=0, lt=0.5)]

    @field_validator("folder")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith(("/", "~")) or ".." in Path(value).parts or not value:
            raise ValueError("must be a folder inside the data folder")
        return value


class WordsRecipe(ContentModel):
    """The regression on hashed words. Rows to train the networks on get its word from ``folds`` that lack them."""

    epochs: int = Field(ge=1, le=100)
    learning_rate: float = Field(gt=0, lt=1)
    batch: int = Field(ge=1, le=4096)
    folds: int = Field(ge=2, le=20)


class NetworksRecipe(ContentModel):
    """``count`` networks of one hidden layer; they differ by seed."""

    count: int = Field(ge=1, le=20)
    hidden: int = Field(ge=1, le=256)
    epochs: int = Field(ge=1, le=500)
    learning_rate: float = Field(gt=0, lt=1)
    decay: float = Field(ge=0, lt=1)
    dropout: float = Field(ge=0, lt=1)
    batch: int = Field(ge=1, le=4096)


class ToxicityRecipe(ContentModel):
    """See ``finetune/recipes/toxicity.yaml``. ``leave_out``: written families that are not trained on, to see
    what they are worth."""

    name: str
    version: str
    embedder: str
    seed: int
    davidson: SourceRecipe
    encyclopaedia: SourceRecipe
    encyclopaedia_windows: int = Field(ge=0)
    groups_each: int = Field(ge=1)
    leave_out: tuple[str, ...] = ()
    written_share: float = Field(gt=0, lt=1)
    words: WordsRecipe
    networks: NetworksRecipe
    false_alarms: float = Field(gt=0, lt=0.5)
    unread: float = Field(ge=0, lt=0.5)
    hardly_suspicious: float = Field(ge=0, lt=0.5)


def load_recipe(path: Path = SHIPPED) -> ToxicityRecipe:
    """Raises NotFound, and UserError naming file, line and key."""
    return load_yaml(path, ToxicityRecipe)
