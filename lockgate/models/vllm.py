"""vLLM as a process beside us: started from an environment of its own, waited for, and ended with us whatever happens.

vLLM is never imported. Its environment is .venv-vllm beside this code (``make vllm``), or the one whose Python
LOCKGATE_VLLM_PYTHON names.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import lockgate
from lockgate.errors import MissingExtra, Unavailable, UserError
from lockgate.models import keeper
from lockgate.ports import Progress
from lockgate.settings import Settings
from lockgate.terminal import plain

HOST = "127.0.0.1"
READY_SECONDS = 300.0
"""A small model takes 30 to 60 s on two quiet cores."""

_LOOK = 0.25
_STOP_SECONDS = keeper.GRACE_SECONDS + 5
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "XDG_CACHE_HOME")
_KEPT_PREFIXES = ("VLLM_", "OMP_", "CUDA_", "NVIDIA_", "HIP_", "TORCH_")
_ENVIRONMENT = {
    "VLLM_HOST_IP": HOST,
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "PYTHONWARNINGS": "ignore",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")
_ERROR = re.compile(r"\b(?:[A-Z]\w*(?:Error|Exception)|error): ?\S")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NOT_WHY = re.compile(
    r"EngineDeadError|See stack trace above|Engine core initialization failed|Worker failed with error"
)


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """``model`` is a folder with the weights; ``name`` is what clients call it.

    ``adapters`` are LoRA adapters of at most rank ``max_lora_rank``, by the names that clients give as their model.
    ``eager`` leaves out compiling: ready sooner, and slower after that. ``cache_gb`` is the memory for the requests
    under way, on a CPU.
    """

    model: Path
    name: str
    context: int = 4096
    adapters: Mapping[str, Path] = field(default_factory=dict)
    max_lora_rank: int = 16
    eager: bool = False
    cache_gb: int = 1

    def arguments(self, port: int) -> list[str]:
        """The server's command line. Raises UserError for what is no folder or no name."""
        for name, folder in ((self.name, self.model), *self.adapters.items()):
            if not _NAME.fullmatch(name):
                raise UserError(f"{name[:80]!r} cannot be the name of a served model.")
            if not folder.is_dir():
                raise UserError(f"{name}: {folder} is not a folder.")
        made = ["--model", str(self.model.resolve()), "--served-model-name", self.name]
        made += ["--host", HOST, "--port", str(port), "--max-model-len", str(self.context)]
        if self.eager:
            made.append("--enforce-eager")
        if self.adapters:
            made += ["--enable-lora", "--max-lora-rank", str(self.max_lora_rank), "--lora-modules"]
            made += [f"{name}={folder.resolve()}" for name, folder in self.adapters.items()]
        return made


@dataclass(slots=True)
class VllmServer:
    """A server that answers. ``url`` is what OPENAI_BASE_URL takes."""

    url: str
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """End the server and all its processes; returns when they are gone."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def vllm_server(
    settings: Settings,
    options: VllmOptions,
    *,
    log: Path,
    progress: Progress | None = None,
    ready_seconds: float = READY_SECONDS,
) -> Iterator[VllmServer]:
    """A server while the context lasts; see ``start_vllm``."""
    server = start_vllm(settings, options, log=log, progress=progress, ready_seconds=ready_seconds)
    try:
        yield server
    finally:
        server.stop()


def start_vllm(
    settings: Settings,
    options: VllmOptions,
    *,
    log: Path,
    progress: Progress | None = None,
    ready_seconds: float = READY_SECONDS,
) -> VllmServer:
    """Start a server on a free loopback port and wait until it answers. It ends with this process, killed or not.

    ``log`` gets what vLLM says. Raises MissingExtra without vLLM, UserError for wrong options, and Unavailable with
    vLLM's own words when it ends or takes longer than ``ready_seconds``.
    """
    python = find_vllm(settings)
    port = _free_port()
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", *options.arguments(port)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-I", str(Path(keeper.__file__)), *command],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=vllm_environment(os.environ, options),
            start_new_session=True,
        )
    server = VllmServer(f"http://{HOST}:{port}/v1", log, process)
    try:
        _wait_until_ready(server, options.name, progress, ready_seconds)
    except BaseException:
        server.stop()
        raise
    return server


def find_vllm(settings: Settings) -> Path:
    """The Python of vLLM's environment. Raises MissingExtra that says how to make it."""
    if settings.vllm_python is not None:
        chosen = settings.vllm_python.expanduser()
        if chosen.is_file():
            return chosen
        raise MissingExtra(
            f"LOCKGATE_VLLM_PYTHON: {chosen} is no file.", hint="Name the Python of an environment with vLLM."
        )
    beside = Path(lockgate.__file__).parents[1]
    python = beside / ".venv-vllm" / "bin" / "python"
    if python.is_file() and (beside / ".venv-vllm" / ".installed").is_file():
        return python
    raise MissingExtra(
        "vLLM is not installed.",
        hint=f"Run: make vllm (in {beside}), or name the Python of an environment with vLLM in LOCKGATE_VLLM_PYTHON.",
    )


def vllm_environment(given: Mapping[str, str], options: VllmOptions) -> dict[str, str]:
    """What the server sees of our environment: no keys, no settings of ours. It reports and downloads nothing."""
    kept = {name: value for name, value in given.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    kept.pop("VLLM_API_KEY", None)  # on loopback there is none
    return {"VLLM_CPU_KVCACHE_SPACE": str(options.cache_gb), **kept, **_ENVIRONMENT}


def why_it_ended(log: Path) -> str:
    """The last line of vLLM's log that names an error, as far as that says why; "" without one."""
    text = _COLOUR.sub("", log.read_bytes()[-200_000:].decode("utf-8", "replace"))
    lines = [plain(line) for line in text.splitlines()]
    errors = [found for line in lines if (found := _error_in(line))]
    telling = [error for error in errors if not _NOT_WHY.search(error)]
    return (telling or errors or [""])[-1][:400]


def _error_in(line: str) -> str:
    """The error of a line without what a logger puts before it."""
    found = _ERROR.search(line)
    return " ".join(line[found.start() :].split()) if found else ""


def _wait_until_ready(server: VllmServer, name: str, progress: Progress | None, ready_seconds: float) -> None:
    started = time.monotonic()
    while (waited := time.monotonic() - started) < ready_seconds:
        if progress:
            progress("starting vLLM", int(waited), 0)
        if not server.running:
            why = why_it_ended(server.log)
            raise Unavailable(f"vLLM ended before it was ready: {why or 'it gave no reason'}.", hint=_see(server.log))
        if _serves(server.url, name):
            return
        time.sleep(_LOOK)
    raise Unavailable(f"vLLM was not ready within {ready_seconds:g} s.", hint=_see(server.log))


def _see(log: Path) -> str:
    return f"Its log: {log}"


def _serves(url: str, name: str) -> bool:
    """Whether it answers, and is ours: another process may have taken the port in between."""
    import httpx

    try:
        with httpx.Client(timeout=5, trust_env=False) as client:
            if client.get(f"{url.removesuffix('/v1')}/health").status_code != 200:
                return False
            listed = client.get(f"{url}/models").json()
        return name in {each["id"] for each in listed["data"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])
