"""A judge that is calibrated with labels by people and scores the releases of a gated project, over loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import yaml

from evals.calibration import Calibrations, calibrate
from evals.judge.book import PromptBook
from evals.judge.judge import ModelJudge
from evals.judge.labels import LabelRow, Labels
from evals.judge.metrics import JUDGED_METRICS
from evals.judge.server import JudgeServer
from lockgate.store.evidence import EvidenceRecord
from tests.evals.gated import SUITE, GatedProject
from tests.evals.judge_server import JudgeStub, purpose_of, said_in
from tests.evals.judges import honest

FAITHFULNESS = JUDGED_METRICS["faithfulness"]
GATE = """\
channel: production
rules:
  - rule: suite
    suite: services
    floors: {faithfulness: 0.7}
    min_n: 40
"""


def honestly(request: dict[str, Any]) -> dict[str, Any]:
    return dict(honest(purpose_of(request), said_in(request)))


def write_judged_suite(project: GatedProject) -> None:
    metrics = [*yaml.safe_load(yaml.safe_dump(SUITE["metrics"])), "faithfulness"]
    project.write_suite(metrics=metrics, tier="judged")


def open_stub_judge(project: GatedProject, stub: JudgeStub, **options: Any) -> ModelJudge:
    """The judge behind ``stub``, with the prompts that the project has now."""
    server = JudgeServer(stub.url, "", **{"timeout_s": 5.0, **options})
    return ModelJudge(server, "stub", PromptBook(project.folder))


def human_labels() -> Labels:
    """Sixty answers that a person labelled: every other one is not what the passage says."""
    rows = tuple(
        LabelRow(
            id=f"q{number}",
            label=float(number % 2 == 0),
            source="human",
            by="ann",
            question=f"Which port does the service number {number} listen on?",
            answer=f"The service number {number} listens on port {9 if number % 2 else 4000 + number}.",
            passages=(f"The service number {number} listens on port {4000 + number}.",),
        )
        for number in range(60)
    )
    return Labels(rows, (0.0, 1.0), 2, "h" * 64)


def calibrate_judge(project: GatedProject, stub: JudgeStub, **options: Any) -> None:
    async def made() -> None:
        async with open_stub_judge(project, stub, **options) as judge:
            body = await calibrate(FAITHFULNESS, judge, human_labels())
        Calibrations(project.db, project.settings.state_dir).write(body)

    asyncio.run(made())


def measure_judged(project: GatedProject, stub: JudgeStub, release: str, **options: Any) -> EvidenceRecord:
    """``options`` beside those of a run: those of the judge's server, under ``server``."""
    judge = open_stub_judge(project, stub, **options.pop("server", {}))
    return project.measure(release, judge=judge, **options)
