"""What the channel tests run in processes of their own: promotes that race, and promotes that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

from sqlalchemy import event
from sqlalchemy.engine import Engine

from lockgate.actor import Actor
from lockgate.errors import Conflict
from lockgate.store.channels import ChannelRecord, Move, get_channel, move_channel
from lockgate.store.database import Database, open_database


def promote(db: Database, release: str, seen: ChannelRecord) -> ChannelRecord:
    return move_channel(db, Move("production", "docs", "promote", release, seen.version, Actor("ada"), reason="test"))


def race(url: str, name: str, moves: int, start_at: float, results: multiprocessing.Queue[tuple[int, int]]) -> None:
    """Read the record, then move it, ``moves`` times; puts (won, lost)."""
    time.sleep(max(0.0, start_at - time.time()))
    won = lost = 0
    with open_database(url) as db:
        for number in range(moves):
            seen = get_channel(db, "production", "docs")
            try:
                promote(db, f"{name}-{number}", seen)
                won += 1
            except Conflict:
                lost += 1
    results.put((won, lost))


def promote_for_ever(url: str, name: str) -> None:
    with open_database(url) as db:
        for number in range(1_000_000):
            promote(db, f"{name}-{number}", get_channel(db, "production", "docs"))


def promote_and_die(url: str, release: str, statement: int) -> None:
    """Kill this process right after the promote's statement of that number; at its end when it has fewer."""
    with open_database(url) as db:
        seen = get_channel(db, "production", "docs")
        count = 0

        def after(*_: object) -> None:
            nonlocal count
            count += 1
            if count > statement:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "after_cursor_execute", after)
        promote(db, release, seen)
        os.kill(os.getpid(), signal.SIGKILL)
