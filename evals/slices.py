"""Slices: parts of a suite that are looked at on their own, read from tags or from a key of each case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydantic import Field, model_validator

from evals.case import Case, Name
from lockgate.content import ContentModel

OTHER = "other"

_OF_CASE: Mapping[str, Callable[[Case], str]] = MappingProxyType(
    {
        "answerable": lambda case: "yes" if case.answerable else "no",
        "split": lambda case: case.split,
        "follow_up": lambda case: "yes" if case.history else "no",
    }
)
"""Keys that every case has a value for."""


class Slice(ContentModel):
    """How a case's value in a slice is found; exactly one key of the three.

    ``tag``: yes or no, whether the case has it. ``tags``: the first of them that the case has, else "other". ``key``:
    what the case's own ``slices`` say under it, or answerable, split or follow_up.
    """

    tag: str | None = Field(default=None, min_length=1)
    tags: tuple[str, ...] | None = Field(default=None, min_length=2)
    key: Name | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> Slice:
        if sum(each is not None for each in (self.tag, self.tags, self.key)) != 1:
            raise ValueError("a slice needs exactly one of tag, tags and key")
        return self

    @property
    def own_key(self) -> str:
        """The key of a case's ``slices`` that this slice is read from, "" when it is not read from there."""
        return "" if self.key is None or self.key in _OF_CASE else self.key

    def value(self, case: Case) -> str:
        """The case's value, "" when it has none."""
        if self.tag is not None:
            return "yes" if self.tag in case.tags else "no"
        if self.tags is not None:
            return next((tag for tag in self.tags if tag in case.tags), OTHER)
        if self.key is not None and self.key in _OF_CASE:
            return _OF_CASE[self.key](case)
        return case.slices.get(self.own_key, "")
