"""The vLLM process: started, waited for, and ended in every way, with a stand-in for vLLM itself."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

import lockgate
from lockgate.errors import MissingExtra, Unavailable, UserError
from lockgate.models.vllm import VllmOptions, find_vllm, start_vllm, vllm_server, why_it_ended
from lockgate.settings import Settings

FAKE = Path(__file__).with_name("fake_vllm.py")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(FAKE))} "$@"\n')
    python.chmod(0o755)
    return Settings(project=tmp_path, vllm_python=python, _env_file=None)


def options(tmp_path: Path, name: str = "serves", **more: Any) -> VllmOptions:
    model = tmp_path / "model"
    model.mkdir(exist_ok=True)
    return VllmOptions(model, name, **more)


def seen(tmp_path: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((tmp_path / "model" / "seen.json").read_text())
    return body


def gone(pids: list[int], seconds: float = 15.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_a_server_answers_on_loopback_and_leaves_no_process(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "LOCKGATE_JUDGE_API_KEY", "VLLM_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    steps: list[str] = []
    chosen = options(tmp_path, eager=True, adapters={"a1": tmp_path})
    with vllm_server(
        settings, chosen, log=tmp_path / "logs" / "vllm.log", progress=lambda stage, *_: steps.append(stage)
    ) as server:
        assert server.running
        assert server.url.startswith("http://127.0.0.1:")
        told = seen(tmp_path)
    assert "secret" not in told["env"].values()
    assert (told["env"]["VLLM_NO_USAGE_STATS"], told["env"]["VLLM_LOGGING_LEVEL"]) == ("1", "DEBUG")
    assert (told["env"]["HF_HUB_OFFLINE"], told["env"]["VLLM_HOST_IP"]) == ("1", "127.0.0.1")
    assert "--enforce-eager" in told["argv"]
    assert told["argv"][-2:] == ["--lora-modules", f"a1={tmp_path}"]
    assert set(steps) == {"starting vLLM"}
    assert gone(told["pids"], 0.5)
    assert not server.running


def test_the_words_of_a_server_that_crashes_are_the_reason(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"ValueError: the model has no head.*vllm\.log"):
        start_vllm(settings, options(tmp_path, "crashes"), log=tmp_path / "vllm.log")
    assert gone(seen(tmp_path)["pids"])


@pytest.mark.parametrize("name", ["hangs", "other"])
def test_a_server_that_is_never_ready_or_another_s_is_ended(settings: Settings, tmp_path: Path, name: str) -> None:
    with pytest.raises(Unavailable, match="not ready within 3 s"):
        start_vllm(settings, options(tmp_path, name), log=tmp_path / "vllm.log", ready_seconds=3)
    assert gone(seen(tmp_path)["pids"])


def test_an_interrupt_while_waiting_ends_the_server(settings: Settings, tmp_path: Path) -> None:
    def interrupt(_stage: str, _done: int, _total: int) -> None:
        if (tmp_path / "model" / "seen.json").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_vllm(settings, options(tmp_path, "hangs"), log=tmp_path / "vllm.log", progress=interrupt)
    assert gone(seen(tmp_path)["pids"])


def test_a_server_ends_when_who_started_it_is_killed(settings: Settings, tmp_path: Path) -> None:
    chosen = options(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from lockgate.settings import Settings\n"
        "from lockgate.models.vllm import VllmOptions, start_vllm\n"
        f"settings = Settings(project={str(tmp_path)!r}, vllm_python={str(settings.vllm_python)!r}, _env_file=None)\n"
        f"start_vllm(settings, VllmOptions(Path({str(chosen.model)!r}), 'serves'), log=Path({str(tmp_path / 'l')!r}))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        pids = seen(tmp_path)["pids"]
        assert all(psutil.pid_exists(pid) for pid in pids)
        owner.kill()
    assert gone(pids)


def test_without_vllm_the_error_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockgate, "__file__", str(tmp_path / "lockgate" / "__init__.py"))
    with pytest.raises(MissingExtra, match="make vllm"):
        find_vllm(Settings(project=tmp_path, _env_file=None))
    half = tmp_path / ".venv-vllm" / "bin" / "python"
    half.parent.mkdir(parents=True)
    half.touch()
    with pytest.raises(MissingExtra, match="make vllm"):
        find_vllm(Settings(project=tmp_path, _env_file=None))
    (tmp_path / ".venv-vllm" / ".installed").touch()
    assert find_vllm(Settings(project=tmp_path, _env_file=None)) == half
    with pytest.raises(MissingExtra, match=r"LOCKGATE_VLLM_PYTHON: .*absent is no file"):
        find_vllm(Settings(project=tmp_path, vllm_python=tmp_path / "absent", _env_file=None))


@pytest.mark.parametrize("name", ["", "--port", "a b", "a=b", "x" * 300])
def test_what_cannot_be_a_name_or_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name"):
        VllmOptions(tmp_path, name).arguments(1)
    with pytest.raises(UserError, match="is not a folder"):
        VllmOptions(tmp_path / "absent", "m").arguments(1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", ""),
        (b"INFO all is well\n", ""),
        (
            b"(Worker pid=1) \x1b[31mERROR [a.py:3] torch.OutOfMemoryError: no room\x1b[0m\n",
            "OutOfMemoryError: no room",
        ),
        (b"api_server.py: error: argument --port: invalid int\n", "error: argument --port: invalid int"),
        (b"OSError: no such file\nRuntimeError: Engine core initialization failed.\n", "OSError: no such file"),
        (b"RuntimeError: Engine core initialization failed.\n", "RuntimeError: Engine core initialization failed."),
        (b"\xff\xfe ValueError: \xff\n", "ValueError: \ufffd"),
    ],
)
def test_finds_the_line_that_says_why(tmp_path: Path, said: bytes, why: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(said)
    assert why_it_ended(log) == why
