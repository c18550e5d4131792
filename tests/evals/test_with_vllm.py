"""A real server beside us, vLLM with the default chat model: judged metrics, a metric of Ragas, an answer of a chain.

This is plumbing. A model of 135 million parameters cannot judge, so what its scores are says nothing; that each is
there, or is unscored with a reason, and that what it says is constrained to the schema, does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from chains.assembly import SharedModels, assemble_chain
from evals.judge.judge import ModelJudge, closed_shape, open_judge
from evals.judge.metrics import JUDGED_METRICS
from evals.judge.sample import JudgedSample
from evals.judge.shapes import Claims, Level, Relevance, verdicts_on
from evals.metrics.score import Unscored
from evals.ragas_adapter import open_ragas
from lockgate.errors import MissingExtra
from lockgate.models.catalogue import load_catalogue
from lockgate.models.fetch import local_path
from lockgate.models.vllm import VllmOptions, VllmServer, find_vllm, vllm_server
from lockgate.settings import Settings
from lockgate.store.releases import open_releases
from lockgate.types import AskRequest, Finished
from tests.chains.projects import open_project

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

NAME = "smol"
SAMPLE = JudgedSample(
    question="Which port does the server listen on?",
    answer="The server listens on port 8000.",
    passages=("The server listens on port 8000 unless told otherwise.",),
    reference="It listens on port 8000.",
)
MOST_TOKENS = 48
"""A small model may say one word for ever: a reply that is cut off is unusable, and soon so."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_path: Path) -> Iterator[VllmServer]:
    """One server for all tests here."""
    settings = Settings(models_dir=models_path, _env_file=None)
    try:
        find_vllm(settings)
    except MissingExtra as error:
        pytest.skip(str(error))
    model = local_path(load_catalogue(Path()).get("smollm2-135m-instruct"), models_path)
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with vllm_server(settings, VllmOptions(model, NAME, eager=True), log=log) as running:
        yield running


@pytest.fixture
async def judge(server: VllmServer, tmp_path: Path) -> AsyncIterator[ModelJudge]:
    settings = Settings(project=tmp_path, judge_base_url=server.url, judge_model=NAME, _env_file=None)
    async with open_judge(settings, timeout_s=300) as opened:
        yield dataclasses.replace(opened, parameters={**opened.parameters, "max_tokens": MOST_TOKENS})


PROMPTS = ("Tell me a joke.", 'Reply with exactly this: {"score": 1.0}')
SHAPES: tuple[type[BaseModel], ...] = (Level, Relevance, Claims, verdicts_on(2))


async def said(server: VllmServer, prompt: str, **more: Any) -> str:
    body = {"model": NAME, "temperature": 0, "max_tokens": 16, "messages": [{"role": "user", "content": prompt}]}
    async with httpx.AsyncClient(timeout=300, trust_env=False) as client:
        reply = await client.post(f"{server.url}/chat/completions", json={**body, **more})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


async def test_what_the_server_says_is_constrained_to_the_schema(server: VllmServer) -> None:
    schemas = [closed_shape(shape.model_json_schema()) for shape in SHAPES]
    asked = [(prompt, schema) for prompt in PROMPTS for schema in schemas]
    replies = await asyncio.gather(
        *(
            said(
                server,
                prompt,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "shape", "schema": schema, "strict": True},
                },
            )
            for prompt, schema in asked
        )
    )
    free = dict(zip(PROMPTS, await asyncio.gather(*(said(server, prompt) for prompt in PROMPTS)), strict=True))
    for (prompt, schema), text in zip(asked, replies, strict=True):
        assert _begins_as(schema, text), text
        assert not _begins_as(schema, free[prompt]), "the schema made no difference"


def _begins_as(schema: dict[str, Any], text: str) -> bool:
    """Whether ``text`` is an object whose first key is the schema's first, also when it was cut off before its end."""
    first = next(iter(schema["properties"]))
    return text.lstrip().startswith("{") and text.lstrip()[1:].lstrip().startswith(f'"{first}"')


async def test_a_judge_gets_the_shape_that_it_asked_for(judge: ModelJudge) -> None:
    prompt = judge.prompts.messages(
        "judge-passage",
        {"question": SAMPLE.question, "reference": SAMPLE.reference, "passage": (SAMPLE.passages or ("",))[0]},
    )
    judge.parameters = {**judge.parameters, "max_tokens": 200}
    reply = await judge.ask(prompt, Relevance, purpose="context_precision")
    assert isinstance(reply.relevant, bool)
    assert judge._takes_schema is True
    assert judge.usage.completion_tokens > 0


@pytest.mark.parametrize("name", ["faithfulness", "context_precision"])
async def test_a_judged_metric_is_scored_or_says_why_not(judge: ModelJudge, name: str) -> None:
    _scored_or_said(await JUDGED_METRICS[name].score(SAMPLE, judge))
    assert judge.usage.asked > 0


async def test_a_metric_of_ragas_is_scored_or_says_why_not(judge: ModelJudge) -> None:
    _scored_or_said(await open_ragas("context_recall").score(SAMPLE, judge))
    assert judge.usage.asked == 1


def _scored_or_said(score: object) -> None:
    if isinstance(score, Unscored):
        assert score.reason
        assert "cannot be reached" not in score.reason
        assert "answered 4" not in score.reason
    else:
        assert isinstance(score, float)
        assert 0 <= score <= 1


async def test_a_chain_answers_through_the_server(server: VllmServer, tmp_path: Path) -> None:
    with open_project(tmp_path) as project:
        settings = project.settings.model_copy(update={"openai_base_url": server.url, "model": NAME})
        release = dataclasses.replace(project, settings=settings).build()
        manifest = open_releases(settings, project.db).manifest(release)
        assert (manifest.model.provider, manifest.model.name) == ("server", NAME)
        chain = assemble_chain(manifest, project.db, project.service, SharedModels(settings))
        request = AskRequest(question="How do I rotate a signing key?", mode="generative", temperature=0.0, seed=0)
        events = [event async for event in chain.ask(request)]
    answer = events[-1]
    assert isinstance(answer, Finished)
    assert answer.answer.mode == "generative"
    assert not answer.answer.abstained
    assert answer.answer.text.strip()
    assert answer.answer.usage.completion_tokens > 0


def test_the_log_says_nothing_of_reports_about_its_use(server: VllmServer) -> None:
    assert server.running
    assert json.dumps("usage_lib")[1:-1] not in server.log.read_text(errors="replace")
