from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from prompts.lint import RULES
from prompts.problem import Problem
from prompts.sarif import sarif

# The parts of the SARIF 2.1.0 schema that these files use, with its own required keys and limits.
_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_LOCATION = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "required": ["uri"],
                    "properties": {
                        "uri": {"type": "string", "pattern": "^[^/:\\\\ ][^:\\\\ ]*$"},
                        "uriBaseId": {"type": "string"},
                    },
                    "additionalProperties": False,
                },
                "region": {
                    "type": "object",
                    "required": ["startLine", "startColumn"],
                    "properties": {
                        "startLine": {"type": "integer", "minimum": 1},
                        "startColumn": {"type": "integer", "minimum": 1},
                    },
                    "additionalProperties": False,
                },
            },
        }
    },
}
SCHEMA = {
    "type": "object",
    "required": ["version", "runs", "$schema"],
    "properties": {
        "version": {"const": "2.1.0"},
        "$schema": {"const": "https://json.schemastore.org/sarif-2.1.0.json"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {"required": ["id"], "properties": {"shortDescription": _TEXT}},
                                    }
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["ruleId", "level", "message", "locations"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": _TEXT,
                                "locations": {"type": "array", "minItems": 1, "items": _LOCATION},
                            },
                        },
                    },
                },
            },
        },
    },
}


def test_findings_become_sarif_with_relative_places() -> None:
    problems = [
        Problem("unused-variable", "m", "/p/prompts/library/a b.md", 3, 5, "do", "warning"),
        Problem("unreadable", "m", "/lock/prompts/library/answer.md"),
    ]
    body = json.loads(json.dumps(sarif(problems, RULES, {"PROJECT": Path("/p"), "LOCKGATE": Path("/lock")})))
    assert list(Draft202012Validator(SCHEMA).iter_errors(body)) == []
    run = body["runs"][0]
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert [place["artifactLocation"] for place in places] == [
        {"uri": "prompts/library/a%20b.md", "uriBaseId": "PROJECT"},
        {"uri": "prompts/library/answer.md", "uriBaseId": "LOCKGATE"},
    ]
    assert [place["region"] for place in places] == [
        {"startLine": 3, "startColumn": 5},
        {"startLine": 1, "startColumn": 1},
    ]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["originalUriBaseIds"]["PROJECT"] == {"uri": "file:///p/"}


def test_no_findings_are_valid_sarif_too() -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors(sarif([], RULES, {}))) == []
