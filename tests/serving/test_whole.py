"""The whole way with the real models: `lockgate up` in a process of its own, asked as its users ask it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from playwright.sync_api import sync_playwright

from lockgate.owner import find_server
from lockgate.settings import Settings
from lockgate.store.database import open_database
from lockgate.store.traces import list_traces

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent.parent
LOCKGATE = str(Path(sys.executable).parent / "lockgate")
PAGES = ("snapshots.md", "guardrails.md", "configuration.md")


@dataclass(frozen=True, slots=True)
class Up:
    """A running `lockgate up` and where it works."""

    project: Path
    address: str
    environment: dict[str, str]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [LOCKGATE, *arguments], env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.address}/metrics", trust_env=False, timeout=30).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, models_path: Path) -> Iterator[Up]:
    project = tmp_path_factory.mktemp("project")
    (project / "docs").mkdir()
    for name in PAGES:
        shutil.copy(ROOT / "docs" / name, project / "docs" / name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}
    environment |= {
        "LOCKGATE_PROJECT": str(project),
        "LOCKGATE_MODELS_DIR": str(models_path),
        "LOCKGATE_GENERATION_QUEUE": "3",
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = (project / "up.log").open("w")
    server = subprocess.Popen(
        [LOCKGATE, "up", str(project / "docs"), "--port", str(port)], env=environment, stdout=log, stderr=log
    )
    running = Up(project, f"http://127.0.0.1:{port}", environment)
    try:
        _wait_until_ready(running, server)
        yield running
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        log.close()


def _wait_until_ready(up: Up, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, (up.project / "up.log").read_text()
        try:
            if httpx.get(f"{up.address}/readyz", trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError((up.project / "up.log").read_text())


def _client(up: Up) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{up.address}/v1", api_key="unused", max_retries=0, timeout=300)


def test_an_answer_is_quoted_and_cited(up: Up) -> None:
    answer = _client(up).chat.completions.create(
        model="docs", messages=[{"role": "user", "content": "How many snapshots are kept?"}]
    )
    account = answer.model_extra["lockgate"] if answer.model_extra else {}
    assert "five snapshots" in (answer.choices[0].message.content or "")
    assert account["citations"][0]["path"] == "snapshots.md"
    assert len(account["citations"][0]["version"]) == 12
    assert len(account["release"]) == 64
    assert account["channel"] == "staging"


def test_a_question_that_the_documents_do_not_answer_is_said_to_be_one(up: Up) -> None:
    answer = _client(up).chat.completions.create(
        model="docs", messages=[{"role": "user", "content": "What is the capital of France?"}]
    )
    assert answer.model_extra is not None
    assert answer.model_extra["lockgate"]["abstained"] is True
    assert answer.model_extra["lockgate"]["citations"] == []


def test_the_command_line_goes_through_the_server(up: Up) -> None:
    result = up.command("chains", "ask", "How many snapshots are kept?")
    assert result.returncode == 0, result.stderr
    assert "[1]" in result.stdout
    assert "snapshots.md (version " in result.stdout
    second = up.command("serve", "--port", "1")
    assert second.returncode == 1
    assert "lockgate up" in second.stderr


def test_twenty_parallel_streams_of_the_model_finish_or_are_told_to_come_back(up: Up) -> None:
    outcomes: list[str] = []

    def one() -> None:
        body = {
            "model": "docs",
            "messages": [{"role": "user", "content": "How many snapshots are kept?"}],
            "stream": True,
            "max_tokens": 8,
            "lockgate": {"mode": "generative"},
        }
        with httpx.stream(
            "POST", f"{up.address}/v1/chat/completions", json=body, trust_env=False, timeout=300
        ) as response:
            text = response.read().decode()
        if response.status_code == 503:
            assert int(response.headers["Retry-After"]) >= 1
            outcomes.append("503")
        else:
            assert text.rstrip().endswith("data: [DONE]"), text[-500:]
            outcomes.append("finished")

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert len(outcomes) == 20
    assert outcomes.count("finished") >= 4  # one at work and three that waited


def test_a_client_that_leaves_frees_its_place(up: Up) -> None:
    body = {
        "model": "docs",
        "messages": [{"role": "user", "content": "How many snapshots are kept?"}],
        "stream": True,
        "lockgate": {"mode": "generative"},
    }
    with httpx.stream("POST", f"{up.address}/v1/chat/completions", json=body, trust_env=False, timeout=300) as response:
        assert response.status_code == 200
        next(response.iter_lines())
    deadline = time.monotonic() + 30
    while (left := up.metric("lockgate_in_flight_requests")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == 0
    with open_database(Settings(project=up.project, _env_file=None).database) as db:
        assert list_traces(db, limit=1)[0].status == "cancelled"


@pytest.mark.browser
def test_a_reader_asks_in_the_browser_and_opens_a_citation(up: Up) -> None:
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-background-networking", "--disable-gpu"],
        )
        page = browser.new_page()
        page.goto(up.address)
        page.wait_for_selector("#lg-field")
        page.fill("#lg-field", "How many snapshots are kept?")
        page.press("#lg-field", "Enter")
        page.get_by_role("button", name="Open source 1: Snapshots").click(timeout=60_000)
        dialog = page.get_by_role("dialog", name="Source 1: Snapshots")
        text = dialog.inner_text()
        assert "snapshots.md" in text
        assert "five snapshots" in text
        browser.close()


def test_a_killed_server_leaves_nothing_that_stops_the_next_one(up: Up, tmp_path: Path) -> None:
    project = tmp_path / "second"
    shutil.copytree(up.project / "docs", project / "docs")
    environment = up.environment | {"LOCKGATE_PROJECT": str(project)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [LOCKGATE, "up", str(project / "docs"), "--port", str(port)], env=environment, stdout=log, stderr=log
        )
        while find_server(project / ".lockgate") is None:
            assert server.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        server.kill()
        server.wait(30)
    result = subprocess.run(
        [LOCKGATE, "ingestion", "sync", str(project / "docs")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "3 pages" in result.stdout


def _answer(up: Up, model: str) -> tuple[str, dict[str, Any]]:
    answer = _client(up).chat.completions.create(
        model=model, messages=[{"role": "user", "content": "What is the capital of France?"}]
    )
    return answer.choices[0].message.content or "", (answer.model_extra or {})["lockgate"]


def test_a_release_goes_from_a_file_to_production_and_back(up: Up) -> None:
    """The last test of this file: it leaves production set."""
    first = _answer(up, "staging")[1]["release"]
    definitions = up.project / "chains" / "definitions"
    definitions.mkdir(parents=True)
    (definitions / "docs.yaml").write_text("name: docs\nabstention: Ask a person.\n")
    assert _answer(up, "staging")[1]["release"] == first, "an edit alone must not change an answer"

    built = up.command("release", "build")
    assert built.returncode == 0, built.stderr
    second = built.stdout.strip()
    assert second != first
    assert _answer(up, second)[0] == "Ask a person."

    refused = up.command("release", "promote", second[:12], "production")
    assert refused.returncode == 3, refused.stderr  # INCONCLUSIVE: nothing was measured
    assert "verify" in refused.stderr
    assert "docs-smoke" in refused.stderr
    with pytest.raises(openai.NotFoundError, match="lockgate release promote RELEASE production"):
        _answer(up, "production")

    forced = up.command("release", "promote", second, "production", "--force", "--reason", "A test.")
    assert forced.returncode == 0, forced.stderr
    text, account = _answer(up, "docs@production")
    assert (text, account["release"], account["forced"]) == ("Ask a person.", second, True)
    assert _answer(up, "docs")[1]["channel"] == "production"
    assert _answer(up, "staging")[1]["release"] == first

    again = up.command("release", "promote", first, "production", "--force", "--reason", "The old one.")
    assert again.returncode == 0, again.stderr
    back = up.command("release", "rollback", "production", "--reason", "It was better.")
    assert back.returncode == 0, back.stderr
    assert _answer(up, "production")[1]["release"] == second
    told = up.command("release", "history", "production").stdout
    assert told.count("FORCED") == 3
    assert "It was better." in told

    shown = up.command("release", "diff", first, second).stdout
    assert "Ask a person." in shown
    assert up.command("release", "verify", "production").returncode == 0
    blamed = up.command("prompts", "blame", "answer", "--at", "2020-01-01")
    assert blamed.returncode == 1
    assert "Traceback" not in blamed.stderr
