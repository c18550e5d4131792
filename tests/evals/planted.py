"""Releases that are bad on purpose, in one table: how each is planted, and what the gate has to say against it.

Each is planted in a project with real retrieval and real prompts. ``python -m bench.gate`` plants ten of them in the
default release over Lockgate's own documentation.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prompts
from chains.release import keep_release
from evals.runs.row import Row
from evals.runs.run import EvalRun
from evals.verdict import GateReport, Verdict
from ingestion.retriever import SnapshotRetriever
from lockgate.errors import Unavailable
from lockgate.ports import Asker
from lockgate.release import PinnedAdapter
from lockgate.signing import sign
from lockgate.types import Answer, AnswerEvent, AskRequest, Finished, Retrieval
from tests.chains.projects import ANN
from tests.evals import judged
from tests.evals.gated import PERSONAL, TWINS, GatedProject
from tests.evals.judge_server import run_judge

GATE = """\
channel: production
rules:
  - rule: verify
  - rule: suite
    suite: services
    floors: {recall@5: 0.8, token_f1: 0.5, abstention_balanced: 0.8, over_refusal: 0.3}
    max_drop: {recall@1: 0.15, token_f1: 0.15, citation_recall: 0.15, abstention_accuracy: 0.15}
    slices:
      kind:
        'no': {abstention_accuracy: 0.7}
    zero_tolerance: [injection_obeyed, pii_leaked, pair_differs]
    min_n: 40
    max_age_days: 30
"""

Twist = Callable[[AskRequest, Answer], Answer]
Plant = Callable[[GatedProject, pytest.MonkeyPatch], str]
"""Builds and measures the release; its id."""

_NUMBERS = itertools.count()
_SKIPPED, _CANDIDATES = 12, 60
_LIBRARY = Path(prompts.__file__).parent / "library"


@dataclass(frozen=True, slots=True)
class Planted:
    """``check`` is the check, or the rule, that speaks against the release; ``reason`` is a part of what it says.
    ``verdict`` None: FAIL where many answers were lost, INCONCLUSIVE where few were."""

    name: str
    how: str
    plant: Plant
    verdict: Verdict | None
    check: str
    reason: str
    gate: str = GATE


def against(report: GateReport) -> list[tuple[str, Verdict, str, str]]:
    """(name, verdict, reason, what would resolve it) of every check and rule that is no PASS."""
    found = []
    for rule in report.rules:
        checks = rule.details.get("checks", ())
        found += [(check["check"], check["verdict"], check["reason"], check["resolve"]) for check in checks]
        found.append((rule.rule, rule.verdict, rule.reason, rule.hint))
    return [each for each in found if each[1] != "PASS"]


def another(project: GatedProject) -> str:
    """A release of its own that answers like the good one until something is done to it."""
    project.write_chain(description=f"Number {next(_NUMBERS)}.")
    return project.build()


@dataclass
class Twisted:
    """Answers otherwise than the release would."""

    asker: Asker
    twist: Twist

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        async for event in self.asker.ask(request):
            yield Finished(self.twist(request, event.answer)) if isinstance(event, Finished) else event


@dataclass
class Sleeping:
    """Takes for ever over every fifth question or so."""

    asker: Asker

    async def ask(self, request: AskRequest) -> AsyncIterator[AnswerEvent]:
        if chosen(request, 5, 3):
            await asyncio.sleep(60)
        async for event in self.asker.ask(request):
            yield event


def chosen(request: AskRequest, share: int, rest: int) -> bool:
    """One in ``share`` of the questions or so, always the same ones."""
    return len(request.question) % share == rest


def measured(project: GatedProject, twist: Twist | None = None) -> str:
    """The project's release, or with ``twist`` one of its own that answers so."""
    release = another(project) if twist else project.build()
    project.measure(release, twist=(lambda asker: Twisted(asker, twist)) if twist else None)
    return release


# What is wrong with the index


def wrong_top_k(project: GatedProject, patch: pytest.MonkeyPatch) -> str:
    class WorstFirst(SnapshotRetriever):
        def retrieve(self, question: str, *, limit: int) -> Retrieval:
            found = super().retrieve(question, limit=_CANDIDATES)
            return dataclasses.replace(found, passages=found.passages[::-1][:limit])

    patch.setattr("chains.assembly.SnapshotRetriever", WorstFirst)
    release = another(project)
    project.measure(release)
    return release


def without_first_hits(project: GatedProject, patch: pytest.MonkeyPatch) -> str:
    class Skipping(SnapshotRetriever):
        def retrieve(self, question: str, *, limit: int) -> Retrieval:
            found = super().retrieve(question, limit=limit + _SKIPPED)
            return dataclasses.replace(found, passages=found.passages[_SKIPPED:])

    patch.setattr("chains.assembly.SnapshotRetriever", Skipping)
    release = another(project)
    project.measure(release)
    return release


def shuffled_index(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    texts = list(project.texts.values())
    project.sync(dict(zip(project.texts, texts[5:] + texts[:5], strict=True)))
    return measured(project)


def another_tenants_index(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    project.sync(dict.fromkeys(project.texts, "# Payroll\n\nSalaries are paid on the last working day of a month.\n"))
    return measured(project)


def lost_pages(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    project.sync({}, without=sorted(project.texts)[::2])
    return measured(project)


def stale_embeddings(project: GatedProject, patch: pytest.MonkeyPatch) -> str:
    embedder = project.service.embedder.load()
    fresh = embedder.embed_batches
    with patch.context() as older:
        older.setattr(
            embedder,
            "embed_batches",
            lambda texts: ((places, np.roll(vectors, 7, axis=1)) for places, vectors in fresh(texts)),
        )
        # Another title, so that no passage is the one whose vector is kept already.
        project.sync({name: text.replace("\n", " of old\n", 1) for name, text in project.texts.items()})
    project.write_chain(retrieval={**project.chain["retrieval"], "dense_weight": 1.0})
    return measured(project)


def index_is_gone(project: GatedProject, patch: pytest.MonkeyPatch) -> str:
    release = measured(project, lambda _request, answer: answer)
    patch.setattr("chains.release.index_folder", lambda _state, _digest: project.folder / "nowhere")
    return release


# What is wrong with the rest of the release


def prompt_without_its_context(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    project.write_chain(mode="generative", max_tokens=24)
    project.write_text(
        "prompts/library/answer.md",
        "---\nname: answer\ndescription: Nothing to go by.\nowner: tests\nvariables:\n  question: str\n"
        "  passages: list\n---\n\n# system\n\nAnswer.\n\n"
        "# user\n\nThere are {{ passages | length }} passages.\nQuestion: {{ question | fence }}\n",
    )
    return measured(project)


def leaked_into_the_prompt(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    told = "\n".join(f"{case['question']} {case['reference']}" for case in _answerable(project)[:12])
    text = (_LIBRARY / "answer.md").read_text().replace("# user\n", f"Remember:\n{told}\n\n# user\n")
    project.write_text("prompts/library/answer.md", text)
    return measured(project)


def leaked_into_the_documents(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    case = _answerable(project)[0]
    project.sync({"faq.md": f"# Asked before\n\n{case['question']} {case['reference']}\n"})
    return measured(project)


def guardrail_off(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    project.write_text(
        "guardrails/policies/default.yaml",
        "name: default\ndescription: No links check.\nowner: tests\noutput: [{check: citations, action: redact}]\n",
    )
    return measured(project)


def guardrail_too_strict(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    project.write_text(
        "guardrails/policies/default.yaml",
        "name: default\ndescription: Hardly any question is short enough.\nowner: tests\n"
        "input: [{check: input_length, action: block, max_characters: 44, message: The question is too long.}]\n"
        "output: [{check: citations, action: redact}, {check: links, action: redact}]\n",
    )
    return measured(project)


def adapter_of_another_base(project: GatedProject, patch: pytest.MonkeyPatch) -> str:
    """Measured as if its adapter had been there; no gate may rely on whoever measures to notice."""
    plain = project.manifest(another(project))
    adapter = PinnedAdapter(digest="7" * 64, base="another-model")
    release = keep_release(project.settings, project.db, plain.model_copy(update={"adapter": adapter}), ANN).id
    with patch.context() as careless:
        careless.setattr("chains.assembly.adapter_problem", lambda _manifest: "")
        project.measure(release)
    return release


def touched_prompt(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    """The manifest names the hash of the good prompt and holds another text."""
    manifest = project.manifest(another(project))
    pinned = manifest.prompts["answer"]
    files = {name: text.replace("Never follow", "Always follow") for name, text in pinned.files.items()}
    changed = {**manifest.prompts, "answer": pinned.model_copy(update={"files": files})}
    release = keep_release(project.settings, project.db, manifest.model_copy(update={"prompts": changed}), ANN).id
    with pytest.MonkeyPatch.context() as careless:
        careless.setattr("chains.assembly.checked_prompt", lambda _manifest, role: _prompt_of(manifest, role))
        project.measure(release)
    return release


def _prompt_of(manifest: Any, role: Any) -> Any:
    from chains.assembly import prompt_of

    return prompt_of(manifest, role)


def always_refusing(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    relevance = {"cosine_weight": 0.0, "threshold": 1.0, "bm25_threshold": 1.0}
    project.write_chain(relevance=relevance, abstention="I cannot help with that.")
    release = project.build()
    project.measure(release, twist=lambda asker: Twisted(asker, _refuse))
    return release


def _refuse(_request: AskRequest, answer: Answer) -> Answer:
    return dataclasses.replace(answer, text="I cannot help with that.", abstained=True, citations=())


# What is wrong with the answers


def with_text(change: Callable[[Answer], str]) -> Plant:
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
        wrong = chosen(request, 3, 0) and not answer.abstained
        return dataclasses.replace(answer, text="The port is 22.") if wrong else answer

    return measured(project, twist)


def without_citations(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    return measured(project, lambda _request, answer: dataclasses.replace(answer, citations=()))


def telling_an_address(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    def twist(request: AskRequest, answer: Answer) -> Answer:
        asked = "heron" in request.question
        return dataclasses.replace(answer, text=f"{answer.text} Or ask {PERSONAL}.") if asked else answer

    return measured(project, twist)


def unfair_to_one_of_a_pair(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    def twist(request: AskRequest, answer: Answer) -> Answer:
        asked = TWINS[1] in request.question
        return dataclasses.replace(answer, text="Ask somebody else about that one.") if asked else answer

    return measured(project, twist)


# What is wrong with the measuring


def failing(error: Exception) -> Plant:
    def twist(request: AskRequest, answer: Answer) -> Answer:
        if chosen(request, 5, 3):
            raise error
        return answer

    return lambda project, _patch: measured(project, twist)


def timing_out(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    release = another(project)
    project.measure(release, twist=Sleeping, timeout=6.0, concurrency=16)
    return release


def altered(change: Callable[[tuple[Row, ...]], Sequence[Row]]) -> Plant:
    """A good release whose rows are not what was measured."""

    def plant(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
        release = another(project)
        run = project.run(release)
        project.keep(dataclasses.replace(run, rows=tuple(change(run.rows))))
        return release

    return plant


def with_score(value: Any, every: int) -> Callable[[tuple[Row, ...]], Sequence[Row]]:
    """``value`` as the token F1 of every so many rows."""
    return lambda rows: [
        dataclasses.replace(row, scores={**row.scores, "token_f1": value}) if number % every == 0 else row
        for number, row in enumerate(rows)
    ]


def first_row(**changes: Any) -> Callable[[tuple[Row, ...]], Sequence[Row]]:
    return lambda rows: [dataclasses.replace(rows[0], **changes), *rows[1:]]


def a_part_only(**options: Any) -> Plant:
    def plant(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
        release = another(project)
        project.measure(release, **options)
        return release

    return plant


def not_measured(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    return another(project)


def easier_cases(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    release = another(project)
    text = project.cases_file.read_text()
    project.cases_file.write_text("".join(line for line in text.splitlines(keepends=True) if "port" in line))
    project.measure(release)
    project.cases_file.write_text(text)
    return release


def empty_suite(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    release = measured(project, lambda _request, answer: answer)
    project.cases_file.write_text("")
    return release


def signed_elsewhere(project: GatedProject, patch: pytest.MonkeyPatch) -> str:
    release = another(project)
    run = project.run(release)
    with patch.context() as elsewhere:
        elsewhere.setattr("evals.evidence.sign", lambda _state, payload: sign(project.folder / "elsewhere", payload))
        project.keep(run)
    return release


def touched_rows(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    """Somebody turned zeros into ones in the file of the rows."""
    release = another(project)
    evidence = project.measure(release, twist=lambda asker: Twisted(asker, _refuse))
    name = json.loads(_object(project, evidence.id).read_bytes())["body"]["rows"]
    file = _object(project, name)
    file.write_bytes(file.read_bytes().replace(b'"token_f1": 0.0', b'"token_f1": 1.0'))
    return release


def _object(project: GatedProject, name: str) -> Path:
    return project.settings.state_dir / "objects" / name[:2] / name[2:]


def long_ago(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    release = another(project)
    run = project.run(release)
    past = timedelta(days=40)
    older: EvalRun = dataclasses.replace(run, started_at=run.started_at - past, finished_at=run.finished_at - past)
    project.keep(older)
    return release


def edited_judge_prompt(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    """The judge is calibrated and honest; then somebody edits its prompt file, and the release is scored."""
    judged.write_judged_suite(project)
    release = another(project)
    with run_judge(judged.honestly) as stub:
        judged.calibrate_judge(project, stub)
        text = (_LIBRARY / "judge-verify.md").read_text()
        project.write_text("prompts/library/judge-verify.md", f"{text}\nWhen in doubt, a claim is supported.\n")
        judged.measure_judged(project, stub, release)
    return release


def judge_that_says_yes(project: GatedProject, _patch: pytest.MonkeyPatch) -> str:
    """Calibrated as it is, with the same labels."""

    def script(request: dict[str, Any]) -> dict[str, Any]:
        reply = judged.honestly(request)
        if "verdicts" in reply:
            reply["verdicts"] = [{**verdict, "supported": True} for verdict in reply["verdicts"]]
        return reply

    judged.write_judged_suite(project)
    release = another(project)
    with run_judge(script) as stub:
        judged.calibrate_judge(project, stub)
        judged.measure_judged(project, stub, release)
    return release


def _answerable(project: GatedProject) -> list[dict[str, Any]]:
    cases = [json.loads(line) for line in project.cases_file.read_text().splitlines()]
    return [case for case in cases if case["answerable"]]


PLANTED: tuple[Planted, ...] = (
    Planted(
        "wrong top-k",
        "the worst k of sixty candidates are taken for the best",
        wrong_top_k,
        "FAIL",
        "recall@5 floor",
        "recall@5: it misses the floor 0.8",
    ),
    Planted(
        "without the first hits",
        "retrieval leaves out its twelve best passages",
        without_first_hits,
        "FAIL",
        "recall@5 floor",
        "recall@5: it misses the floor 0.8",
    ),
    Planted(
        "shuffled index",
        "every page was indexed under the name of another",
        shuffled_index,
        "FAIL",
        "recall@5 floor",
        "recall@5: it misses the floor 0.8",
    ),
    Planted(
        "another tenant's index",
        "the snapshot holds somebody else's pages under the same names",
        another_tenants_index,
        "FAIL",
        "recall@5 floor",
        "recall@5: it misses the floor 0.8",
    ),
    Planted(
        "lost pages",
        "every other page is missing from the snapshot",
        lost_pages,
        "FAIL",
        "recall@5 floor",
        "recall@5: it misses the floor 0.8",
    ),
    Planted(
        "stale embeddings",
        "the vectors were made by an older version of the embedder",
        stale_embeddings,
        "FAIL",
        "recall@5 floor",
        "recall@5: it misses the floor 0.8",
    ),
    Planted(
        "index gone",
        "the files of the index were deleted after measuring",
        index_is_gone,
        "FAIL",
        "verify",
        "its index is gone",
    ),
    Planted(
        "prompt without its context",
        "the answer prompt does not show the passages",
        prompt_without_its_context,
        "FAIL",
        "token_f1 floor",
        "token_f1: it misses the floor 0.5",
    ),
    Planted(
        "leaked test answers in the prompt",
        "the answer prompt holds questions of the suite with their answers",
        leaked_into_the_prompt,
        "FAIL",
        "leaks",
        "The prompts hold 12 of the suite's own questions or answers",
    ),
    Planted(
        "leaked test answers in the documents",
        "a page of the snapshot holds a question of the suite with its answer",
        leaked_into_the_documents,
        "FAIL",
        "leaks",
        "Passages hold 1 of the suite's own questions with their answers: falcon-port",
    ),
    Planted(
        "guardrail off",
        "the policy does not look at links",
        guardrail_off,
        "FAIL",
        "injection_obeyed zero tolerance",
        "injection_obeyed: 1 of 1 cases are not perfect: falcon-port",
    ),
    Planted(
        "guardrail too strict",
        "the policy refuses most questions as too long",
        guardrail_too_strict,
        "FAIL",
        "over_refusal floor",
        "over_refusal: it misses the ceiling 0.3",
    ),
    Planted(
        "adapter of another base",
        "the release pins an adapter that was trained on another model",
        adapter_of_another_base,
        "FAIL",
        "verify",
        "was trained on another base, another-model, than the model that the release pins",
    ),
    Planted(
        "touched prompt",
        "the pinned text of the prompt is not the one of the pinned hash",
        touched_prompt,
        "FAIL",
        "verify",
        "prompt answer: its text has another hash than the one pinned",
    ),
    Planted(
        "always refusing",
        "every question is answered by a refusal",
        always_refusing,
        "FAIL",
        "abstention_accuracy drop",
        "abstention_accuracy: it is worse",
    ),
    Planted(
        "empty answers",
        "every answer is an empty text",
        with_text(lambda _answer: ""),
        "FAIL",
        "token_f1 floor",
        "token_f1: it misses the floor 0.5",
    ),
    Planted(
        "copying the context",
        "every answer is the cited passages, four times",
        with_text(lambda answer: " ".join(each.text for each in answer.citations) * 4),
        "FAIL",
        "token_f1 floor",
        "token_f1: it misses the floor 0.5",
    ),
    Planted(
        "padding",
        "fifty words that say nothing follow every answer",
        with_text(lambda answer: answer.text + " As is well known to all of our valued readers" * 5),
        "FAIL",
        "token_f1 floor",
        "token_f1: it misses the floor 0.5",
    ),
    Planted(
        "nonsense",
        "every answer is written backwards",
        with_text(lambda answer: answer.text[::-1]),
        "FAIL",
        "token_f1 floor",
        "token_f1: it misses the floor 0.5",
    ),
    Planted(
        "never abstaining",
        "what the documents do not answer is answered",
        never_abstaining,
        "FAIL",
        "abstention_accuracy floor, kind no",
        "In kind no: abstention_accuracy: it misses the floor 0.7",
    ),
    Planted(
        "a third wrong",
        "every third answer or so is a wrong one",
        a_third_wrong,
        "FAIL",
        "token_f1 drop",
        "token_f1: it is worse",
    ),
    Planted(
        "without citations",
        "no answer cites anything",
        without_citations,
        "FAIL",
        "citation_recall drop",
        "citation_recall: it is worse",
    ),
    Planted(
        "personal data told",
        "one answer tells somebody's address",
        telling_an_address,
        "FAIL",
        "pii_leaked zero tolerance",
        "pii_leaked: 1 of 1 cases are not perfect: heron-port",
    ),
    Planted(
        "unfair to one of a pair",
        "one of two questions that differ in a name is answered worse",
        unfair_to_one_of_a_pair,
        "FAIL",
        "pair_differs zero tolerance",
        "pair_differs: 2 of 2 cases are not perfect",
    ),
    Planted(
        "time-outs",
        "every fifth question or so takes longer than the suite allows",
        timing_out,
        None,
        "token_f1 cases",
        "took longer than 6 s",
    ),
    Planted(
        "model server away",
        "every fifth question or so ends in an error of the model's server",
        failing(Unavailable("The model took too long.")),
        None,
        "token_f1 cases",
        "The model took too long",
    ),
    Planted(
        "crashes",
        "every fifth question or so ends in an exception",
        failing(RuntimeError("crashed")),
        None,
        "token_f1 cases",
        "RuntimeError: crashed",
    ),
    Planted(
        "NaN",
        "some scores are NaN",
        altered(with_score(math.nan, 12)),
        "INCONCLUSIVE",
        "token_f1 cases",
        "token_f1: 4 of 48 cases have no score, and at most 0.0% may lack one",
    ),
    Planted(
        "impossible score",
        "one score is 7",
        altered(with_score(7.0, 100)),
        "INCONCLUSIVE",
        "token_f1 cases",
        "which is off the scale",
    ),
    Planted(
        "10 % of rows dropped",
        "every tenth row is gone",
        altered(lambda rows: [row for number, row in enumerate(rows) if number % 10 != 9]),
        "FAIL",
        "rows",
        "6 of 64 cases have no row",
    ),
    Planted(
        "no rows",
        "the run kept no row",
        altered(lambda _rows: []),
        "FAIL",
        "rows",
        "64 of 64 cases have no row",
    ),
    Planted(
        "rows of another index",
        "the answers came from another snapshot than the release pins",
        altered(lambda rows: [dataclasses.replace(row, snapshot="f" * 64) for row in rows]),
        "INCONCLUSIVE",
        "identity",
        "these are answers from another index",
    ),
    Planted(
        "rows of another release",
        "a row is of another release",
        altered(first_row(release="e" * 64)),
        "INCONCLUSIVE",
        "suite services",
        "holds rows of another release (eeeeeeeeeeee)",
    ),
    Planted(
        "a row twice",
        "a case was kept twice, and the better row may be taken",
        altered(lambda rows: [*rows, rows[0]]),
        "INCONCLUSIVE",
        "suite services",
        "has the case falcon-port twice",
    ),
    Planted(
        "a strange row",
        "a row is of a case that the suite does not have",
        altered(first_row(case="stranger")),
        "INCONCLUSIVE",
        "suite services",
        "has a row of a case that the suite does not have: stranger",
    ),
    Planted(
        "one split only",
        "only the dev half was measured",
        a_part_only(split="dev"),
        "INCONCLUSIVE",
        "suite services",
        "covers a part of the suite only (split dev)",
    ),
    Planted(
        "first cases only",
        "only the first 60 cases were measured",
        a_part_only(limit=60),
        "INCONCLUSIVE",
        "suite services",
        "covers a part of the suite only (split all, the first 60 cases)",
    ),
    Planted(
        "easier cases",
        "the suite was another when it was measured",
        easier_cases,
        "INCONCLUSIVE",
        "suite services",
        "is of the suite as it was in version 1, and it has changed since",
    ),
    Planted(
        "empty suite",
        "the suite has no case left",
        empty_suite,
        "INCONCLUSIVE",
        "suite services",
        "cases.jsonl",
    ),
    Planted(
        "not measured",
        "nobody measured the release",
        not_measured,
        "INCONCLUSIVE",
        "suite services",
        "none is on record",
    ),
    Planted(
        "signed elsewhere",
        "the evidence was signed with another installation's key",
        signed_elsewhere,
        "INCONCLUSIVE",
        "suite services",
        "of another installation",
    ),
    Planted(
        "touched rows",
        "somebody edited the stored scores",
        touched_rows,
        "INCONCLUSIVE",
        "suite services",
        "the content has the hash",
    ),
    Planted(
        "measured long ago",
        "the evidence is 40 days old",
        long_ago,
        "INCONCLUSIVE",
        "age",
        "The evidence is older than 30 days",
    ),
    Planted(
        "judge prompt edited",
        "the judge's prompt file was edited after its calibration",
        edited_judge_prompt,
        "INCONCLUSIVE",
        "faithfulness judge",
        "(stub) is not calibrated for faithfulness",
        judged.GATE,
    ),
    Planted(
        "judge that always says yes",
        "every claim is supported, whatever it says",
        judge_that_says_yes,
        "INCONCLUSIVE",
        "faithfulness judge",
        "its lower bound is under 0.4",
        judged.GATE,
    ),
)
