"""A check that asks a moderation endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from guardrails.check import NOTHING, STAGES, Action, CheckSettings, Found, GuardTools, Seen, Stage
from guardrails.checks.remote import RemoteFailed, RemoteSettings, parts_of, post, share_of, value_at


class ModerationSettings(RemoteSettings):
    """Asks ``/moderations``. The score is the highest of the ``categories`` named, of all where none is. ::

    - check: moderation
      action: block
      threshold: 0.5
      model: omni-moderation-latest
      base_url_env: LOCKGATE_GUARD_URL
      api_key_env: LOCKGATE_GUARD_KEY
      message: I would rather not talk about that.
    """

    check: Literal["moderation"]
    action: Literal["block", "flag", "log"]
    categories: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = ()


class Moderation:
    """Whatever a moderation endpoint behind a URL scores, by category."""

    name: ClassVar[str] = "moderation"
    stages: ClassVar[frozenset[Stage]] = frozenset(STAGES)
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = ModerationSettings

    def __init__(self, settings: ModerationSettings, _tools: GuardTools, /) -> None:
        self._settings = settings

    async def look(self, seen: Seen) -> Found:
        settings = self._settings
        bodies = [{"model": settings.model, "input": part} for part in parts_of(seen.text, settings)]
        replies = await asyncio.gather(*(post(settings, "moderations", body) for body in bodies))
        best = ("", 0.0)
        for reply in replies:
            best = max(best, self._highest(reply), key=lambda found: found[1])
        return Found(best[1], reason=f"{best[0]}, says {settings.model}") if best[0] else NOTHING

    def _highest(self, reply: object) -> tuple[str, float]:
        results = value_at(reply, "results")
        if not isinstance(results, list) or len(results) != 1:
            raise RemoteFailed("the answer holds no result, or more than one")
        scores = value_at(results[0], "category_scores")
        if not isinstance(scores, Mapping) or not scores:
            raise RemoteFailed("the answer holds no category_scores")
        missing = [name for name in self._settings.categories if name not in scores]
        if missing:
            raise RemoteFailed(f"the answer scores no category {missing[0]!r}")
        wanted = self._settings.categories or tuple(scores)
        numbers = {name: share_of(scores[name], f"the score of {name!r}") for name in wanted}
        name = max(numbers, key=lambda each: numbers[each])
        return str(name)[:100], numbers[name]
