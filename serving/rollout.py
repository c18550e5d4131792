"""A rollout: a new release beside the current one, for a share of the conversations or aside; who gets which."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from lockgate.errors import UserError
from lockgate.store.arms import ArmName
from lockgate.store.channels import Rollout
from lockgate.types import AskRequest

BOUNDS: Mapping[str, float] = MappingProxyType({"error_rate": 0.05, "abstention_rate": 0.10, "latency_ratio": 1.5})
"""How much worse the new release may be before the rollout stops itself: the rates by so much more than the current
release's (0.05 is five points), the latency by this factor."""

BUDGET = 200
"""Requests that a shadow rollout repeats unless it is told otherwise."""

MAX_BUDGET = 1_000_000
MAX_RATIO = 100.0


def new_rollout(
    kind: Literal["percent", "shadow"],
    release: str,
    *,
    share: float,
    budget: int | None = None,
    bounds: Mapping[str, float] | None = None,
    forced: bool = False,
) -> Rollout:
    """A rollout that begins now. ``share`` is in percent; ``bounds`` replace those of ``BOUNDS`` that they name.

    It has an id of its own also when it only changes the share of an earlier one, so that its arms are compared over
    the same time. Raises UserError, naming the value, for what makes no sense.
    """
    if not 0 < share <= 100:
        raise UserError(f"A rollout's share is a number of percent above 0 and up to 100, not {share:g}.")
    if kind == "percent" and share == 100:
        raise UserError(
            "A rollout to 100 percent leaves nothing to compare with.",
            hint="To give the release to everybody, promote it without --percent.",
        )
    return Rollout(
        id=uuid.uuid4().hex,
        kind=kind,
        release=release,
        share=float(share),
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        budget=_checked_budget(kind, budget),
        forced=forced,
        bounds=_checked_bounds(bounds or {}),
    )


def pick_arm(rollout: Rollout, key: str) -> ArmName:
    """Which side of the rollout the conversation ``key`` is on: always the same.

    The place of a conversation depends on it and on the release alone. So a larger share of the same release keeps
    everybody who had it, and another release tries other conversations first.
    """
    digest = hashlib.sha256(f"{rollout.release}\0{key}".encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return "candidate" if 100 * place < rollout.share else "current"


def conversation_key(request: AskRequest) -> str:
    """What keeps a conversation on its side: its own key if the caller gave one, else the words that began it."""
    if request.conversation:
        return request.conversation
    return next((message.content for message in request.history if message.role == "user"), request.question)


def _checked_budget(kind: str, budget: int | None) -> int:
    if kind == "percent":
        if budget:
            raise UserError("A budget belongs to a shadow rollout; a share of the conversations has none.")
        return 0
    wanted = BUDGET if budget is None else budget
    if not 1 <= wanted <= MAX_BUDGET:
        raise UserError(f"A shadow rollout's budget is between 1 and {MAX_BUDGET:,} requests, not {wanted}.")
    return wanted


def _checked_bounds(bounds: Mapping[str, float]) -> dict[str, float]:
    for name, value in bounds.items():
        if name not in BOUNDS:
            raise UserError(f"{name!r} is no bound of a rollout. Bounds: {', '.join(BOUNDS)}.")
        low, high = (1.0, MAX_RATIO) if name == "latency_ratio" else (0.0, 1.0)
        if not math.isfinite(value) or not low <= value <= high:
            raise UserError(f"The bound {name} is a number between {low:g} and {high:g}, not {value:g}.")
    return {**BOUNDS, **{name: float(value) for name, value in bounds.items()}}
