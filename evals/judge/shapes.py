"""The shapes of a judge's replies. A reason comes before the verdict, so that a model thinks before it decides."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

MAX_CLAIMS = 60


class Shape(BaseModel):
    """Nothing may be missing or added: servers that constrain output need it said, others need it checked."""

    model_config = ConfigDict(extra="forbid")


class Claims(Shape):
    claims: list[Annotated[str, Field(min_length=1, max_length=2000)]] = Field(max_length=MAX_CLAIMS)

    @field_validator("claims")
    @classmethod
    def _each_says_something(cls, value: list[str]) -> list[str]:
        if any(not claim.strip() for claim in value):
            raise ValueError("a claim is empty")
        return value


class ClaimVerdict(Shape):
    claim: int = Field(ge=1, le=MAX_CLAIMS)
    reason: str
    supported: bool


class Verdicts(Shape):
    verdicts: list[ClaimVerdict]


class Level(Shape):
    reason: str
    level: int = Field(ge=1, le=5)

    @property
    def share(self) -> float:
        """The level on the scale from 0 to 1."""
        return (self.level - 1) / 4


class Relevance(Shape):
    reason: str
    relevant: bool


class Preference(Shape):
    reason: str
    better: Literal["first", "second", "tie"]


@lru_cache(maxsize=MAX_CLAIMS)
def verdicts_on(count: int) -> type[Verdicts]:
    """``Verdicts`` of exactly ``count`` claims, numbered from 1 in order: none is skipped or judged twice."""

    def in_order(_cls: type[Any], value: list[ClaimVerdict]) -> list[ClaimVerdict]:
        if [verdict.claim for verdict in value] != list(range(1, count + 1)):
            raise ValueError(f"one verdict for each of the claims 1 to {count} was expected, in order")
        return value

    made: type[Verdicts] = create_model(
        f"Verdicts{count}",
        __base__=Verdicts,
        __validators__={"_in_order": field_validator("verdicts")(classmethod(in_order))},  # type: ignore[dict-item]
        verdicts=(list[ClaimVerdict], Field(min_length=count, max_length=count)),
    )
    return made
