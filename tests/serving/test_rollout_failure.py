from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lockgate.errors import Corrupt, PolicyRefused, UserError
from lockgate.store.arms import arm_figures
from lockgate.store.database import Database, open_database
from lockgate.store.traces import get_trace
from lockgate.types import AskRequest, Message, Served
from serving.rollout_failure import record_failure


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'lockgate.db'}") as database:
        yield database


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Corrupt("touched"), "corrupt"),
        (UserError("bad chain"), "internal"),
        (PolicyRefused("x"), "internal"),
        (ValueError("x"), "internal"),
    ],
)
def test_a_release_that_could_not_be_opened_counts_in_its_arm(db: Database, error: Exception, code: str) -> None:
    served = Served("production", rollout="r1", arm="candidate")
    request = AskRequest("How?", history=(Message("user", "Hello"),), served=served)
    trace = get_trace(db, record_failure(db, request, chain="docs", release="b" * 64, error=error))
    assert (trace.status, trace.error_code, trace.release, trace.channel) == ("error", code, "b" * 64, "production")
    assert trace.history == ({"role": "user", "content": "Hello"},)
    assert arm_figures(db, "r1")["candidate"].errors == 1
