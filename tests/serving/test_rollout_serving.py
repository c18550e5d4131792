"""A rollout from the request to the stop: routing, arms, shadow requests and the keeper over one database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chains.target import Target
from lockgate.errors import LockgateError, NotFound
from lockgate.store.arms import arm_figures, shadow_pairs
from lockgate.store.channels import ChannelRecord, Rollout, get_channel
from lockgate.store.database import Database, open_database
from lockgate.store.traces import list_traces
from lockgate.types import Answer, AskRequest, Finished
from serving.rollout import pick_arm
from serving.rollout_keeper import RolloutKeeper
from serving.routing import RoutedAsker, Router
from serving.shadow import ShadowRunner
from tests.serving.rollouts import NEW, OLD, TracingAsker, begin


@dataclass
class Shelf:
    """serving.routing.ChainShelf over fakes; ``missing`` is what the new release raises instead of opening."""

    db: Database
    missing: LockgateError | None = None
    broken: Exception | None = None
    kept: dict[str, TracingAsker] = field(default_factory=dict)

    def get(self, release: str) -> Any:
        if release == NEW and self.missing is not None:
            raise self.missing
        error = self.broken if release == NEW else None
        return self.kept.setdefault(release, TracingAsker(self.db, release, error))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as database:
        yield database


def server(db: Database, shelf: Shelf, runner: ShadowRunner) -> RoutedAsker:
    def shadow(rollout: Rollout, request: AskRequest, answer: Answer) -> None:
        runner.submit(rollout, lambda: shelf.get(rollout.release), request, answer)

    router = Router(db, None, shelf, "docs")  # type: ignore[arg-type]
    return RoutedAsker(router, Target(channel="production"), shadow)


async def ask(asker: RoutedAsker, key: str, **values: Any) -> Answer:
    async for event in asker.ask(AskRequest("How?", conversation=key, **values)):
        if isinstance(event, Finished):
            found = event.answer
    return found


async def settled(runner: ShadowRunner) -> None:
    deadline = time.monotonic() + 10
    while not runner.idle:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def rollout_of(record: ChannelRecord) -> Rollout:
    assert record.rollout is not None
    return record.rollout


async def test_each_conversation_is_answered_by_its_arm_and_counted_there(db: Database) -> None:
    rollout = rollout_of(begin(db, share=30))
    asker = server(db, Shelf(db), ShadowRunner(db))
    keys = [str(number) for number in range(20)]
    for key in keys * 2:
        expected = NEW if pick_arm(rollout, key) == "candidate" else OLD
        assert (await ask(asker, key)).release == expected
    figures = arm_figures(db, rollout.id)
    new = 2 * sum(pick_arm(rollout, key) == "candidate" for key in keys)
    assert 0 < new < 40
    assert (figures["candidate"].n, figures["current"].n) == (new, 40 - new)


async def test_a_release_that_cannot_be_opened_costs_no_user_an_answer_and_is_stopped(db: Database) -> None:
    record = begin(db, share=99)
    asker = server(db, Shelf(db, missing=NotFound("The model is gone.")), ShadowRunner(db))
    keeper = RolloutKeeper(db, clock=lambda: 0.0)
    for number in range(6):
        assert (await ask(asker, str(number))).release == OLD
    assert keeper.check(record).rollout is None


async def test_a_shadow_answers_users_from_the_current_release_and_keeps_the_pairs(db: Database) -> None:
    record = begin(db, "shadow", share=50, budget=4)
    rollout = rollout_of(record)
    runner = ShadowRunner(db)
    asker = server(db, Shelf(db), runner)
    for number in range(20):
        assert (await ask(asker, str(number))).release == OLD
        await settled(runner)
    sampled = sum(pick_arm(rollout, str(number)) == "candidate" for number in range(20))
    figures = arm_figures(db, rollout.id)
    assert (figures["current"].n, figures["candidate"].n) == (sampled, 4)
    pairs = shadow_pairs(db, rollout.id)
    assert len({pair.current for pair in pairs}) == len(pairs) == 4
    assert RolloutKeeper(db).check(record).rollout is None


async def test_a_shadow_that_always_fails_is_stopped_and_no_user_notices(db: Database) -> None:
    record = begin(db, "shadow", share=100)
    runner = ShadowRunner(db)
    asker = server(db, Shelf(db, broken=RuntimeError("broken")), runner)
    for number in range(5):
        assert (await ask(asker, str(number))).release == OLD
    await settled(runner)
    assert RolloutKeeper(db).check(record).rollout is None
    assert get_channel(db, "production", "docs").release == OLD


async def test_evals_take_no_part(db: Database) -> None:
    rollout = rollout_of(begin(db, share=99))
    asker = server(db, Shelf(db), ShadowRunner(db))
    for number in range(5):
        assert (await ask(asker, str(number), origin="eval")).release == OLD
    assert {trace.arm for trace in list_traces(db)} == {""}
    assert arm_figures(db, rollout.id)["current"].n == 0
