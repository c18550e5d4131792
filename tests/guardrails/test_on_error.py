"""Every check of the catalogue, with every way to fail, at every door: what the policy says of failures applies."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from guardrails import catalogue
from guardrails.catalogue import CHECKS
from guardrails.check import NOTHING, CheckSettings, Found, GuardTools, OnError, Seen, Stage
from guardrails.guard import Guard
from guardrails.health import check_health
from guardrails.policy import Policy
from lockgate.errors import Corrupt, NotFound
from tests.guardrails.scripted import policy_with

DOORS: tuple[Stage, ...] = ("input", "context", "output")
FAILURES = ("not built", "weights missing", "hangs", "raises", "exits", "nan", "none", "one and a half")
TIMES = 100
TEXT = "Where is the key of ann.lee@corp.example?"

_go_on = threading.Event()


@pytest.fixture(autouse=True)
def _hangs_end() -> Iterator[None]:
    _go_on.clear()
    yield
    _go_on.set()


def broken(name: str, failures: list[str]) -> Any:
    """The check ``name``, as a policy knows it, which fails in that way; with none it finds nothing."""
    kind: Any = CHECKS[name]

    class Broken(kind):  # type: ignore[misc]
        def __init__(self, _settings: CheckSettings, _tools: GuardTools, /) -> None:
            if "not built" in failures:
                raise NotFound("The weights are not here.", hint="Run: lockgate models pull")

        def look(self, _seen: Seen) -> Any:
            if "weights missing" in failures:
                raise Corrupt("The weights do not have the hash that they should.")
            if "hangs" in failures:
                _go_on.wait(10)
            if "raises" in failures:
                raise RuntimeError("broken")
            if "exits" in failures:
                raise SystemExit(3)
            if not failures:
                return NOTHING
            return {"nan": Found(math.nan), "one and a half": Found(1.5)}.get(failures[0])

    return Broken


def policy_of(name: str, stage: Stage, on_error: OnError | None) -> Policy:
    """A policy with this check alone. Its own keys are left out: a check that fails reads none."""
    action = sorted(CHECKS[name].actions)[0]
    settings = CHECKS[name].settings.model_construct(
        check=name, action=action, threshold=0.5, on_error=on_error, timeout_ms=10, message="No."
    )
    return policy_with(settings, stage=stage)


@pytest.mark.parametrize("on_error", [None, "block", "flag", "allow"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_what_the_policy_says_of_a_failure_applies_in_100_of_100(
    monkeypatch: pytest.MonkeyPatch, failure: str, on_error: OnError | None
) -> None:
    guards = []
    for name in sorted(CHECKS):
        monkeypatch.setitem(catalogue.CHECKS, name, broken(name, [failure]))
        guards += [
            (Guard(policy_of(name, stage, on_error)), name, stage) for stage in DOORS if stage in CHECKS[name].stages
        ]
    times = -(-TIMES // len(guards))
    for _ in range(times):
        for guard, name, stage in guards:
            expected = on_error or ("flag" if stage == "context" else "block")
            result = await guard.look(Seen(TEXT, stage))
            (finding,) = result.findings
            assert finding.acted == ("" if expected == "allow" else expected), (name, stage)
            assert finding.score is None
            assert finding.error
            assert (bool(result.blocked), bool(result.flagged)) == (expected == "block", expected == "flag")
            assert (result.text, result.message) == (("", "No.") if expected == "block" else (TEXT, ""))
            assert f"{stage} {name}: " in finding.in_words()
            assert "(failed: " in finding.in_words()
            assert guard.health() == {f"{stage} {name}": finding.error}
            (health,) = check_health(guard)
            assert health.closes == (expected == "block")
            assert finding.error.rstrip(".") in health.in_words()
    assert times * len(guards) >= TIMES


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_trial_finds_it_before_anybody_asks_and_that_it_works_again(
    monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    failures = [failure]
    monkeypatch.setitem(catalogue.CHECKS, "secrets", broken("secrets", failures))
    guard = Guard(policy_of("secrets", "output", None))
    assert all((await guard.try_out(0.05)).values())
    failures.clear()
    _go_on.set()
    assert await guard.try_out() == {"output secrets": ""}


async def test_a_check_that_needs_what_there_is_not_is_found_by_a_trial() -> None:
    """As shipped, without any of what Lockgate lends: each either works, or says that it does not."""
    from guardrails.policy import SHIPPED, policy_from_text

    text = (SHIPPED / "default.yaml").read_text(encoding="utf-8")
    guard = Guard(policy_from_text("default", text, where="default.yaml"), GuardTools())
    tried = await guard.try_out()
    for stage in DOORS:
        for settings in guard.policy.checks(stage):
            finding = (await guard.look(Seen(TEXT, stage, passages=(TEXT,)))).findings
            mine = [each for each in finding if each.check == settings.check]
            assert all(bool(each.error) == bool(tried[f"{stage} {settings.check}"]) for each in mine)
