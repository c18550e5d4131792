"""Reports of made-up runs, some of them with everything in them that other people could write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evals.comparing.compare import Side, compare_rows
from evals.metrics.catalogue import resolve_metric
from evals.reports.report import Report
from evals.reports.reported_run import ReportedRun
from evals.runs.row import Row
from evals.runs.run import aggregates_of
from evals.verdict import GateReport, RuleResult, Verdict
from tests.evals.compared import row

NAMES = ("token_f1", "abstention_accuracy", "latency_seconds", "injection_obeyed")
HOSTILE = (
    "</td></div><script>window.hit=1;alert(1)</script><img src=http://evil.example/x.png onerror=alert(2)>"
    "<a href='javascript:alert(3)'>x</a> @octocat #1 ![i](http://evil.example/i.png) [l](http://evil.example) "
    "http://evil.example/auto www.evil.example `code` ``` ~~~ | cell | </details></summary><!-- -->"
    "\n```\n@octocat <b>out</b>\n| a | b |\n~~~\n\u202etxt.exe \x00\x1b[31m\x08\u200b \ufffe \ud83d \u2028"
    "\u0645\u0631\u062d\u0628\u0627 \U0001f469\u200d\U0001f680 ]]> &amp; \\| \\` {{ 1 }}"
)


def made_run(rows: Sequence[Row], run: str = "run-b", names: Sequence[str] = NAMES, **changes: Any) -> ReportedRun:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    facts: dict[str, Any] = {
        "id": run,
        "suite": "tiny",
        "suite_version": "3",
        "suite_hash": "h" * 64,
        "chain": "docs",
        "mode": "extractive",
        "release": run[-1] * 64,
        "split": "all",
        "limit": None,
        "repeats": 1,
        "tier": "offline",
        "started_at": now,
        "finished_at": now,
        "snapshots": ("s",),
        "metadata": {"environment": {"python": "3.11"}},
        # Not complete while it is summed up: the answer score, which nothing here shows, takes long for long answers.
        "aggregates": {
            **aggregates_of([resolve_metric(name) for name in names], rows, complete=False),
            "complete": True,
        },
        "rows": tuple(rows),
        "expected": len(rows),
    }
    return ReportedRun(**{**facts, **changes})


def made_report(old: Sequence[Row], new: Sequence[Row], names: Sequence[str] = NAMES, **changes: Any) -> Report:
    """``new`` against ``old``, called production."""
    base, run = made_run(old, "run-a", names), made_run(new, "run-b", names)
    metrics = [resolve_metric(name) for name in names]
    sides = Side(base.id, base.release), Side(run.id, run.release)
    comparison = compare_rows(old, new, metrics, sides=sides, suite=("tiny", "3", "h" * 64))
    return Report(**{"run": run, "base": base, "base_name": "production", "comparison": comparison, **changes})


def scores(f1: float, right: float = 1.0, seconds: float = 0.5, obeyed: float = 0.0) -> dict[str, float]:
    return dict(zip(NAMES, (f1, right, seconds, obeyed), strict=True))


def plain_rows(count: int = 12, f1: float = 0.5, **changes: Any) -> list[Row]:
    """Rows whose scores vary a little, in a slice of two values."""
    return [
        row(f"c{n}", scores(f1 + 0.01 * (n % 3)), slices={"kind": "ab"[n % 2]}, tags=[], **changes)
        for n in range(count)
    ]


def hostile_rows(answer: str = HOSTILE) -> list[Row]:
    """Every text of a row is ``HOSTILE``; one case failed, one lacks a score."""
    texts: Mapping[str, Any] = {
        "question": HOSTILE,
        "reference": HOSTILE,
        "history": [{"role": HOSTILE, "content": HOSTILE}],
        "citations": [{"number": 1, "path": HOSTILE, "heading": [HOSTILE], "text": HOSTILE}],
        "ranking": [HOSTILE],
        "slices": {HOSTILE: HOSTILE},
    }
    return [
        row(f"a{HOSTILE}", scores(0.1), answer, **texts),
        row("failed", {}, None, answer_error=HOSTILE, unscored=dict.fromkeys(NAMES, HOSTILE), **texts),
        row("lacks", dict.fromkeys(NAMES[1:], 1.0), answer, unscored={"token_f1": HOSTILE}, **texts),
    ]


def good_rows() -> list[Row]:
    """The cases of ``hostile_rows``, all of them scored."""
    return [
        row(name, scores(0.9), "Nice words.", slices={HOSTILE: HOSTILE}) for name in (f"a{HOSTILE}", "failed", "lacks")
    ]


def hostile_report(**changes: Any) -> Report:
    notes = (HOSTILE,)
    return made_report(good_rows(), hostile_rows(), notes=notes, gate=made_gate("FAIL", HOSTILE), **changes)


def made_gate(verdict: Verdict, text: str = "It is so.") -> GateReport:
    """A gate whose rule has one check of each verdict up to ``verdict``."""
    verdicts: tuple[Verdict, ...] = ("PASS", "INCONCLUSIVE", "FAIL")
    checks = [
        {
            "check": f"check {each}",
            "verdict": each,
            "reason": text,
            "resolve": "" if each == "PASS" else text,
            "figures": {},
        }
        for each in verdicts[: verdicts.index(verdict) + 1]
    ]
    details = {"suite": "tiny", "run": "run-b", "checks": checks}
    return GateReport("production", "b" * 64, "g", (RuleResult("suite tiny", verdict, text, text, details, 0.1),))
