from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.errors import NotFound, UserError
from prompts.prompt import prompt_from_files
from prompts.rendering import read_values, render_prompt
from tests.prompts.repositories import settings_in
from tests.prompts.test_examples import LetterEmbedder
from tests.prompts.texts import example_rows, prompt_text

KEYS = "variables: {question: str, count: int, flags: list}\n"
PROMPT = prompt_from_files("greet", {"greet.md": prompt_text(keys=KEYS, body="# user\n{{ question }}\n")}, where="r")


def test_values_come_from_a_file_with_the_command_line_on_top(tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text('{"question": "from the file", "count": 1, "flags": []}')
    values = read_values(PROMPT, ["question=a=b", "flags=[1, 2]"], file)
    assert values == {"question": "a=b", "count": 1, "flags": [1, 2]}


@pytest.mark.parametrize(
    ("assignments", "text", "says"),
    [
        (["question"], None, "'question' is not of the form name=value"),
        (["count=three"], None, "the variable is int, which is written as JSON"),
        (["flags=" + "[" * 100_000], None, "the variable is list"),
        ([], "[1]", r"values\.json: a JSON object was expected, not list"),
        ([], "{", r"values\.json: not valid JSON"),
        ([], "[" * 100_000, r"values\.json: not valid JSON"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused(
    tmp_path: Path, assignments: list[str], text: str | None, says: str
) -> None:
    file = tmp_path / "values.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=says):
        read_values(PROMPT, assignments, file if text is not None else None)


VALUES = {"question": "Who?", "count": 1, "flags": []}


def test_without_the_models_tokenizer_nothing_is_counted_and_the_reason_is_said(tmp_path: Path) -> None:
    rendering = render_prompt(settings_in(tmp_path), PROMPT, VALUES)
    assert (rendering.model, rendering.tokens) == ("smollm2-135m-instruct", None)
    assert "not on this machine" in rendering.note and "lockgate models pull" in rendering.note
    served = settings_in(tmp_path).model_copy(update={"model": "some-server-model"})
    rendering = render_prompt(served, PROMPT, VALUES)
    assert (rendering.model, rendering.tokens) == ("some-server-model", None)
    assert "some-server-model" in rendering.note


def test_a_model_that_is_asked_for_must_be_known_and_a_chat_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gpt-9"):
        render_prompt(settings_in(tmp_path), PROMPT, VALUES, model="gpt-9")
    with pytest.raises(UserError, match="kind embedder"):
        render_prompt(settings_in(tmp_path), PROMPT, VALUES, model="all-minilm-l6-v2")


@pytest.mark.models
def test_tokens_are_those_of_the_models_tokenizer(tmp_path: Path, models_path: Path) -> None:
    settings = settings_in(tmp_path).model_copy(update={"models_dir": models_path})
    rendering = render_prompt(settings, PROMPT, VALUES | {"question": "one two three"})
    assert (rendering.tokens, rendering.note) == ([3], "")


def test_similar_examples_are_chosen_with_the_embedder_that_is_given(tmp_path: Path) -> None:
    keys = "variables: {question: str}\nexamples: {choose: similar, count: 1}\n"
    files = {
        "greet/prompt.md": prompt_text(keys=keys, body="# user\n{{ question }}\n"),
        "greet/examples.jsonl": example_rows(("aaa", "A"), ("bbb", "B")),
    }
    prompt = prompt_from_files("greet", files, where="r")
    rendering = render_prompt(settings_in(tmp_path), prompt, {"question": "b"}, embedder=LetterEmbedder)
    assert [message.content for message in rendering.messages] == ["bbb", "B", "b"]
    with pytest.raises(NotFound, match="all-minilm-l6-v2 is not on this machine"):
        render_prompt(settings_in(tmp_path), prompt, {"question": "b"})
