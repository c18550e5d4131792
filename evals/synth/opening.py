"""From options to a writer: rules, the model of this process, or one by URL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from evals.synth.proposal import Maker
from evals.synth.writers import AT_ONCE, RULES, LocalWriter, RuleWriter, ServerWriter, Writer
from lockgate.errors import UserError
from lockgate.settings import Settings

if TYPE_CHECKING:
    from evals.runs.call_cache import CountedCalls

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """``name`` "" is none, "local" the model of this process; any other is one that the server at ``url`` serves."""

    name: str = ""
    url: str = ""


@contextlib.contextmanager
def open_writer(settings: Settings, choice: ModelChoice, calls: CountedCalls, seed: int) -> Iterator[Writer]:
    """Raises UserError for a model without an address, NotFound when the local model is not pulled."""
    if not choice.name:
        if choice.url:
            raise UserError("--model-url needs --model: the name by which the server knows the model.")
        yield RuleWriter(Maker(kind="rules", name=RULES, seed=seed))
        return
    with asyncio.Runner() as runner:
        if choice.name == LOCAL:
            if choice.url:
                raise UserError("--model local runs in this process: leave out --model-url.")
            yield from _local(settings, calls, seed, runner)
        else:
            yield from _server(settings, choice, calls, seed, runner)


def _local(settings: Settings, calls: CountedCalls, seed: int, runner: asyncio.Runner) -> Iterator[Writer]:
    from chains.definition import load_chain
    from lockgate.models.catalogue import load_catalogue
    from lockgate.models.generator import load_generator
    from prompts.collection import find_prompt

    name = settings.model or load_chain(settings.project_dir, settings.chain).model
    generator = load_generator(settings, load_catalogue(settings.project_dir).get(name, "chat"))
    prompt = find_prompt(settings.project_dir, "synth-short")
    maker = Maker(kind="local", name=generator.name, digest=generator.digest, prompt=prompt.hash, seed=seed)
    try:
        yield LocalWriter(generator, prompt, calls, maker, runner)
    finally:
        generator.close()


def _server(
    settings: Settings, choice: ModelChoice, calls: CountedCalls, seed: int, runner: asyncio.Runner
) -> Iterator[Writer]:
    from evals.judge.book import PromptBook
    from evals.judge.identity import host_of
    from evals.judge.judge import ModelJudge
    from evals.judge.server import JudgeServer
    from lockgate.release import canonical_json
    from prompts.collection import find_prompt

    url = choice.url or settings.openai_base_url
    _check_address(url)
    # The key belongs to the address of the settings, and goes to no other host.
    same = bool(settings.openai_base_url) and _origin(url) == _origin(settings.openai_base_url)
    key = settings.openai_api_key if same else ""
    server = JudgeServer(base_url=url, api_key=key or "none", concurrency=AT_ONCE)
    parameters = {"temperature": 0, "seed": seed, "max_tokens": 512}
    judge = ModelJudge(server, choice.name, PromptBook(settings.project_dir), calls, parameters)
    hashes = [find_prompt(settings.project_dir, name).hash for name in ("synth-question", "synth-near-miss")]
    maker = Maker(kind="server", name=choice.name, host=host_of(url), prompt=_digest(canonical_json(hashes)), seed=seed)
    try:
        yield ServerWriter(judge, maker, runner)
    finally:
        runner.run(judge.aclose())


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        named = False
    if not named:
        raise UserError(
            "--model-url: no address such as http://localhost:8001/v1 was given.",
            hint="Give --model-url, or set OPENAI_BASE_URL. --model local needs none.",
        )
    if "@" in urlsplit(url).netloc:
        raise UserError("--model-url: must not hold a user or password: give the key as OPENAI_API_KEY.")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
