"""How many model calls a run may make: a budget that is taken from before each call and never overdrawn."""

from __future__ import annotations

from lockgate.errors import LockgateError


class BudgetSpent(LockgateError):
    """The run has made as many model calls as it may. The run stops and can be resumed; it is no case's result."""

    code = "unavailable"


class CallBudget:
    """Counts model calls; ``limit`` None counts only. Used by one event loop, so it needs no lock."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.made = 0

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.made)

    def take(self, calls: int = 1) -> None:
        """Count calls that are about to be made. Raises BudgetSpent, without counting, when too few are left."""
        if self.limit is not None and self.made + calls > self.limit:
            raise BudgetSpent(f"The budget of {self.limit} model calls is spent.")
        self.made += calls

    def give_back(self, calls: int = 1) -> None:
        """Calls that were taken and not made after all."""
        self.made = max(0, self.made - calls)
