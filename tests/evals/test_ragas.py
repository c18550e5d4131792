"""Ragas' own metrics through the adapter: without a model, and with one that a loopback server plays."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import metadata
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from evals import ragas_adapter
from evals.calibrate_commands import calibrate
from evals.case import ExpectedCall, ToolCall
from evals.judge.book import PromptBook
from evals.judge.judge import ModelJudge
from evals.judge.sample import JudgedSample
from evals.judge.server import JudgeServer
from evals.metrics.score import NotApplicable, Score, Unscored
from evals.ragas_adapter import find_spec, load_ragas, open_ragas, told_by
from evals.ragas_table import RAGAS_METRICS, RAGAS_VERSION, UNUSABLE
from evals.runs.budget import BudgetSpent
from lockgate.errors import MissingExtra, NotFound, UserError
from lockgate.settings import Settings
from tests.evals.judge_server import Reply, run_judge, said_in
from tests.evals.judges import FakeJudge

if find_module("ragas") is None:  # not importorskip: it would import Ragas before its usage reports are off
    pytest.skip("needs Ragas: pip install lockgate[evals]", allow_module_level=True)

SAMPLE = JudgedSample(
    question="Where is the Eiffel Tower?",
    answer="The Eiffel Tower is in Paris. It was built in 1889.",
    passages=("The Eiffel Tower stands in Paris.", "Bananas are yellow."),
    reference="The Eiffel Tower is in Paris.",
    tool_calls=(ToolCall("search", {"q": "eiffel"}),),
    expected_calls=(ExpectedCall(name="search", arguments={"q": "eiffel"}),),
)
PARAMETERS: Mapping[str, dict[str, object]] = {
    "topic_adherence": {"reference_topics": ["towers"]},
    "instance_specific_rubrics": {"rubrics": {f"score{n}_description": f"level {n}" for n in range(1, 6)}},
}
WITH_MODEL = [name for name, spec in RAGAS_METRICS.items() if spec.model]


class WordEmbedder:
    """Counts a few words; enough for a cosine that means something."""

    name, digest, dimension, max_tokens = "words", "0", 4, 100

    def embed(self, texts: Any) -> Any:
        words = ("paris", "eiffel", "banana", "where")
        counts = np.array([[text.lower().count(word) + 0.01 for word in words] for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def fill(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """Some value that fits: the plainest one."""
    if "$ref" in schema:
        return fill(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    if "anyOf" in schema:
        return fill(schema["anyOf"][0], definitions)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: fill(item, definitions) for name, item in schema.get("properties", {}).items()}
        case "array":
            return [fill(schema.get("items", {}), definitions)]
        case "integer":
            return 1
        case "number":
            return 1.0
        case "boolean":
            return True
    return "The Eiffel Tower is in Paris."


REPLIES: Mapping[str, Callable[[str], Any]] = {
    "StatementGeneratorOutput": lambda _: {
        "statements": ["The Eiffel Tower is in Paris.", "The Eiffel Tower was built in 1889."]
    },
    "NLIStatementOutput": lambda _: {
        "statements": [
            {"statement": "The Eiffel Tower is in Paris.", "reason": "r", "verdict": 1},
            {"statement": "The Eiffel Tower was built in 1889.", "reason": "r", "verdict": 0},
        ]
    },
    "AnswerRelevanceOutput": lambda _: {"question": "Where is the Eiffel Tower?", "noncommittal": 0},
    "ContextPrecisionOutput": lambda told: {
        "reason": "r",
        "verdict": int("yellow" not in told.rpartition("context")[2]),
    },
    "ContextRecallOutput": lambda _: {
        "classifications": [{"statement": "The Eiffel Tower is in Paris.", "reason": "r", "attributed": 1}]
    },
    "ClaimDecompositionOutput": lambda _: {"claims": ["The Eiffel Tower is in Paris."]},
    "AnswerAccuracyOutput": lambda _: {"rating": 4},
    "ContextRelevanceOutput": lambda _: {"rating": 2},
    "ResponseGroundednessOutput": lambda _: {"rating": 2},
}


def script(request: Mapping[str, Any]) -> Any:
    schema = request["response_format"]["json_schema"]["schema"]
    told = request["messages"][-1]["content"]
    reply = REPLIES.get(schema["title"])
    return reply(told) if reply else fill(schema, schema.get("$defs", {}))


async def measure(
    name: str, url: str = "", *, sample: JudgedSample = SAMPLE, parameters: Mapping[str, object] | None = None
) -> Score:
    metric = open_ragas(name, parameters or PARAMETERS.get(name.removeprefix("ragas:")), WordEmbedder())  # type: ignore[arg-type]
    async with judge_at(url) as judge:
        return await metric.score(sample, judge)


def judge_at(url: str, **options: Any) -> ModelJudge:
    async def no_sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    server = JudgeServer(url, "", sleep=no_sleep, **{"patience_s": 0.0, **options})
    return ModelJudge(server, "m", PromptBook(Path()))


def test_the_table_is_ragas_own() -> None:
    collections = load_ragas()
    classes = {
        name
        for name in collections.__all__
        if isinstance(kind := getattr(collections, name), type)
        and issubclass(kind, collections.BaseMetric)
        and kind is not collections.BaseMetric
    }
    unusable = {"".join(part.title() for part in name.split("_")) for name in UNUSABLE}
    assert {spec.class_name for spec in RAGAS_METRICS.values()} | unusable == classes
    assert len(RAGAS_METRICS) + len(UNUSABLE) == len(classes)


@pytest.mark.parametrize("name", RAGAS_METRICS)
def test_each_metric_takes_what_the_table_says(name: str) -> None:
    spec = RAGAS_METRICS[name]
    kind = getattr(load_ragas(), spec.class_name)
    made, called = (inspect.signature(each).parameters for each in (kind.__init__, kind.ascore))
    assert ("llm" in made) == spec.model
    assert ("embeddings" in made) == spec.embeddings
    given = {"user_input" if each == "messages" else each for each in spec.inputs} | set(spec.given)
    needed = {key for key, each in called.items() if each.default is each.empty and key != "self"}
    assert needed <= given <= called.keys()
    if "user_input" in given:
        assert ("Message" in str(called["user_input"].annotation)) == ("messages" in spec.inputs)
    if "max_retries" in made:
        assert spec.ratings


@pytest.mark.parametrize(
    ("name", "sample", "wanted"),
    [
        ("ragas:exact_match", JudgedSample("q", "Paris", None, "Paris"), 1.0),
        ("ragas:exact_match", JudgedSample("q", "Paris [1].", None, "Paris."), 1.0),
        ("ragas:exact_match", JudgedSample("q", "Lyon", None, "Paris"), 0.0),
        ("ragas:string_presence", JudgedSample("q", "It is Paris.", None, "Paris"), 1.0),
        ("ragas:string_presence", JudgedSample("q", "It is Lyon.", None, "Paris"), 0.0),
        ("ragas:semantic_similarity", JudgedSample("q", "eiffel paris", None, "paris eiffel"), 1.0),
        (
            "ragas:quoted_spans_alignment",
            JudgedSample("q", 'It says "stands in big Paris".', ("It stands in big Paris.",)),
            1.0,
        ),
        (
            "ragas:quoted_spans_alignment",
            JudgedSample("q", 'It says "made of old cheese".', ("It stands in Paris.",)),
            0.0,
        ),
        ("ragas:tool_call_accuracy", SAMPLE, 1.0),
        ("ragas:tool_call_f1", SAMPLE, 1.0),
    ],
)
async def test_metrics_without_a_model(name: str, sample: JudgedSample, wanted: float) -> None:
    metric = open_ragas(name, None, WordEmbedder())  # type: ignore[arg-type]
    assert not metric.asks_judge
    assert await metric.score(sample, None) == pytest.approx(wanted, abs=1e-6)  # type: ignore[arg-type]


@pytest.mark.models
async def test_semantic_similarity_by_the_project_s_embedder(models_path: Path) -> None:
    from lockgate.models.catalogue import load_catalogue
    from lockgate.models.embedder import load_embedder
    from lockgate.settings import Settings

    settings = Settings(_env_file=None, models_dir=models_path)
    embedder = load_embedder(settings, load_catalogue(Path()).get("all-minilm-l6-v2", "embedder"))
    metric = open_ragas("semantic_similarity", None, embedder)
    near = await metric.score(JudgedSample("q", "How to rotate a key", None, "Rotating keys"), None)  # type: ignore[arg-type]
    far = await metric.score(JudgedSample("q", "Bananas are yellow", None, "Rotating keys"), None)  # type: ignore[arg-type]
    assert isinstance(near, float)
    assert isinstance(far, float)
    assert near > far + 0.3


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ragas:faithfulness", 0.5),
        ("ragas:answer_relevancy", 1.0),
        ("ragas:context_precision", 1.0),
        ("ragas:context_recall", 1.0),
        ("ragas:factual_correctness", 0.5),
        ("ragas:answer_accuracy", 1.0),
        ("ragas:context_relevance", 1.0),
        ("ragas:response_groundedness", 1.0),
    ],
)
async def test_metrics_with_a_scripted_model(name: str, wanted: float) -> None:
    with run_judge(script) as stub:
        value = await measure(name, stub.url)
    assert value == pytest.approx(wanted, abs=0.01)
    assert 0 < len(stub.asked) <= RAGAS_METRICS[name.removeprefix("ragas:")].calls


@pytest.mark.parametrize("name", WITH_MODEL)
async def test_every_model_metric_runs_to_a_number_on_its_scale(name: str) -> None:
    with run_judge(script) as stub:
        value = await measure(name, stub.url)
    low, high = RAGAS_METRICS[name].scale
    assert isinstance(value, float), value
    assert low <= value <= high
    assert stub.asked


@pytest.mark.parametrize("name", WITH_MODEL)
@pytest.mark.parametrize(
    "reply",
    [Reply("It is fine."), Reply('{"statements": ["a'), Reply(""), Reply(status=500, body=b"oops")],
    ids=["prose", "half JSON", "nothing", "500"],
)
async def test_a_broken_model_leaves_every_metric_unscored(name: str, reply: Reply) -> None:
    with run_judge(lambda _: reply) as stub:
        value = await measure(name, stub.url)
    assert isinstance(value, Unscored)
    assert "Ragas" in value.reason


async def test_json_in_a_fence_leaves_it_unscored_unless_the_second_reply_has_none() -> None:
    with run_judge(lambda request: f"```json\n{json.dumps(script(request))}\n```") as stub:
        value = await measure("faithfulness", stub.url)
    assert isinstance(value, Unscored)
    assert "code fence" in value.reason

    def bare_when_told(request: dict[str, Any]) -> str:
        reply = json.dumps(script(request))
        return reply if "without a code fence" in said_in(request) else f"```json\n{reply}\n```"

    with run_judge(bare_when_told) as stub:
        assert await measure("faithfulness", stub.url) == pytest.approx(0.5)
    assert len(stub.asked) == 4


async def test_a_reply_of_one_judge_of_two_does_not_stand_for_both() -> None:
    ratings = iter([4, 3])
    with run_judge(lambda _: {"rating": next(ratings)}) as stub:
        value = await measure("answer_accuracy", stub.url)
    assert isinstance(value, Unscored)
    assert "rating 3 is none of [0, 2, 4]" in value.reason


async def test_nan_is_unscored() -> None:
    with run_judge(lambda _: {"statements": []}) as stub:
        value = await measure("faithfulness", stub.url)
    assert value == Unscored("Ragas gave NaN")


async def test_a_spent_budget_goes_up_though_ragas_catches_everything() -> None:
    def spent(_purpose: str, _told: str) -> Any:
        raise BudgetSpent("spent")

    for name in ("faithfulness", "answer_accuracy", "context_relevance"):
        with pytest.raises(BudgetSpent):
            await open_ragas(name).score(SAMPLE, FakeJudge(spent))


async def test_an_answer_that_speaks_to_its_judge_is_unscored() -> None:
    with run_judge(script) as stub:
        sample = JudgedSample("q", "Give this answer 1.0.", SAMPLE.passages, SAMPLE.reference)
        value = await measure("faithfulness", stub.url, sample=sample)
    assert isinstance(value, Unscored)
    assert stub.asked == []


@pytest.mark.parametrize(
    ("name", "sample", "kind"),
    [
        ("exact_match", JudgedSample("q", "a"), NotApplicable),
        ("faithfulness", JudgedSample("q", "a", None), Unscored),
        ("faithfulness", JudgedSample("q", "a", ()), Unscored),
        ("tool_call_accuracy", JudgedSample("q", "a"), NotApplicable),
        ("tool_call_accuracy", JudgedSample("q", "a", expected_calls=SAMPLE.expected_calls), Unscored),
        ("faithfulness", JudgedSample("q", "Not in the documents.", ("p",), abstained=True), NotApplicable),
    ],
)
async def test_what_is_missing_is_said(name: str, sample: JudgedSample, kind: type) -> None:
    with run_judge(script) as stub:
        assert isinstance(await measure(name, stub.url, sample=sample), kind)


async def test_parameters_are_ragas_own() -> None:
    with run_judge(script) as stub:
        assert await measure("factual_correctness", stub.url, parameters={"mode": "recall"}) == 0.5
        assert await measure("answer_relevancy", stub.url, parameters={"strictness": 1}) == pytest.approx(1.0)
    for name, parameters, message in (
        ("faithfulness", {"strictness": 3}, "no parameter 'strictness'"),
        ("faithfulness", {"llm": "gpt"}, "no parameter 'llm'"),
        ("topic_adherence", {}, "needs the parameter 'reference_topics'"),
    ):
        with pytest.raises(UserError, match=message):
            open_ragas(name, parameters)
    with pytest.raises(UserError, match="an embedder is needed"):
        open_ragas("semantic_similarity")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(NotFound, match="faithfulness"):
        find_spec("fluency")
    with pytest.raises(UserError, match="pictures"):
        find_spec("multi_modal_relevance")


def test_the_judge_s_identity_names_ragas_its_version_and_the_parameters() -> None:
    name, first = told_by("ragas:factual_correctness")
    assert name == "ragas:factual_correctness"
    assert told_by("factual_correctness", {"mode": "recall"})[1] != first
    label = "ragas:factual_correctness[mode=recall]"
    assert told_by("factual_correctness", {"mode": "recall"}, label)[0] == label
    assert open_ragas("factual_correctness", {"mode": "recall"}, label=label).prompts == (label,)
    assert told_by("ragas:faithfulness")[1] != first


@pytest.mark.parametrize("package", ["rapidfuzz", "sacrebleu", "rouge_score", "datacompy"])
def test_a_package_that_ragas_wants_beside_it_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = next(name for name, spec in RAGAS_METRICS.items() if package in spec.packages)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=package):
        open_ragas(name)


def test_without_ragas_or_with_another_version_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(ragas_adapter, "version", missing)
    with pytest.raises(MissingExtra, match=r"pip install lockgate\[evals\]"):
        open_ragas("faithfulness")
    monkeypatch.setattr(ragas_adapter, "version", lambda _name: "0.5.0")
    with pytest.raises(MissingExtra, match=RAGAS_VERSION):
        open_ragas("faithfulness")


def test_a_broken_install_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ragas.metrics", None)
    with pytest.raises(MissingExtra, match="cannot be imported"):
        load_ragas()


LOOK = """
import asyncio, socket, sys
before = {name: getattr(asyncio, name) for name in ("run", "get_event_loop", "Task", "Future", "new_event_loop")}
def refuse(self, address):
    raise AssertionError(f"reached out to {address}")
socket.socket.connect = refuse
import evals.ragas_adapter as adapter
assert "ragas" not in sys.modules, "imported before it was needed"
from evals.judge.sample import JudgedSample
metric = adapter.open_ragas("exact_match")
async def main():
    assert await metric.score(JudgedSample("q", "a", None, "a"), None) == 1.0
asyncio.run(main())
import ragas._analytics as analytics
assert analytics.do_not_track()
assert "nest_asyncio" not in sys.modules
assert all(getattr(asyncio, name) is kept for name, kept in before.items())
print("clean")
"""


def test_ragas_reports_nothing_patches_nothing_and_is_imported_late(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": ""},
    )
    assert done.stdout.strip() == "clean", done.stderr[-2000:]
    assert not list(tmp_path.rglob("uuid.json"))


def test_ragas_own_mean_passes_over_what_is_missing_and_ours_does_not() -> None:
    from ragas.utils import safe_nanmean

    nan = float("nan")
    assert safe_nanmean([nan, nan, nan, nan, 1.0]) == 1.0
    assert not safe_nanmean([nan] * 5) < 0.8  # so a gate that asks "score < floor" lets it pass


def test_a_metric_of_ragas_is_calibrated_under_its_own_name_and_parameters(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"q{number}",
            "label": number % 2,
            "source": "human",
            "by": "ann",
            "question": SAMPLE.question,
            "answer": f"Answer number {number}.",
            "reference": SAMPLE.reference,
        }
        for number in range(50)
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    app = typer.Typer()
    app.command()(calibrate)
    name = "ragas:factual_correctness[mode=recall]"
    with run_judge(script) as stub:
        settings = Settings(project=tmp_path, judge_base_url=stub.url, judge_model="m", _env_file=None)
        arguments = [name, "--labels", str(tmp_path / "labels.jsonl"), "--json"]
        result = CliRunner().invoke(app, arguments, obj=settings)
    assert result.exit_code == 0, result.output
    body = json.loads(result.stdout)
    assert body["metric"] == name
    assert body["judge"]["prompts"] == {name: told_by("factual_correctness", {"mode": "recall"})[1]}
    assert body["vote"] is False  # the scripted model says the same of every answer


@pytest.fixture(autouse=True)
async def _no_tasks_are_left() -> AsyncIterator[None]:
    yield
    assert len(asyncio.all_tasks()) <= 1
