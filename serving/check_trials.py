"""Trying the checks of a policy in the background, so that a server knows which of them work before it is asked."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from guardrails.guard import Guard
    from guardrails.health import CheckHealth

log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
"""How long after a trial a policy with a check that does not work is tried again: a server that is taken out of the
rotation gets no question that would show that it works again."""


@dataclass(frozen=True, slots=True)
class CheckStanding:
    """The checks of a policy; ``tried`` is False before each has looked at a text once."""

    checks: tuple[CheckHealth, ...] = ()
    tried: bool = True

    @property
    def closed(self) -> tuple[str, ...]:
        """Of the checks that do not work, in words, those that nothing gets past now."""
        return tuple(each.in_words() for each in self.checks if each.closes)

    @property
    def degraded(self) -> tuple[str, ...]:
        """The other ones that do not work, in words."""
        return tuple(each.in_words() for each in self.checks if each.problem and not each.closes)


class CheckTrials:
    """Safe to use from any thread. It keeps no guard alive."""

    def __init__(self, again_seconds: float | None = None) -> None:
        self._again_seconds = AGAIN_SECONDS if again_seconds is None else again_seconds
        self._lock = threading.Lock()
        self._ended: WeakKeyDictionary[Guard, float] = WeakKeyDictionary()
        self._running: WeakKeyDictionary[Guard, bool] = WeakKeyDictionary()

    def see_to(self, guard: Guard) -> None:
        """Begin a trial in a thread of its own, unless one runs, or there was one and nothing is broken."""
        with self._lock:
            if guard in self._running or not self._is_due(guard):
                return
            self._running[guard] = True
        # A daemon: a check that hangs must not keep a stopped server alive.
        threading.Thread(target=self._try, args=(guard,), name="lockgate-checks", daemon=True).start()

    def standing(self, guard: Guard, channel: str) -> CheckStanding:
        """What is known of the guard's checks, as its policy is for ``channel``."""
        from guardrails.health import check_health

        with self._lock:
            tried = guard in self._ended
        return CheckStanding(check_health(guard, channel), tried)

    def _is_due(self, guard: Guard) -> bool:
        ended = self._ended.get(guard)
        if ended is None:
            return True
        return time.monotonic() - ended >= self._again_seconds and any(guard.health().values())

    def _try(self, guard: Guard) -> None:
        try:
            for name, problem in asyncio.run(guard.try_out()).items():
                if problem:
                    log.warning("The check %s of the policy %s does not work: %s", name, guard.policy.name, problem)
        except Exception:
            log.exception("The checks of the policy %s could not be tried.", guard.policy.name)
        finally:
            with self._lock:
                self._ended[guard] = time.monotonic()
                self._running.pop(guard, None)
