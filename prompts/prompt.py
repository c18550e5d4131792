"""A prompt: Markdown with front matter, its includes and its examples; the hash of their content is its version."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lockgate.errors import NotFound, UserError
from lockgate.types import Message, Role
from prompts.checking import CheckedPrompt, check_prompt, main_path, prompt_name
from prompts.examples import Example, Examples, turns
from prompts.files import MAIN, Files, FolderFiles, TextFiles, content_hash
from prompts.header import Defaults
from prompts.problem import refuse
from prompts.sandbox import CheckedTemplate
from prompts.schema import OutputSchema
from prompts.values import VariableType, checked_values

if TYPE_CHECKING:
    from lockgate.ports import Embedder


@dataclass(frozen=True, slots=True)
class Prompt:
    """A loaded prompt.

    ``files`` maps each path, relative to the library, to the text that makes the prompt; ``hash`` is the SHA-256 of
    the only one, or of the canonical JSON of all. ``text`` is the main file, ``path`` what messages call it.
    """

    name: str
    hash: str
    description: str
    owner: str
    variables: Mapping[str, VariableType]
    trusted: tuple[str, ...]
    output: Mapping[str, Any] | None
    defaults: Defaults
    suites: tuple[str, ...]
    text: str
    path: Path
    files: Mapping[str, str] = dataclasses.field(repr=False)
    sections: tuple[tuple[Role, CheckedTemplate], ...] = dataclasses.field(repr=False)
    examples: Examples | None = dataclasses.field(repr=False)
    output_schema: OutputSchema | None = dataclasses.field(repr=False)

    @property
    def need_embedder(self) -> bool:
        """Whether ``messages`` needs one: it chooses its examples by their similarity to the question."""
        return self.examples is not None and self.examples.need_embedder

    def render(self, **values: object) -> list[Message]:
        """The messages of a prompt that needs no embedder; see ``messages``."""
        return self.messages(values)

    def messages(self, values: Mapping[str, object], embedder: Callable[[], Embedder] | None = None) -> list[Message]:
        """The messages. Values are inserted as they are and never read as a template or as a section.

        ``embedder`` is called only where examples are chosen by similarity. Raises UserError for a value that is
        missing, unknown or of the wrong type, and beyond the limits.
        """
        try:
            plain = checked_values(values, self.variables)
        except ValueError as error:
            self._refuse(f"{error}.")
        made = [Message(role, template.render(plain)) for role, template in self.sections]
        if self.examples is None:
            return made
        last = max(number for number, (role, _) in enumerate(self.sections) if role == "user")
        return [*made[:last], *turns(self._chosen(self.examples, plain, embedder)), *made[last:]]

    def output_errors(self, answer: str) -> list[str]:
        """How the text of an answer breaks the output schema; empty when it does not, or there is no schema."""
        return self.output_schema.text_errors(answer) if self.output_schema else []

    def _chosen(
        self, examples: Examples, values: Mapping[str, object], embedder: Callable[[], Embedder] | None
    ) -> tuple[Example, ...]:
        if not examples.need_embedder:
            return examples.fixed()
        if embedder is None:
            self._refuse("its examples are chosen by similarity, for which an embedder is needed.")
        return examples.nearest(str(values[examples.choice.by]), embedder())

    def _refuse(self, reason: str) -> NoReturn:
        raise UserError(f"{self.path}: prompt {self.name!r}: {reason}")


def load_prompt(path: Path) -> Prompt:
    """The prompt whose main file is ``path``: ``<library>/<name>.md`` or ``<library>/<name>/prompt.md``.

    Raises NotFound, or UserError that names every problem with its file and line.
    """
    if path.name == MAIN:
        return read_prompt(FolderFiles(path.parent.parent), f"{path.parent.name}/{MAIN}")
    return read_prompt(FolderFiles(path.parent), path.name)


def prompt_from_files(name: str, files: Mapping[str, str], *, where: str) -> Prompt:
    """The prompt that ``files`` (``Prompt.files``) hold, with the same hash; ``where`` names their owner in messages.

    Raises NotFound or UserError; also for a file that is not part of the prompt, since the hash would not cover it.
    """
    texts = TextFiles(files, where)
    prompt = read_prompt(texts, main_path(name, texts))
    if unused := sorted(files.keys() - prompt.files.keys()):
        raise UserError(f"{where}: {', '.join(unused)[:300]}: not part of the prompt {name!r}.")
    return prompt


def read_prompt(files: Files, main: str) -> Prompt:
    """The prompt whose main file is ``main`` of the library ``files``."""
    return built(check_prompt(prompt_name(main), main, files))


def built(checked: CheckedPrompt) -> Prompt:
    """The prompt. Raises UserError that lists the problems of one that has errors."""
    if errors := [problem for problem in checked.problems if problem.level == "error"]:
        refuse(errors)
    front = checked.front
    if front is None:
        raise NotFound(f"{checked.label}: no such prompt.")
    return Prompt(
        name=front.name,
        hash=content_hash(checked.files),
        description=front.description,
        owner=front.owner,
        variables=front.variables,
        trusted=front.trusted,
        output=front.output,
        defaults=front.defaults,
        suites=front.suites,
        text=checked.text,
        path=Path(checked.label),
        files=checked.files,
        sections=tuple(
            (section.role, report.template) for section, report in checked.sections if report.template is not None
        ),
        examples=checked.examples,
        output_schema=front.output_schema,
    )
