from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from evals.runs import call_cache
from evals.runs.budget import BudgetSpent, CallBudget
from evals.runs.call_cache import CountedCalls, StoredCalls, call_key
from lockgate.errors import Unavailable
from lockgate.store.call_cache import get_call
from lockgate.store.database import Database, open_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as db:
        yield db


def test_a_key_is_made_of_everything_that_the_call_is() -> None:
    base = {"model": "m", "messages": [["user", "a"]], "parameters": {"temperature": 0}}
    keys = {
        call_key("judge", **base),
        call_key("answer", **base),
        call_key("judge", **{**base, "model": "n"}),
        call_key("judge", **{**base, "messages": [["user", "a "]]}),
        call_key("judge", **{**base, "messages": [["user", ""], ["user", "a"]]}),
        call_key("judge", **{**base, "parameters": {"temperature": 1}}),
    }
    assert len(keys) == 6
    assert call_key("judge", **dict(reversed(list(base.items())))) == call_key("judge", **base)
    with pytest.raises(ValueError, match="not JSON compliant"):
        call_key("judge", temperature=float("nan"))


def test_what_was_put_is_there_at_once_and_after_the_next_start(db: Database) -> None:
    with StoredCalls(db, "judge") as calls:
        for number in range(200):
            calls.put(str(number), f"value {number}")
            assert calls.get(str(number)) == f"value {number}"
        assert calls.get("other") is None
    assert get_call(db, "199") == "value 199"
    with StoredCalls(db, "judge") as again:
        assert again.get("0") == "value 0"
    with StoredCalls(db, "answer") as other:
        assert other.get("0") is None


def test_a_slow_disk_holds_nobody_up(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, batches = threading.Event(), []

    def slow(_db: Database, _kind: str, calls: Mapping[str, str]) -> None:
        gate.wait(10)
        batches.append(dict(calls))

    monkeypatch.setattr(call_cache, "put_calls", slow)
    with StoredCalls(db, "judge") as calls:
        for number in range(50):
            calls.put(str(number), "x")
        assert calls.get("0") == "x"
        gate.set()
    assert sum(len(batch) for batch in batches) == 50
    assert len(batches) <= 3


@pytest.mark.parametrize(
    ("error", "told"), [(Unavailable("disk full"), "disk full"), (ValueError("disk full"), "ValueError: disk full")]
)
def test_calls_that_cannot_be_kept_are_told_of_and_cost_nothing_else(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    def full(_db: Database, _kind: str, _calls: Mapping[str, str]) -> None:
        raise error

    monkeypatch.setattr(call_cache, "put_calls", full)
    with StoredCalls(db, "judge") as calls:
        calls.put("a", "x")
    assert f"could not be kept: {told}" in caplog.text


def test_a_miss_is_a_call_that_the_budget_has_to_allow(db: Database) -> None:
    budget = CallBudget(2)
    with StoredCalls(db, "judge") as stored:
        stored.put("known", "x")
        calls = CountedCalls(budget, stored)
        assert calls.get("known") == "x"
        assert (budget.made, calls.served) == (0, 1)
        assert calls.get("a") is None
        assert calls.get("b") is None
        with pytest.raises(BudgetSpent, match="budget of 2 model calls"):
            calls.get("c")
        assert calls.get("known") == "x"
        assert budget.left == 0


def test_a_fresh_run_serves_and_keeps_nothing(db: Database) -> None:
    with StoredCalls(db, "judge") as stored:
        stored.put("known", "x")
        calls = CountedCalls(CallBudget(), stored, fresh=True)
        assert calls.get("known") is None
        calls.put("known", "y")
        assert stored.get("known") == "x"


def test_a_budget_is_never_overdrawn() -> None:
    budget = CallBudget(3)
    budget.take(2)
    with pytest.raises(BudgetSpent):
        budget.take(2)
    budget.give_back()
    budget.take(2)
    assert (budget.made, budget.left) == (3, 0)
    assert CallBudget().left is None
