"""Ten bad releases on the real pipeline: the default models, the default chain, docs-smoke and the production gate.

    python -m bench.gate [--every 2] [--only NAME ...]

In a folder of its own, Lockgate's documentation is indexed, the default release is measured and put in production, and
each bad release is planted, measured by every second case of the suite and judged. Exits with 1 when one passes, or is
refused for another reason than the one it was planted for, or when the default release does not pass.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from chains.assembly import SharedModels
from evals.gate import SHIPPED as GATES
from evals.verdict import GateReport
from ingestion.embedding import open_embedder
from ingestion.service import IndexService
from lockgate.settings import Settings
from lockgate.store.database import open_database
from lockgate.terminal import plain, progress_bars
from tests.evals.gated import GatedProject
from tests.evals.planted import PLANTED, Plant, against

ROOT = Path(__file__).parents[1]
SUITE = "docs-smoke"
SHIPPED_GATE = (GATES / "production.yaml").read_text(encoding="utf-8")
GATE = SHIPPED_GATE.partition("  # Guardrails gate")[0]
"""Without the rule about guardrails: what is planted here is no matter of them."""

EXPECTED: dict[str, tuple[str, str]] = {
    "wrong top-k": ("recall@5 floor", "it misses the floor"),
    "shuffled index": ("recall@5 floor", "it misses the floor"),
    "another tenant's index": ("recall@5 floor", "it misses the floor"),
    "stale embeddings": ("recall@5 floor", "it misses the floor"),
    "prompt without its context": ("token_recall floor", "floor"),
    "always refusing": ("token_recall floor", "it misses the floor"),
    "never abstaining": ("abstention_balanced floor", "certain is only"),
    "10 % of rows dropped": ("rows", "cases have no row"),
    "model server away": ("token_recall cases", "The model took too long"),
    "leaked test answers in the prompt": ("leaks", "The prompts hold 12 of the suite's own questions or answers"),
}
"""The check that has to speak against each, and a part of what it says."""


@contextlib.contextmanager
def open_docs(folder: Path, every: int, progress: Callable[[str, int, int], None]) -> Iterator[GatedProject]:
    """A project of Lockgate's documentation, a share of its suite, and its chain, with this machine's models."""
    project = folder / "project"
    shutil.copytree(ROOT / "docs", project / "docs")
    shutil.copytree(ROOT / "evals" / "suites" / SUITE, project / "evals" / "suites" / SUITE)
    chain = yaml.safe_load((ROOT / "chains" / "definitions" / "docs.yaml").read_text(encoding="utf-8"))
    texts = {
        str(page.relative_to(project / "docs")): page.read_text(encoding="utf-8")
        for page in sorted((project / "docs").rglob("*.md"))
    }
    settings = Settings(project=project, state=folder / "state", _env_file=None)
    with open_database(settings.database) as db, IndexService(settings, db, open_embedder(settings)) as service:
        models = SharedModels(settings)
        opened = GatedProject(settings, db, service, models, SUITE, chain, texts, progress)
        try:
            lines = opened.cases_file.read_text(encoding="utf-8").splitlines(keepends=True)
            opened.cases_file.write_text("".join(lines[::every]), encoding="utf-8")
            opened.write_chain()
            opened.sync({})
            yield opened
        finally:
            models.close()


def reset(project: GatedProject, cases: str) -> None:
    """As it was when the good release was built."""
    shutil.rmtree(project.folder / "prompts", ignore_errors=True)
    project.cases_file.write_text(cases, encoding="utf-8")
    project.write_chain()
    project.sync({})


def judge_planted(project: GatedProject, plant: Plant) -> GateReport:
    with pytest.MonkeyPatch.context() as patch:
        return project.judge(plant(project, patch), GATE)


def reason_of(report: GateReport, name: str) -> tuple[bool, str]:
    """(whether it was refused for the reason it was planted for, what the gate said)"""
    check, expected = EXPECTED[name]
    said = [reason for found, _, reason, _ in against(report) if found == check]
    right = report.verdict != "PASS" and any(expected in reason for reason in said)
    return right, said[0] if said else report.rules[-1].reason


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(EXPECTED), metavar="NAME", default=list(EXPECTED))
    parser.add_argument("--every", type=int, default=2, help="take every so many cases of the suite")
    options = parser.parse_args()
    chosen = [each for each in PLANTED if each.name in options.only]
    wrong = 0
    with contextlib.ExitStack() as stack:
        folder, progress = stack.enter_context(tempfile.TemporaryDirectory()), stack.enter_context(progress_bars())
        project = stack.enter_context(open_docs(Path(folder), options.every, progress))
        cases = project.cases_file.read_text(encoding="utf-8")
        good = project.build()
        project.measure(good)
        project.measure(good, suite_name="safety")
        project.put_in_production(good)
        report = project.judge(good, SHIPPED_GATE)
        wrong += report.verdict != "PASS"
        print("| release | how it is planted | verdict | reason | seconds |\n|---|---|---|---|---|")
        print(f"| the default one | | {report.verdict} | {plain(report.rules[-1].reason)} | |", flush=True)
        for each in chosen:
            start = time.perf_counter()
            reset(project, cases)
            report = judge_planted(project, each.plant)
            right, reason = reason_of(report, each.name)
            wrong += not right
            mark = "" if right else " (WRONG)"
            took = time.perf_counter() - start
            row = (each.name, each.how, report.verdict + mark, plain(" ".join(reason.split())), f"{took:.0f}")
            print(f"| {' | '.join(row)} |", flush=True)
    print(f"\n{len(chosen) + 1 - wrong} of {len(chosen) + 1} as they should be.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
