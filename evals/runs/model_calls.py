"""How many calls of its model a chain makes for one question of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chains.condense import asks_model
from evals.case import Case
from lockgate.types import Message


@dataclass(frozen=True, slots=True)
class ModelCalls:
    """``generates``: the model writes the answer. ``condenses``: it makes a follow-up stand alone first."""

    generates: bool = True
    condenses: bool = False

    def condensings(self, cases: Sequence[Case]) -> int:
        """How many of ``cases`` are follow-ups that the model is asked to complete."""
        return sum(self._condensed(case) for case in cases)

    def of(self, case: Case) -> int:
        """The most calls that asking ``case`` once can take."""
        return int(self.generates) + int(self._condensed(case))

    def _condensed(self, case: Case) -> bool:
        history = tuple(Message(turn.role, turn.content) for turn in case.history)
        return self.condenses and asks_model(case.question, history)
