from __future__ import annotations

import json
import sys
import time

import pytest

from lockgate.terminal import _Lines, json_text, plain, progress_bars


def test_text_that_would_drive_the_terminal_is_dropped() -> None:
    assert plain("a\x1b[2Jb\u202ec\u200bd\x9be\n") == "a[2Jbcde\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_json_on_a_terminal_is_ascii(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    text = json_text({"text": "é\u202e\x9b"})
    assert text.isascii() is terminal
    assert json.loads(text) == {"text": "é\u202e\x9b"}


def test_a_stage_says_when_it_begins_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as progress:
        for done in range(4):
            progress("read", done, 3)
    assert capsys.readouterr().err == "read: 0 of 3 (0 %)\nread: 3 of 3 (100 %)\n"


def test_a_stage_that_reports_nothing_is_not_silent(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _Lines(1, "", every=0.05)
    with lines.heartbeat():
        lines("read", 1, 3)
        time.sleep(0.3)
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["read: 1 of 3 (33 %)", "read: 1 of 3 (33 %), 0 s"]
    assert len(said) >= 3
    time.sleep(0.1)
    assert capsys.readouterr().err == ""
