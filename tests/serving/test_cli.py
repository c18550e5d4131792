from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from lockgate.errors import Conflict, NotFound
from lockgate.owner import acquire, find_server
from serving import cli
from tests.serving.fakes import wait_for

HEAVY = ("torch", "transformers", "langchain", "langchain_core", "nicegui", "qdrant_edge", "qdrant_client", "fastapi",
         "sqlalchemy", "sentence_transformers", "ragas", "openai")  # fmt: skip

LOOK = """
import sys
from serving.cli import run
code = run({arguments!r})
heavy = sorted(set({heavy!r}) & set(sys.modules))
print("HEAVY", code, heavy, file=sys.stderr)
"""


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}
    return kept | {"TERM": "dumb", "NO_COLOR": "1"} | changes


def lockgate(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from serving.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(**changes),
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["version"], *([noun, "--help"] for noun in cli.NOUNS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = LOOK.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment(), check=False
    )
    assert done.stderr.strip().endswith("HEAVY 0 []"), done.stderr


def test_help_lists_every_noun_and_command() -> None:
    done = lockgate("--help")
    assert done.returncode == 0
    for word in ("up", "serve", "doctor", "version", *cli.NOUNS):
        assert f" {word} " in done.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    done = lockgate("bake")
    assert done.returncode == 2
    assert "bake" in done.stderr


def test_version_works_in_any_folder_and_as_json(tmp_path: Path) -> None:
    done = lockgate("version", LOCKGATE_PROJECT=str(tmp_path / "nowhere"))
    assert done.returncode == 0
    assert done.stdout.startswith("lockgate ")
    found = json.loads(lockgate("version", "--json").stdout)
    assert found["python"].startswith("3.")
    assert found["torch"]


def test_a_wrong_setting_is_one_line_and_a_hint_without_a_traceback() -> None:
    done = lockgate("doctor", LOCKGATE_PORT="high")
    assert done.returncode == 1
    assert "LOCKGATE_PORT='high'" in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_project_that_is_no_folder_is_named() -> None:
    done = lockgate("--project", "/nowhere", "doctor")
    assert done.returncode == 1
    assert "/nowhere" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (NotFound("No such chain.", hint="See: lockgate chains list"), 1, "error: No such chain.\nhint: See"),
        (NotFound("bad \x1b[31m name"), 1, "error: bad [31m name"),
        (ValueError("odd"), 1, "error: ValueError: odd\nSet LOCKGATE_LOG_LEVEL=DEBUG"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(3), 3, ""),
    ],
)
def test_errors_become_messages_and_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    shown: str,
) -> None:
    def fail(_: object) -> object:
        raise error

    monkeypatch.delenv("LOCKGATE_LOG_LEVEL", raising=False)
    monkeypatch.setattr("serving.doctor.examine", fail)
    assert cli.run(["doctor"]) == code
    message = capsys.readouterr().err
    assert shown in message
    assert "Traceback" not in message


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> object:
        raise ValueError("odd")

    monkeypatch.setenv("LOCKGATE_LOG_LEVEL", "DEBUG")
    monkeypatch.setattr("serving.doctor.examine", fail)
    assert cli.run(["doctor"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c 'from serving.cli import main; main()' version --json | true"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_doctor_names_what_is_wrong_and_fails(tmp_path: Path) -> None:
    done = lockgate("--project", str(tmp_path), "doctor", "--json", LOCKGATE_MODELS_DIR=str(tmp_path / "models"))
    assert done.returncode == 1
    report = json.loads(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert report["ok"] is False
    assert checks["models"]["ok"] is False
    assert "lockgate models pull" in checks["models"]["hint"]
    assert checks["python"]["ok"] is True
    assert checks["index"]["ok"] is None
    assert "torch" in report["versions"]
    assert not (tmp_path / ".lockgate").exists(), "a doctor changes nothing"


def test_doctor_names_the_holder_and_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, acquire(tmp_path / ".lockgate", "lockgate ingestion sync"):
        port = str(taken.getsockname()[1])
        text = lockgate("--project", str(tmp_path), "doctor", LOCKGATE_PORT=port).stdout
    assert "lockgate ingestion sync" in text
    assert f"{port} cannot be used" in text


def test_serve_without_models_says_how_to_get_them(tmp_path: Path) -> None:
    done = lockgate("--project", str(tmp_path), "serve", LOCKGATE_MODELS_DIR=str(tmp_path / "models"))
    assert done.returncode == 1
    assert "lockgate models pull" in done.stderr


def test_up_refuses_a_folder_that_is_not_there_before_it_downloads(tmp_path: Path) -> None:
    done = lockgate(
        "--project", str(tmp_path), "up", str(tmp_path / "nowhere"), LOCKGATE_MODELS_DIR=str(tmp_path / "models")
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert not (tmp_path / "models").exists()


def test_up_tells_of_a_taken_port_before_it_downloads(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = lockgate("--project", str(tmp_path), "up", "--port", port, LOCKGATE_MODELS_DIR=str(tmp_path / "models"))
    assert done.returncode == 1
    assert f"Port {port} is in use" in done.stderr
    assert "MB to download" in done.stderr
    assert not (tmp_path / "models").exists()


SERVE = """
import sys
from pathlib import Path
import serving.plan
serving.plan.require_models = lambda settings: None
from serving.cli import main
main(["--project", sys.argv[1], "serve", "--port", sys.argv[2]])
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_is_found_refuses_a_second_one_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVE, str(tmp_path)]
    with subprocess.Popen(
        [*command, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(LOCKGATE_MODELS_DIR=str(tmp_path / "models")),
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == f"The chat page is up: http://localhost:{port} (loading what answers)\n"
            handle = find_server(tmp_path / ".lockgate")
            assert handle is not None
            assert handle.url == f"http://127.0.0.1:{port}"
            second = subprocess.run(
                [*command, str(free_port())], capture_output=True, text=True, timeout=60, env=environment(), check=False
            )
            assert second.returncode == 1
            assert f"process {server.pid}" in second.stderr
            assert f"http://127.0.0.1:{port}" in second.stderr
        finally:
            server.send_signal(number)
            started = time.monotonic()
            _, errors = server.communicate(timeout=30)
        assert time.monotonic() - started < 15
        assert server.returncode == 0
        assert "Traceback" not in errors
    assert not (tmp_path / ".lockgate" / "owner.json").exists()
    assert wait_for(lambda: find_server(tmp_path / ".lockgate") is None)
    acquire(tmp_path / ".lockgate", "next").release()


def test_a_command_that_finds_the_index_taken_names_the_holder(tmp_path: Path) -> None:
    with acquire(tmp_path, "first"), pytest.raises(Conflict, match="first"):
        acquire(tmp_path, "second")
