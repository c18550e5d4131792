"""docs/guardrails.md names a test for each of OWASP's ten risks; each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "guardrails.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (LLM\d\d) .*\| `(tests/\S+\.py)::(\w+)` \|$", TEXT, re.MULTILINE)


def test_every_risk_has_its_row() -> None:
    assert [risk for risk, _, _ in ROWS] == [f"LLM{number:02}" for number in range(1, 11)]


@pytest.mark.parametrize(("risk", "path", "name"), ROWS)
def test_the_named_test_is_there_and_checks_something(risk: str, path: str, name: str) -> None:
    functions = {
        node.name: node
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert _checks(functions[name], functions), risk


def _checks(function: ast.FunctionDef, functions: dict[str, ast.FunctionDef]) -> bool:
    """Whether it asserts, expects an error, or calls a function of its file that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Attribute) and node.attr == "raises"):
            return True
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if called != function.name and called in functions and _checks(functions[called], functions):
            return True
    return False
