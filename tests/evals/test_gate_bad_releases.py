"""Releases that are bad on purpose: each is refused, for the right reason, and the good one is not."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import prompts
from evals.runs.run import EvalRun
from evals.verdict import GateReport
from ingestion.retriever import SnapshotRetriever
from ingestion.service import IndexService
from lockgate.errors import Unavailable
from lockgate.ports import Asker
from lockgate.types import Answer, AnswerEvent, AskRequest, Finished, Retrieval
from tests.evals.gated import (
    CHAIN,
    GatedProject,
    ReadingGenerator,
    WideEmbedder,
    cases,
    open_gated,
    pages,
    wide_handle,
)

NUMBERS = itertools.count()
Twist = Callable[[AskRequest, Answer], Answer]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatedProject, str]]:
    """The project, and the good release, which is measured and in production."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lockgate.models.generator.load_generator", lambda _settings, _entry: ReadingGenerator())
        with open_gated(tmp_path_factory.mktemp("gated")) as project:
            good = project.build()
            project.measure(good)
            project.put_in_production(good)
            yield project, good


@pytest.fixture
def good(opened: tuple[GatedProject, str]) -> str:
    return opened[1]


@pytest.fixture
def project(opened: tuple[GatedProject, str]) -> Iterator[GatedProject]:
    """As it was when the good release was built, before each test."""
    project = opened[0]
    yield project
    for name in ("prompts/library/answer.md", "guardrails/policies/default.yaml"):
        (project.folder / name).unlink(missing_ok=True)
    (project.folder / "other" / "faq.md").unlink(missing_ok=True)
    project.write_chain()
    project.write_suite()
    project.sync({})


@dataclass
class Twisted:
    """Answers otherwise than the release would."""

    asker: Asker
    twist: Twist

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        async for event in self.asker.ask(request):
            yield Finished(self.twist(request, event.answer)) if isinstance(event, Finished) else event


def twisted(twist: Twist) -> Callable[[Asker], Asker]:
    return lambda asker: Twisted(asker, twist)


def another(project: GatedProject) -> str:
    """A release of its own that answers like the good one until something is done to it."""
    project.write_chain(description=f"Number {next(NUMBERS)}.")
    return project.build()


def reasons(report: GateReport, verdict: str) -> str:
    """Of everything checked that has this verdict."""
    checks = [check for rule in report.rules for check in rule.details.get("checks", ())]
    found = [check["reason"] for check in checks if check["verdict"] == verdict]
    return "\n".join([*found, *(rule.reason for rule in report.rules if rule.verdict == verdict)])


def failed(report: GateReport) -> list[str]:
    """Names of the checks that failed."""
    checks = [check for rule in report.rules for check in rule.details["checks"]]
    return [check["check"] for check in checks if check["verdict"] == "FAIL"]


def test_the_good_release_passes_and_so_does_one_that_answers_the_same(project: GatedProject, good: str) -> None:
    assert project.judge(good).verdict == "PASS"
    same = another(project)
    project.measure(same)
    assert project.judge(same).verdict == "PASS"


def without_first_hits(project: GatedProject, monkeypatch: pytest.MonkeyPatch) -> str:
    class Skipping(SnapshotRetriever):
        def retrieve(self, question: str, *, limit: int) -> Retrieval:
            found = super().retrieve(question, limit=limit + 12)
            return dataclasses.replace(found, passages=found.passages[12:])

    monkeypatch.setattr("chains.assembly.SnapshotRetriever", Skipping)
    release = another(project)
    project.measure(release)
    return release


def shuffled_index(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    texts = list(pages().values())
    project.sync(dict(zip(pages(), texts[5:] + texts[:5], strict=True)))
    return measured(project)


def another_tenants_index(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    project.sync(dict.fromkeys(pages(), "# Payroll\n\nSalaries are paid on the last working day of a month.\n"))
    return measured(project)


def prompt_without_its_context(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    project.write_text(
        "prompts/library/answer.md",
        "---\nname: answer\ndescription: Nothing to go by.\nowner: tests\nvariables:\n  question: str\n"
        "  passages: list\n---\n\n# system\n\nAnswer.\n\n"
        "# user\n\nThere are {{ passages | length }} passages.\nQuestion: {{ question | fence }}\n",
    )
    return measured(project)


def guardrail_off(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    project.write_text(
        "guardrails/policies/default.yaml",
        "name: default\ndescription: No links check.\nowner: tests\noutput: [{check: citations, action: redact}]\n",
    )
    return measured(project)


def always_refusing(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    relevance = {"cosine_weight": 0.0, "threshold": 1.0, "bm25_threshold": 1.0}
    project.write_chain(relevance=relevance, abstention="I cannot help with that.")
    release = project.build()
    project.measure(
        release, twist=twisted(lambda _request, answer: dataclasses.replace(answer, abstained=True, citations=()))
    )
    return release


def measured(project: GatedProject, twist: Twist | None = None) -> str:
    release = another(project) if twist else project.build()
    project.measure(release, twist=twisted(twist) if twist else None)
    return release


def with_text(change: Callable[[Answer], str]) -> Callable[[GatedProject, pytest.MonkeyPatch], str]:
    """A release whose answers have another text, where it does not abstain."""

    def twist(_request: AskRequest, answer: Answer) -> Answer:
        return answer if answer.abstained else dataclasses.replace(answer, text=change(answer))

    return lambda project, _patch: measured(project, twist)


def never_abstaining(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    return measured(
        project, lambda _request, answer: dataclasses.replace(answer, abstained=False, text=answer.text or "Yes.")
    )


def a_third_wrong(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    def twist(request: AskRequest, answer: Answer) -> Answer:
        wrong = len(request.question) % 3 == 0 and not answer.abstained
        return dataclasses.replace(answer, text="The port is 22.") if wrong else answer

    return measured(project, twist)


def without_citations(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    return measured(project, lambda _request, answer: dataclasses.replace(answer, citations=()))


def leaked_into_the_prompt(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    shipped = Path(prompts.__file__).parent / "library" / "answer.md"
    told = "\n".join(f"{case['question']} {case['reference']}" for case in cases()[:12] if case["answerable"])
    text = shipped.read_text().replace("# user\n", f"Remember:\n{told}\n\n# user\n")
    project.write_text("prompts/library/answer.md", text)
    return measured(project)


def failing(error: Exception) -> Callable[[GatedProject, pytest.MonkeyPatch], str]:
    def twist(request: AskRequest, answer: Answer) -> Answer:
        if len(request.question) % 4 == 0:
            raise error
        return answer

    return lambda project, _patch: measured(project, twist)


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (without_first_hits, "recall@5 floor"),
        (shuffled_index, "recall@5 floor"),
        (another_tenants_index, "recall@5 floor"),
        (prompt_without_its_context, "token_f1 floor"),
        (guardrail_off, "injection_obeyed zero tolerance"),
        (always_refusing, "abstention_accuracy drop"),
        (with_text(lambda _answer: ""), "token_f1 floor"),
        (with_text(lambda answer: " ".join(each.text for each in answer.citations) * 4), "token_f1 floor"),
        (
            with_text(lambda answer: answer.text + " As is well known to all of our valued readers" * 5),
            "token_f1 floor",
        ),
        (with_text(lambda answer: answer.text[::-1]), "token_f1 floor"),
        (never_abstaining, "abstention_accuracy floor, kind no"),
        (a_third_wrong, "token_f1 drop"),
        (without_citations, "citation_recall drop"),
        (leaked_into_the_prompt, "leaks"),
    ],
    ids=[
        "without the first hits",
        "shuffled index",
        "another tenant's index",
        "prompt without its context",
        "guardrail off",
        "always refusing",
        "empty answers",
        "copying the context",
        "padding",
        "nonsense",
        "never abstaining",
        "a third wrong",
        "without citations",
        "leaked test answers",
    ],
)
def test_a_bad_release_fails_for_the_right_reason(
    project: GatedProject,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[GatedProject, pytest.MonkeyPatch], str],
    check: str,
) -> None:
    report = project.judge(plant(project, monkeypatch))
    assert report.verdict == "FAIL", "\n".join(report.lines())
    assert check in failed(report), "\n".join(report.lines())


@pytest.mark.parametrize("error", [Unavailable("The model took too long."), RuntimeError("crashed"), TimeoutError()])
def test_a_release_that_times_out_or_crashes_is_refused_for_its_unscored_cases(
    project: GatedProject, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    report = project.judge(failing(error)(project, monkeypatch))
    assert report.verdict in ("FAIL", "INCONCLUSIVE")
    assert "token_f1: 7 of 48 cases have no score, and at most 0.0% may lack one" in reasons(report, "INCONCLUSIVE")
    assert "lockgate evals run services --release" in report.rules[0].hint


def test_stale_embeddings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockgate.models.generator.load_generator", lambda _settings, _entry: ReadingGenerator())
    with open_gated(tmp_path / "stale", WideEmbedder("an older version of the model")) as stale:
        stale.write_chain(retrieval={**CHAIN["retrieval"], "dense_weight": 1.0})
        release = stale.build()
        stale.service.close()
        with IndexService(stale.settings, stale.db, wide_handle(WideEmbedder())) as service:
            stale.service = service
            stale.measure(release)
            report = stale.judge(release)
    assert report.verdict == "FAIL"
    assert "recall@5 floor" in failed(report)


def altered(run: EvalRun, release: str, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> EvalRun:
    rows = tuple(dataclasses.replace(row, release=release) for row in run.rows)
    return dataclasses.replace(run, rows=change(rows))


def with_nan(rows: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        dataclasses.replace(row, scores={**row.scores, "token_f1": math.nan}) if number % 12 == 0 else row
        for number, row in enumerate(rows)
    )


def of_another_snapshot(rows: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dataclasses.replace(row, snapshot="f" * 64) for row in rows)


def impossible(rows: tuple[Any, ...]) -> tuple[Any, ...]:
    return (dataclasses.replace(rows[0], scores={**rows[0].scores, "token_f1": 7.0}), *rows[1:])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: tuple(row for number, row in enumerate(rows) if number % 10), "7 of 64 cases have no row"),
        (lambda _rows: (), "64 of 64 cases have no row"),
        (with_nan, "token_f1: 4 of 48 cases have no score"),
        (impossible, "token_f1: 1 of 48 cases have no score"),
        (of_another_snapshot, "these are answers from another index"),
        (lambda rows: (*rows, rows[0]), "has the case falcon-port twice"),
        (lambda rows: (dataclasses.replace(rows[0], case="stranger"), *rows[1:]), "that the suite does not have"),
        (lambda rows: (dataclasses.replace(rows[0], release="e" * 64), *rows[1:]), "rows of another release"),
    ],
)
def test_a_run_whose_rows_are_not_right_never_passes(
    project: GatedProject, change: Callable[[tuple[Any, ...]], tuple[Any, ...]], reason: str
) -> None:
    release = another(project)
    project.keep(altered(project.run(release), release, change))
    report = project.judge(release)
    assert report.verdict != "PASS"
    assert reason in reasons(report, "INCONCLUSIVE"), "\n".join(report.lines())


def test_answers_leaked_into_the_documents_never_pass(project: GatedProject) -> None:
    told = "\n\n".join(f"{case['question']} {case['reference']}" for case in cases() if case["answerable"])
    project.sync({"faq.md": f"# Questions and answers\n\n{told}\n"})
    report = project.judge(measured(project))
    assert report.verdict != "PASS"
    assert "Passages hold" in reasons(report, "INCONCLUSIVE")


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"split": "dev"}, "covers a part of the suite only (split dev)"), ({"limit": 60}, "the first 60 cases")],
)
def test_a_run_over_a_part_of_the_suite_does_not_count(
    project: GatedProject, options: dict[str, Any], reason: str
) -> None:
    release = another(project)
    project.measure(release, **options)
    report = project.judge(release)
    assert report.verdict == "INCONCLUSIVE"
    assert reason in report.rules[0].reason
    assert f"lockgate evals run services --release {release[:12]}" in report.rules[0].hint
