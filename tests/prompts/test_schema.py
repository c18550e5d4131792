from __future__ import annotations

import time
from typing import Any

import pytest

from prompts.schema import OutputSchema

ANSWER = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 5}, "sources": {"$ref": "#/$defs/numbers"}},
    "required": ["answer"],
    "additionalProperties": False,
    "$defs": {"numbers": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}},
}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"answer": "yes"}, None),
        ({"answer": "yes", "sources": [1, 2]}, None),
        ({"answer": "too long"}, "answer: "),
        ({"answer": "yes", "sources": ["one"]}, "sources.0: 'one' is not of type 'integer'"),
        ({"answer": "yes", "sources": [1, 1.0]}, "sources: has items that are equal"),
        ({"sources": [1]}, "the whole: 'answer' is a required property"),
        ({"answer": "yes", "more": 1}, "the whole: Additional properties"),
        ([], "the whole: [] is not of type 'object'"),
        ({"answer": float("nan")}, "the whole: 'nan' is not what JSON can say"),
    ],
)
def test_says_where_a_value_breaks_the_schema(value: object, says: str | None) -> None:
    found = OutputSchema(ANSWER).errors(value)
    assert found == [] if says is None else found[0].startswith(says)


def test_an_answer_is_json_or_where_the_schema_says_so_just_text() -> None:
    schema = OutputSchema(ANSWER)
    assert schema.text_errors('{"answer": "yes"}') == []
    assert schema.text_errors('{"answer": 1}') == ["answer: 1 is not of type 'string'"]
    assert "is not JSON" in schema.text_errors("Yes.")[0]
    assert "is not JSON" in schema.text_errors("[" * 100_000)[0]
    assert OutputSchema({"type": "string", "enum": ["Yes."]}).text_errors("Yes.") == []
    assert OutputSchema({"type": "string"}).text_errors("12") == []
    assert OutputSchema({"type": "integer"}).text_errors("12") == []


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "string", "pattern": "(a+)+$"}, "pattern: regular expressions are not checked here"),
        ({"properties": {"a": {"pattern": "x"}}}, r"properties\.a\.pattern: regular"),
        ({"patternProperties": {"(a+)+$": {}}}, "patternProperties: regular"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "cannot be referred to"),
        ({"$ref": "file:///etc/passwd"}, "cannot be referred to"),
        ({"items": {"$ref": "other.json"}}, "cannot be referred to"),
        ({"$ref": "#"}, "cannot be referred to"),
        ({"$ref": ["#/$defs/a"], "$defs": {"a": {}}}, "cannot be referred to"),
        ({"$id": "http://127.0.0.1:9/", "$ref": "x"}, r"\$id: not a key"),
        ({"$dynamicRef": "#x"}, r"\$dynamicRef: not a key"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, r"\$schema: only https://json-schema"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "leads back to itself"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}}, "leads back to itself"),
        ({"$defs": []}, r"\$defs: a mapping was expected"),
        ({"type": "strnig"}, "type: "),
        ({"type": 3}, "type: "),
        ({"required": "a"}, "required: "),
        ({"items": [1]}, "items: a mapping was expected"),
        ({"anyOf": {}}, "anyOf: a list was expected"),
        ({"multipleOf": 0}, "multipleOf: "),
        ({"properties": {1: {}}}, "the key 1 is not text"),
        ({"const": float("inf")}, "const: 'inf' is not what JSON can say"),
        ({"const": {1, 2}}, "const: .* is not what JSON can say"),
        ({"typ": "string"}, "typ: not a key"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        OutputSchema(schema)


def test_references_that_double_and_deep_nesting_are_refused_at_once() -> None:
    start = time.perf_counter()
    doubling: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    with pytest.raises(ValueError, match="nested more than 20 deep"):
        OutputSchema({"$ref": "#/$defs/a0", "$defs": {**doubling, "a40": {}}})
    wide: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 9} for n in range(9)}
    with pytest.raises(ValueError, match="more than 500 items"):
        OutputSchema({"$ref": "#/$defs/a0", "$defs": {**wide, "a9": {}}})
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"items": deep}
    with pytest.raises(ValueError, match="nested more than 20 deep"):
        OutputSchema(deep)
    assert time.perf_counter() - start < 1


def test_checking_a_large_answer_ends() -> None:
    schema = OutputSchema({"items": {"anyOf": [{"const": n} for n in range(120)]}})
    start = time.perf_counter()
    assert schema.errors([119] * 1_500) == ["the whole: too large to check against this schema"]
    assert schema.errors([[]] * 5_000) == ["has more than 2000 items"]
    assert OutputSchema({"uniqueItems": True}).errors([{"a": n} for n in range(900)]) == []
    assert time.perf_counter() - start < 3
    assert schema.errors([1, 2, 3]) == []
