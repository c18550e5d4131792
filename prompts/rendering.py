"""One prompt with values, as the messages that a model gets, and how many tokens they have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.content import read_text
from lockgate.errors import LockgateError, UserError
from lockgate.models.catalogue import load_catalogue
from lockgate.models.tokens import load_token_counter
from lockgate.settings import Settings
from lockgate.types import Message
from prompts.lint import chat_model
from prompts.prompt import Prompt

if TYPE_CHECKING:
    from lockgate.ports import Embedder


@dataclass(frozen=True, slots=True)
class Rendering:
    """``tokens`` has a count for each message, by the tokenizer of ``model``; None when that cannot count here, for the
    reason ``note``. Counted is the content; the marks that a model puts around messages come on top."""

    messages: list[Message]
    model: str
    tokens: list[int] | None
    note: str = ""


def render_prompt(
    settings: Settings,
    prompt: Prompt,
    values: Mapping[str, object],
    *,
    model: str | None = None,
    embedder: Callable[[], Embedder] | None = None,
) -> Rendering:
    """``model`` is a name of the catalogue; default: the prompt's, else LOCKGATE_MODEL, else the catalogue's.

    Raises UserError for values that do not fit, NotFound for a ``model`` that the catalogue does not have.
    """
    messages = prompt.messages(values, embedder or (lambda: _load_embedder(settings)))
    name = model or prompt.defaults.model or settings.model
    try:
        name = chat_model(settings, name or None).name
    except LockgateError as error:
        if model:
            raise
        return Rendering(messages, name, None, f"Tokens are not counted: {error}")
    try:
        counter = load_token_counter(settings, name)
    except LockgateError as error:
        return Rendering(messages, name, None, f"Tokens are not counted: {error}")
    return Rendering(messages, name, counter.count_tokens([message.content for message in messages]))


def read_values(prompt: Prompt, assignments: Sequence[str], file: Path | None) -> dict[str, object]:
    """Values from a JSON file, with ``name=value`` on top: text as it is for a str, JSON for every other type."""
    values: dict[str, object] = {}
    if file is not None:
        try:
            body = json.loads(read_text(file))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}: not valid JSON: {error}.") from None
        if not isinstance(body, dict):
            raise UserError(f"{file}: a JSON object was expected, not {type(body).__name__}.")
        values |= body
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--var {assignment[:80]!r} is not of the form name=value.")
        values[name] = _value(prompt, name, text)
    return values


def _value(prompt: Prompt, name: str, text: str) -> object:
    wanted = prompt.variables.get(name, "str")
    if wanted == "str":
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"--var {name}={text[:60]}: the variable is {wanted}, which is written as JSON ({error}).",
            hint="For long values write a file and give it with --vars.",
        ) from None
    return value


def _load_embedder(settings: Settings) -> Embedder:
    from lockgate.models.embedder import load_embedder

    return load_embedder(settings, load_catalogue(settings.project_dir).get(settings.embedder, "embedder"))
