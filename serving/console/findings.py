"""What a check of a prompt found, each with its rule, its place and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from serving.console.elements import box, note, tag, words
from serving.console.safe_markdown import marked

if TYPE_CHECKING:
    from prompts.lint import Findings
    from prompts.problem import Problem

SHOWN = 100


def show_findings(findings: Findings, project: Path) -> None:
    with box("lg-section", "section").props("aria-label=Check"):
        words("Check", tag="h2")
        if not findings.problems:
            note("No findings.")
        with box("lg-rows", "ul"):
            for problem in findings.problems[:SHOWN]:
                _problem(problem, project)
        if len(findings.problems) > SHOWN:
            note(f"and {len(findings.problems) - SHOWN} more")
        for text in findings.notes:
            note(text)


def _problem(problem: Problem, project: Path) -> None:
    from prompts.lint import relative

    shown = relative(problem, project)
    place = f"{shown.file}:{shown.line}:{shown.column}" if shown.line else shown.file
    with box("lg-row", "li"):
        with box("lg-line-of"):
            tag(problem.level, "is-bad" if problem.level == "error" else "is-warn")
            words(marked(problem.message), "lg-grow", "span")
        if problem.fix:
            note(problem.fix)
        note(f"{place} · {problem.rule}", "lg-note lg-code")
