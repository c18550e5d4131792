"""Few-shot examples: rows of examples.jsonl, shown as turns before the question, fixed or nearest to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lockgate.content import ContentModel
from lockgate.errors import UserError
from lockgate.types import Message
from prompts.header import ExampleChoice, FrontMatter
from prompts.includes import text_lines
from prompts.problem import Line, Problem, at
from prompts.sandbox import Budget, CheckedTemplate
from prompts.schema import MAX_CHECKS, MAX_DEPTH
from prompts.values import checked_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lockgate.ports import Embedder

MAX_CHARACTERS = 1_000_000
"""Of the file, and of what all its rows render to."""

MAX_ROWS = 1_000

_SHAPE = '{"input": {...the variables...}, "output": "the answer"}'


class ExampleRow(ContentModel):
    """One line of examples.jsonl."""

    input: dict[str, Any]
    output: str | dict[str, Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Example:
    """A row, its question rendered. ``by`` is the text that similarity compares, "" when nothing does."""

    line: int
    user: str
    assistant: str
    by: str


class Examples:
    """The rows of a prompt and how they are chosen. Safe to share between threads."""

    def __init__(self, choice: ExampleChoice, rows: Sequence[Example]) -> None:
        self.choice = choice
        self.rows = tuple(rows)
        self._lock = threading.Lock()
        self._vectors: dict[str, NDArray[np.float32]] = {}  # by the embedder's digest

    @property
    def need_embedder(self) -> bool:
        """Whether choosing depends on the question; with no more rows than are wanted all are taken."""
        return self.choice.choose == "similar" and len(self.rows) > self.choice.count

    def fixed(self) -> tuple[Example, ...]:
        return self.rows[: self.choice.count]

    def nearest(self, text: str, embedder: Embedder) -> tuple[Example, ...]:
        """The rows nearest to ``text`` by cosine, the nearest last, right before the question; of equals the earlier.

        The rows are embedded once for each embedder; after that only ``text`` is.
        """
        scores = (self._embedded(embedder) @ embedder.embed([text])[0]).tolist()
        # Rounded: one text in two batches can differ in the last bit, which must not decide between equals.
        order = sorted(range(len(self.rows)), key=lambda row: (-round(scores[row], 5), row))
        return tuple(self.rows[row] for row in reversed(order[: self.choice.count]))

    def _embedded(self, embedder: Embedder) -> NDArray[np.float32]:
        with self._lock:
            if embedder.digest not in self._vectors:
                self._vectors[embedder.digest] = embedder.embed([row.by for row in self.rows])
            return self._vectors[embedder.digest]


def turns(examples: Sequence[Example]) -> list[Message]:
    """A user and an assistant message for each."""
    return [
        message
        for example in examples
        for message in (Message("user", example.user), Message("assistant", example.assistant))
    ]


def read_examples(
    text: str, file: str, front: FrontMatter, template: CheckedTemplate, used: frozenset[str]
) -> tuple[Examples, list[Problem]]:
    """The rows of ``text`` that are right, and what is wrong with the others.

    ``template`` is that of the user section which the rows are rendered with, ``used`` the variables in it.
    """
    choice = front.examples or ExampleChoice()
    lines = [line for line in text_lines(text, file) if line.text.strip()]
    if len(text) > MAX_CHARACTERS or len(lines) > MAX_ROWS:
        message = f"{len(lines)} rows, {len(text)} characters; at most {MAX_ROWS} and {MAX_CHARACTERS}."
        return Examples(choice, ()), [Problem("too-long", message, file)]
    reader = _Reader(front, choice, template, used)
    parsed = [(line, row) for line in lines if (row := reader.parse(line)) is not None]
    rows = [made for line, row in parsed if (made := reader.rendered(line, row)) is not None]
    for line, row in parsed:
        reader.check_output(line, row.output)
    if not lines:
        reader.problems.append(Problem("broken-examples", "the file has no rows.", file, fix=f"A row is {_SHAPE}."))
    return Examples(choice, rows), sorted(reader.problems, key=lambda problem: problem.line)


class _Reader:
    """Reads rows one by one; all renderings share one budget, so that many rows take no longer than few."""

    def __init__(
        self, front: FrontMatter, choice: ExampleChoice, template: CheckedTemplate, used: frozenset[str]
    ) -> None:
        self._variables = front.variables
        self._by = choice.by if choice.choose == "similar" else ""
        self._needed = (used & front.variables.keys()) | ({self._by} if self._by else set())
        self._schema = front.output_schema
        self._template = template
        self._budget = Budget()
        self._characters = MAX_CHARACTERS
        self.problems: list[Problem] = []

    def parse(self, line: Line) -> ExampleRow | None:
        try:
            return ExampleRow.model_validate(json.loads(line.text, parse_constant=_refuse_constant))
        except ValidationError as error:
            self._add(line, "broken-examples", f"{_described(error)}.", fix=f"A row is {_SHAPE}.")
        except RecursionError:
            self._add(line, "broken-examples", "nested too deeply.")
        except ValueError as error:
            self._add(line, "broken-examples", f"not valid JSON: {error}.", fix=f"A row is {_SHAPE}.")
        return None

    def rendered(self, line: Line, row: ExampleRow) -> Example | None:
        if self._characters < 0:
            return None
        before = len(self.problems)
        user = ""
        try:
            _shallow(row.input)
            values = checked_values(row.input, self._variables, needed=frozenset(self._needed))
            user = self._template.render(values, self._budget)
        except (ValueError, UserError) as error:
            self._add(line, "example-input", f"the input cannot be used: {error}.".replace("..", "."), word='"input"')
        assistant = row.output if isinstance(row.output, str) else json.dumps(row.output, ensure_ascii=False)
        try:
            (user + assistant).encode()
        except UnicodeEncodeError:
            self._add(line, "broken-examples", "holds half of a surrogate pair, which is not text.")
        self._characters -= len(user) + len(assistant)
        if self._characters < 0:
            self._add(line, "too-long", f"the examples up to here render to more than {MAX_CHARACTERS} characters.")
        if len(self.problems) > before:
            return None
        return Example(line.number, user, assistant, str(row.input[self._by]) if self._by else "")

    def check_output(self, line: Line, output: str | dict[str, Any] | list[Any]) -> None:
        for reason in self._wrong_output(output):
            self._add(line, "example-output", f"the output breaks the output schema: {reason}.", word='"output"')

    def _wrong_output(self, output: str | dict[str, Any] | list[Any]) -> list[str]:
        if self._schema is None:
            return []
        left = MAX_CHECKS - self._schema.checks
        if isinstance(output, str):
            return self._schema.text_errors(output, checks=left)
        return self._schema.errors(output, checks=left)

    def _add(self, line: Line, rule: str, message: str, *, word: str = "", fix: str = "") -> None:
        self.problems.append(at(line, rule, message, word=word, fix=fix))


def _shallow(value: object, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _shallow(item, depth + 1)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _described(error: ValidationError) -> str:
    item = error.errors()[0]
    key = str(item["loc"][0]) if item["loc"] else ""
    if not key:
        return "a JSON object was expected"
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}. Known keys: input, output"
    if item["type"] == "missing":
        return f"key {key!r} is missing"
    return f"key {key!r}: {'a mapping' if key == 'input' else 'text, a mapping or a list'} was expected"
