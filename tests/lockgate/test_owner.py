from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lockgate import owner
from lockgate.errors import Conflict

HOLD = """
import sys, time
from pathlib import Path
from lockgate.owner import acquire
held = acquire(Path(sys.argv[1]), "lockgate serve", "http://127.0.0.1:8123")
print("held", flush=True)
time.sleep(60)
"""


def hold_elsewhere(state: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(state)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_the_card_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    with owner.acquire(tmp_path, "lockgate serve", "http://127.0.0.1:8000") as held:
        mode = stat.S_IMODE((tmp_path / owner.CARD_FILE).stat().st_mode)
        assert mode == 0o600
        assert len(held.token) >= 32
        assert json.loads((tmp_path / owner.CARD_FILE).read_text())["pid"] == os.getpid()


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    process = hold_elsewhere(tmp_path)
    try:
        with pytest.raises(Conflict, match="lockgate serve") as raised:
            owner.acquire(tmp_path, "lockgate serve")
        assert str(process.pid) in raised.value.message
        assert "http://127.0.0.1:8123" in raised.value.message
    finally:
        end(process)


def test_two_holders_in_one_process_conflict_too(tmp_path: Path) -> None:
    with owner.acquire(tmp_path, "first"), pytest.raises(Conflict, match="first"):
        owner.acquire(tmp_path, "second")


def test_a_server_is_found_while_it_lives_and_not_after_kill_9(tmp_path: Path) -> None:
    process = hold_elsewhere(tmp_path)
    try:
        handle = owner.find_server(tmp_path)
        assert handle is not None
        assert handle.url == "http://127.0.0.1:8123"
        assert handle.pid == process.pid
    finally:
        end(process)
    assert (tmp_path / owner.CARD_FILE).exists(), "kill -9 leaves the card"
    assert owner.find_server(tmp_path) is None
    with owner.acquire(tmp_path, "next") as held:
        assert held.card.command == "next"


def test_a_command_that_holds_the_index_is_no_server(tmp_path: Path) -> None:
    with owner.acquire(tmp_path, "lockgate ingestion sync"):
        assert owner.find_server(tmp_path) is None
        card = owner.find_owner(tmp_path)
        assert card is not None
        assert card.command == "lockgate ingestion sync"


def test_an_address_announced_later_is_found(tmp_path: Path) -> None:
    with owner.acquire(tmp_path, "lockgate serve") as held:
        held.announce("http://127.0.0.1:9000")
        handle = owner.find_server(tmp_path)
        assert handle is not None
        assert (handle.url, handle.token) == ("http://127.0.0.1:9000", held.token)


def test_release_frees_the_lock_and_removes_the_card(tmp_path: Path) -> None:
    held = owner.acquire(tmp_path, "one")
    held.release()
    held.release()
    assert not (tmp_path / owner.CARD_FILE).exists()
    owner.acquire(tmp_path, "two").release()


def test_waiting_takes_over_when_the_holder_lets_go(tmp_path: Path) -> None:
    held = owner.acquire(tmp_path, "one")
    timer = threading.Timer(0.5, held.release)
    timer.start()
    with owner.acquire(tmp_path, "two", wait=10) as second:
        assert second.card.command == "two"
    timer.join()


def test_readers_who_look_all_the_time_do_not_keep_anybody_out(tmp_path: Path) -> None:
    owner.acquire(tmp_path, "one", "http://127.0.0.1:1").release()
    card = {"pid": 1, "url": "http://127.0.0.1:1", "token": "t", "command": "c", "started": "s"}
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            (tmp_path / owner.CARD_FILE).write_text(json.dumps(card))
            owner.find_server(tmp_path)
            time.sleep(0.001)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(20):
            owner.acquire(tmp_path, "again").release()
    finally:
        stop.set()
        for reader in readers:
            reader.join()


@pytest.mark.parametrize(
    "card",
    ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "url": null, "token": 1, "command": 2, "started": 3}'],
)
def test_a_broken_card_is_nobody(tmp_path: Path, card: str) -> None:
    with owner.acquire(tmp_path, "one"):
        (tmp_path / owner.CARD_FILE).write_text(card)
        assert owner.find_server(tmp_path) is None
        with pytest.raises(Conflict, match="another process"):
            owner.acquire(tmp_path, "two")


def test_a_token_never_goes_to_another_machine(tmp_path: Path) -> None:
    with owner.acquire(tmp_path, "one", "http://127.0.0.1:1"):
        path = tmp_path / owner.CARD_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | {"url": "http://example.com:80"}))
        assert owner.find_server(tmp_path) is None
