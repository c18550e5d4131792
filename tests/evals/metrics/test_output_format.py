from __future__ import annotations

import pytest

from evals.metrics.metric import Tools
from evals.metrics.score import NotApplicable, Unscored
from prompts.schema import OutputSchema
from tests.evals.outcomes import answered, failed, make_answer, score

SCHEMA = OutputSchema({"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}}})
TOOLS = Tools(check_output=SCHEMA.text_errors)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"port": 8000}', 1.0),
        ('{"port": "8000"}', 0.0),
        ("{}", 0.0),
        ('```json\n{"port": 8000}\n```', 0.0),
        ('{"port": 8000', 0.0),
        ("", 0.0),
        ("[" * 100_000, 0.0),
        ('{"port": NaN}', 0.0),
    ],
)
def test_an_answer_is_valid_only_as_the_schema_says(text: str, expected: float) -> None:
    assert score("json_valid", answered(text), TOOLS) == expected


def test_nothing_is_said_without_a_schema_or_of_an_abstention() -> None:
    assert isinstance(score("json_valid", answered("{}")), NotApplicable)
    abstained = answered("", answer=make_answer("Not there.", abstained=True))
    assert isinstance(score("json_valid", abstained, TOOLS), NotApplicable)
    assert score("json_valid", failed(), TOOLS) == Unscored("model gone")
