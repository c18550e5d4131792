from __future__ import annotations

from datetime import timedelta

from lockgate.store.call_cache import call_keys, get_call, prune_calls, put_calls
from lockgate.store.database import Database


def test_gives_back_what_was_said(db: Database) -> None:
    put_calls(db, "judge", {"a" * 64: '{"ok": true}', "b" * 64: "ünïcode"})
    assert get_call(db, "a" * 64) == '{"ok": true}'
    assert get_call(db, "b" * 64) == "ünïcode"
    assert get_call(db, "c" * 64) is None


def test_the_last_value_of_a_key_counts(db: Database) -> None:
    put_calls(db, "judge", {"a": "1"})
    put_calls(db, "judge", {"a": "2"})
    assert get_call(db, "a") == "2"
    put_calls(db, "judge", {})


def test_keys_are_listed_by_kind(db: Database) -> None:
    put_calls(db, "judge", {"a": "1"})
    put_calls(db, "answer", {"b": "1"})
    assert call_keys(db, "judge") == {"a"}


def test_old_calls_are_forgotten(db: Database) -> None:
    put_calls(db, "judge", {"a": "1"})
    assert prune_calls(db) == 0
    assert prune_calls(db, older_than=timedelta(seconds=-1)) == 1
    assert get_call(db, "a") is None
