"""Findings as SARIF 2.1.0, which code hosts and editors read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prompts.problem import Problem, one_line

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(problems: Iterable[Problem], rules: Mapping[str, str], roots: Mapping[str, Path]) -> dict[str, Any]:
    """``rules`` maps each rule to what it asks for; ``roots`` name the folders that files are given relative to."""
    order = sorted(rules)
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "lockgate",
                        "version": version("lockgate"),
                        "rules": [{"id": rule, "shortDescription": {"text": rules[rule]}} for rule in order],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {name: {"uri": f"{folder.as_uri()}/"} for name, folder in roots.items()},
                "results": [_result(problem, order, roots) for problem in problems],
            }
        ],
    }


def _result(problem: Problem, order: list[str], roots: Mapping[str, Path]) -> dict[str, Any]:
    region = {"startLine": problem.line, "startColumn": problem.column}
    return {
        "ruleId": problem.rule,
        "ruleIndex": order.index(problem.rule),
        "level": problem.level,
        "message": {"text": one_line(f"{problem.message} {problem.fix}".strip())},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(problem.file, roots), "region": region}}],
    }


def _artifact(file: str, roots: Mapping[str, Path]) -> dict[str, str]:
    path = Path(file)
    for name, folder in roots.items():
        if path.is_relative_to(folder):
            return {"uri": _uri(path.relative_to(folder)), "uriBaseId": name}
    return {"uri": _uri(path)}


def _uri(path: Path) -> str:
    """Its bytes, so that a name that is not UTF-8 has one too."""
    return quote(os.fsencode(path.as_posix()))
