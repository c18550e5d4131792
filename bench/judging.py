"""Judging stored answers, beside Ragas 0.4.3: how busy each keeps a judge that answers in 50 ms, 8 calls at once.

    python -m bench.judging [--samples 100] [--rounds 3]

100 made-up samples with 5 passages each are judged by faithfulness, context precision, context recall and factual
correctness, by three sides that talk to the same mock judge, a process of its own (bench/mock_judge.py):

lockgate     as ``lockgate evals score`` does it, its database of calls included
ragas-batch  ``abatch_score`` of the metrics of ``ragas.metrics.collections``, one metric after another (all four at
             once are slower), the client bound to 8 connections
ragas-tasks  the same metrics by a scheduler that Ragas does not have: a task a sample and metric, 8 at once

Every side runs in a fresh process, imports and a first call done beforehand. ``bound`` is calls x latency / 8,
``efficiency`` bound / seconds. Then 5 % of the samples change, and all are judged again. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.runs.score_source import score_source
from evals.suite import load_suite
from lockgate.settings import Settings
from lockgate.store.database import open_database

LATENCY, AT_ONCE = 0.05, 8
CHANGED = 0.05
SIDES = ("lockgate", "ragas-batch", "ragas-tasks")
METRICS = ("faithfulness", "context_precision", "context_recall", "correctness")

_SUITE = f"""\
name: judging
version: 1
license: CC0-1.0
corpus: made
metrics: [{", ".join(METRICS)}]
timeout_s: 60
"""
_WORDS = """the of a to in is key token server index release channel setting file folder rotate expire request limit
answer page user role cluster node backup restore secret header timeout retry queue worker batch stream schema table
column version upgrade docs after before every when only until without returns sets reads writes keeps removes"""


@dataclass(frozen=True, slots=True)
class Sample:
    id: str
    question: str
    answer: str
    reference: str
    passages: tuple[str, ...]


def make_samples(count: int, passages: int = 5) -> list[Sample]:
    """The same for the same ``count``: answers of 3 sentences, passages of about 120 words."""
    chance = random.Random(7)

    def sentence(words: int) -> str:
        return " ".join(chance.choices(_WORDS.split(), k=words)).capitalize() + "."

    return [
        Sample(
            f"s{number}",
            sentence(9)[:-1] + f" {number}?",
            " ".join(sentence(12) for _ in range(3)),
            " ".join(sentence(12) for _ in range(3)),
            tuple(" ".join(sentence(15) for _ in range(8)) for _ in range(passages)),
        )
        for number in range(count)
    ]


def changed(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with another answer in 5 % of them, spread evenly, and their questions and references changed too."""
    step = round(1 / CHANGED)
    return [
        replace(
            each, question=f"Now: {each.question}", answer=f"{each.answer} And more.", reference=each.reference[::-1]
        )
        if number % step == 0
        else each
        for number, each in enumerate(samples)
    ]


def write_project(folder: Path, samples: Sequence[Sample]) -> Path:
    """A project with a suite of the samples, and the file of their answers."""
    suite = folder / "evals" / "suites" / "judging"
    suite.mkdir(parents=True, exist_ok=True)
    (suite / "suite.yaml").write_text(_SUITE)
    (suite / "README.md").write_text("Made by bench.judging.\n")
    (folder / "made").mkdir(exist_ok=True)
    (folder / "made" / "page.md").write_text("# Page\n")
    cases = [
        {
            "id": each.id,
            "question": each.question,
            "reference": each.reference,
            "pages": ["page.md"],
            "answerable": True,
            "split": "dev",
        }
        for each in samples
    ]
    answers = [{"case": each.id, "answer": each.answer, "passages": each.passages} for each in samples]
    (suite / "cases.jsonl").write_text("".join(json.dumps(each) + "\n" for each in cases))
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in answers))
    return path


def judge_ours(folder: Path, url: str, samples: Sequence[Sample]) -> float:
    """Seconds that ``lockgate evals score`` takes, its command line left out."""
    answers = write_project(folder, samples)
    settings = Settings(
        project=folder, judge_base_url=url, judge_model="mock", judge_concurrency=AT_ONCE, _env_file=None
    )
    with open_database(settings.database):
        suite = load_suite(settings.project_dir, "judging")
    start = time.perf_counter()
    run = score_source(settings, suite, str(answers), tier="judged", progress=lambda *_: None, say=lambda _: None)
    seconds = time.perf_counter() - start
    for name in METRICS:
        _check_scored(name, run.aggregates["metrics"][name]["n"], len(samples))
    return seconds


def judge_by_ragas(url: str, samples: Sequence[Sample], *, batches: bool) -> float:
    """Seconds that Ragas' metrics take: by its own batches, or by tasks of which 8 go on at once."""
    from evals.ragas_adapter import load_ragas

    collections = load_ragas()
    import httpx
    from openai import AsyncOpenAI
    from ragas.llms.base import llm_factory

    async def go() -> float:
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
        async with httpx.AsyncClient(limits=limits, timeout=600, trust_env=False) as http:
            llm = llm_factory("mock", client=AsyncOpenAI(base_url=url, api_key="none", http_client=http))
            work = [
                (collections.Faithfulness(llm=llm), _inputs(samples, "user_input", "response", "retrieved_contexts")),
                (
                    collections.ContextPrecision(llm=llm),
                    _inputs(samples, "user_input", "reference", "retrieved_contexts"),
                ),
                (collections.ContextRecall(llm=llm), _inputs(samples, "user_input", "reference", "retrieved_contexts")),
                (collections.FactualCorrectness(llm=llm), _inputs(samples, "response", "reference")),
            ]
            start = time.perf_counter()
            if batches:
                found = [each for metric, inputs in work for each in await metric.abatch_score(inputs)]
            else:
                found = await _eight_at_once([(metric, given) for metric, inputs in work for given in inputs])
            seconds = time.perf_counter() - start
        _check_scored("Ragas", sum(math.isfinite(float(each.value)) for each in found), len(METRICS) * len(samples))
        return seconds

    return asyncio.run(go())


async def _eight_at_once(work: Sequence[tuple[Any, Mapping[str, Any]]]) -> list[Any]:
    room = asyncio.Semaphore(AT_ONCE)

    async def score(metric: Any, inputs: Mapping[str, Any]) -> Any:
        async with room:
            return await metric.ascore(**inputs)

    return await asyncio.gather(*(score(metric, inputs) for metric, inputs in work))


def _inputs(samples: Sequence[Sample], *names: str) -> list[dict[str, Any]]:
    known = [
        {
            "user_input": each.question,
            "response": each.answer,
            "reference": each.reference,
            "retrieved_contexts": list(each.passages),
        }
        for each in samples
    ]
    return [{name: each[name] for name in names} for each in known]


def _check_scored(name: str, n: int, wanted: int) -> None:
    if n != wanted:
        raise SystemExit(f"{name}: {n} of {wanted} were scored; the mock does not fit.")


def run_side(side: str, url: str, count: int) -> dict[str, Any]:
    """In a fresh process: warm up, judge, judge again after the change. Figures of both."""
    samples = make_samples(count)
    with tempfile.TemporaryDirectory() as scratch:
        judge: Callable[[Sequence[Sample], str], float]
        if side == "lockgate":
            judge = lambda given, folder: judge_ours(Path(scratch) / folder, url, given)  # noqa: E731
        else:
            judge = lambda given, _: judge_by_ragas(url, given, batches=side == "ragas-batch")  # noqa: E731
        judge(make_samples(count + 1)[-1:], "warm")
        result: dict[str, Any] = {}
        for name, given in (("first", samples), ("again", changed(samples))):
            mock_count(url, "reset")
            cpu = time.process_time()
            seconds = judge(given, "project")
            cpu = time.process_time() - cpu
            counts = mock_count(url, "count")
            bound = counts["calls"] * LATENCY / AT_ONCE
            result[name] = {
                "calls": counts["calls"],
                "refused": counts["refused"],
                "peak": counts["peak"],
                "seconds": round(seconds, 3),
                "bound": round(bound, 3),
                "efficiency": round(bound / seconds, 3),
                "cpu_ms_a_call": round(1000 * cpu / max(1, counts["calls"]), 2),
            }
    return result


def mock_count(url: str, what: str) -> dict[str, int]:
    """What the mock was asked since the last ``reset``; reset gives that, too, and begins anew."""
    with urllib.request.urlopen(url.removesuffix("/v1") + f"/{what}") as response:  # noqa: S310 - loopback
        found: dict[str, int] = json.load(response)
    return found


@contextlib.contextmanager
def mock_judge(latency: float = LATENCY, at_once: int = AT_ONCE) -> Iterator[str]:
    """The address of a mock judge that runs in a process of its own."""
    command = [sys.executable, "-m", "bench.mock_judge", "--latency", str(latency), "--at-once", str(at_once)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=SIDES, default=None)
    options = parser.parse_args()
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    sides = [options.only] if options.only else list(SIDES)
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    fresh = multiprocessing.get_context("spawn")
    with mock_judge() as url:
        for _ in range(options.rounds):
            for side in sides:
                with ProcessPoolExecutor(1, mp_context=fresh) as pool:
                    found[side].append(pool.submit(run_side, side, url, options.samples).result())
                print(side, json.dumps(found[side][-1]), file=sys.stderr, flush=True)
    middle: dict[str, Any] = {side: _medians(rounds) for side, rounds in found.items()}
    if not options.only:
        middle["lockgate against them"] = _compared(middle)
    print(json.dumps(middle, indent=2))


def _medians(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        part: {key: statistics.median(each[part][key] for each in rounds) for key in rounds[0][part]}
        for part in rounds[0]
    }


def _compared(middle: Mapping[str, Any]) -> dict[str, float]:
    ours = middle["lockgate"]
    faster = {
        f"times faster than {side}": round(middle[side]["first"]["seconds"] / ours["first"]["seconds"], 2)
        for side in SIDES[1:]
    }
    return {
        **faster,
        "calls of its first run / calls after the change": round(ours["first"]["calls"] / ours["again"]["calls"], 1),
        "calls of Ragas after the change / its own": round(
            middle["ragas-batch"]["again"]["calls"] / ours["again"]["calls"], 1
        ),
    }


if __name__ == "__main__":
    main()
