"""What is wrong, or looks wrong, in the prompt files of a project: all findings of all files at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lockgate.errors import LockgateError, UserError
from lockgate.models.catalogue import ModelEntry, load_catalogue
from lockgate.models.tokens import load_token_counter
from lockgate.settings import Settings
from lockgate.terminal import plain
from prompts.checking import CheckedPrompt, check_prompt
from prompts.collection import PromptFile, find_file, own_library, prompt_files
from prompts.files import EXAMPLES, MAIN, Files, FolderFiles
from prompts.includes import text_lines
from prompts.problem import Line, Problem, at
from prompts.trial import trial_problems

RULES: dict[str, str] = {
    "bad-schema": "The output schema is a JSON Schema of the part that can be checked here.",
    "bad-template": "The template can be read and compiled.",
    "bad-value": "A key of the front matter has a value of its type.",
    "bad-yaml": "The front matter is YAML.",
    "broken-examples": "The examples are rows of an input and an output, and a choice among them that makes sense.",
    "broken-include": "What is included is a .md file of the library.",
    "cannot-render": "The template renders within the limits, tried with small values of the declared types.",
    "empty-section": "A section has text.",
    "example-input": "The input of an example has the variables that the question's section needs.",
    "example-output": "The output of an example keeps to the output schema.",
    "given-twice": "A prompt is a file or a folder, not both.",
    "hidden-characters": "The text has no characters that cannot be seen.",
    "missing-key": "The front matter has the keys that it needs.",
    "missing-section": "The text stands in sections, and one of them is the user's.",
    "no-front-matter": "The file begins with front matter.",
    "not-allowed": "The template uses only what a prompt may use.",
    "shadowed-variable": "The template does not give a declared variable another value.",
    "system-not-first": "The system section comes first.",
    "token-budget": "The fixed text, the examples and the answer fit the model's window.",
    "too-long": "The prompt, its parts and their number keep to the limits.",
    "undeclared-variable": "A variable that the template uses is declared.",
    "unknown-key": "The front matter has no unknown keys.",
    "unknown-model": "The model of the defaults is in the catalogue.",
    "unreadable": "The file can be read, as UTF-8 text.",
    "unused-examples": "A file of examples has a prompt beside it.",
    "unused-include": "A file that is no prompt is included by one.",
    "unused-variable": "A variable that is declared is used.",
    "user-text-in-system": "The system section holds only variables that are declared as trusted.",
    "wrong-name": "The name is that of the file.",
}
"""Every rule by its stable id: what holds where it is kept."""

_UNTRUSTED = ("str", "list", "dict")


@dataclass(frozen=True, slots=True)
class Findings:
    """``notes`` say what could not be checked, and why."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    prompts: int = 0

    @property
    def errors(self) -> int:
        return sum(problem.level == "error" for problem in self.problems)


def lint_project(settings: Settings, names: Sequence[str] = ()) -> Findings:
    """The findings of the prompts called ``names``, else of all the project's own. Raises NotFound for a name."""
    project = settings.project_dir
    own = own_library(project)
    found = {name: find_file(project, name) for name in names} or {
        name: file for name, file in prompt_files(project).items() if file.library == own
    }
    budget = _TokenBudget(settings)
    problems: list[Problem] = []
    used: set[str] = set()
    for _, file in sorted(found.items()):
        for checked in _checked(file, problems):
            used |= checked.files.keys()
            problems += [*checked.problems, *lint_prompt(checked), *budget.problems(checked)]
    if not names:
        problems += _unused_files(own, used)
    order = sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.column, problem.rule))
    return Findings(order, budget.notes, len(found))


def lint_files(settings: Settings, name: str, main: str, files: Files) -> Findings:
    """The findings of one prompt wherever its files are, such as an edit before it is kept."""
    checked = check_prompt(name, main, files)
    budget = _TokenBudget(settings)
    return Findings([*checked.problems, *lint_prompt(checked), *budget.problems(checked)], budget.notes, 1)


def lint_prompt(checked: CheckedPrompt) -> Iterator[Problem]:
    """What is suspicious in a prompt that may well load."""
    roles = [section.role for section, _ in checked.sections]
    known = {problem.rule for problem in checked.problems}
    if roles and "user" not in roles and not known & {"missing-section", "empty-section"}:
        fix = "Add a line '# user' and what the user asks."
        yield Problem("missing-section", "there is no section '# user'.", checked.label, 1, fix=fix)
    yield from _variables(checked)
    if not checked.problems:
        yield from trial_problems(checked)
    for path, text in checked.files.items():
        if text != plain(text):
            yield from _hidden(text, str(Path(checked.label.removesuffix(checked.main)) / path))


def relative(problem: Problem, folder: Path) -> Problem:
    """``problem`` with its file named from ``folder``, if it lies in there."""
    path = Path(problem.file)
    return replace(problem, file=path.relative_to(folder).as_posix()) if path.is_relative_to(folder) else problem


def _checked(file: PromptFile, problems: list[Problem]) -> Iterator[CheckedPrompt]:
    if len(file.mains) > 1:
        message = f"the prompt {file.name!r} is given twice: {' and '.join(file.mains)}."
        problems.append(Problem("given-twice", message, str(file.path), 1, fix="Remove one of the two."))
    for main in file.mains:
        yield check_prompt(file.name, main, FolderFiles(file.library))


def _variables(checked: CheckedPrompt) -> Iterator[Problem]:
    front = checked.front
    if front is None:
        return
    uses = [(section.role, use) for section, report in checked.sections for use in report.names or ()]
    for role, use in uses:
        if use.name not in front.variables:
            continue
        if use.is_set:
            message = f"{use.name!r} is a variable of the prompt; here it gets another value."
            yield at(use.line, "shadowed-variable", message, word=use.name, fix="Use another name.", level="warning")
        elif role == "system" and front.variables[use.name] in _UNTRUSTED and use.name not in front.trusted:
            message = f"{use.name!r} may hold what a user or a document says, and the system section is obeyed."
            fix = f"Move it to a '# user' section, or, if only your application sets it, add 'trusted: [{use.name}]'."
            yield at(use.line, "user-text-in-system", message, word=use.name, fix=fix)
    if not checked.sections or any(report.names is None for _, report in checked.sections):
        return  # what could not be read may use them
    read = {use.name for _, use in uses if not use.is_set}
    if front.examples and front.examples.choose == "similar":
        read.add(front.examples.by)
    for name in front.variables:
        if name not in read:
            line = _declaration(checked, name)
            message = f"the variable {name!r} is declared and never used."
            yield at(line, "unused-variable", message, word=name, fix="Use it, or take it away.", level="warning")


def _declaration(checked: CheckedPrompt, name: str) -> Line:
    line = checked.key_line(name, "variables")
    return line if name in line.text else checked.key_line("variables")


def _hidden(text: str, file: str) -> Iterator[Problem]:
    for line in text_lines(text, file):
        if (shown := plain(line.text)) != line.text:
            at_column = next((n for n, (a, b) in enumerate(zip(line.text, shown, strict=False)) if a != b), len(shown))
            message = f"the character U+{ord(line.text[at_column]):04X} cannot be seen."
            fix = "Take it away: what a reviewer does not see, the model reads."
            yield Problem("hidden-characters", message, file, line.number, at_column + 1, fix, "warning")


def _unused_files(library: Path, used: set[str]) -> Iterator[Problem]:
    for file in sorted(library.rglob("*.md")):
        path = file.relative_to(library)
        is_prompt = len(path.parts) == 1 or (len(path.parts) == 2 and path.name == MAIN)
        if not is_prompt and file.stem != "README" and path.as_posix() not in used and file.is_file():
            message = "no prompt includes this file, and it is no prompt itself."
            fix = "Include it, remove it, or move it: a prompt is <name>.md in the library, or <name>/prompt.md."
            yield Problem("unused-include", message, str(file), 1, fix=fix, level="warning")
    for file in sorted(library.glob(f"*/{EXAMPLES}")):
        if not (file.parent / MAIN).exists():
            message = f"there is no {MAIN} beside these examples, so no prompt shows them."
            fix = f"Move the prompt's file to {file.parent.name}/{MAIN}."
            yield Problem("unused-examples", message, str(file), 1, fix=fix, level="warning")


class _TokenBudget:
    """Counts by the model's own tokenizer; where that is not on this machine, nothing is counted and a note says so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counters: dict[str, Callable[[Sequence[str]], list[int]] | None] = {}
        self.notes: list[str] = []

    def problems(self, checked: CheckedPrompt) -> Iterator[Problem]:
        front = checked.front
        if front is None:
            return
        try:
            model = chat_model(self._settings, front.defaults.model)
        except LockgateError as error:
            if front.defaults.model:
                line = checked.key_line("model", "defaults")
                yield at(line, "unknown-model", error.message, word=front.defaults.model, fix=error.hint)
            else:
                self._note(f"Tokens are not counted: {error}")
            return
        window, answer = model.context_window or 0, front.defaults.max_tokens or 0
        count = self._counter(model.name)
        counts = count(_fixed_texts(checked)) if count else []
        if sum(counts) + answer >= window:
            text = f"the fixed text and the examples take {sum(counts)} tokens, " if counts else ""
            message = f"{text}the answer up to {answer}; the window of {model.name} is {window}."
            fix = "Shorten the text, show fewer examples, or lower defaults.max_tokens."
            yield at(checked.key_line("max_tokens", "defaults"), "token-budget", message, word="max_tokens", fix=fix)

    def _counter(self, model: str) -> Callable[[Sequence[str]], list[int]] | None:
        if model not in self._counters:
            try:
                self._counters[model] = load_token_counter(self._settings, model).count_tokens
            except LockgateError as error:
                self._counters[model] = None
                self._note(f"Tokens are not counted: {error}")
        return self._counters[model]

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def chat_model(settings: Settings, name: str | None) -> ModelEntry:
    """The catalogue's model ``name``, else LOCKGATE_MODEL, else its default chat model. Raises NotFound, UserError."""
    catalogue = load_catalogue(settings.project_dir)
    if name or settings.model:
        return catalogue.get(name or settings.model, "chat")
    default = next((entry for entry in catalogue.defaults() if entry.kind == "chat"), None)
    if default is None:
        raise UserError("The catalogue has no default chat model.", hint="Set LOCKGATE_MODEL.")
    return default


def _fixed_texts(checked: CheckedPrompt) -> list[str]:
    """What every request holds: the text outside template signs and the examples, the longest if they vary."""
    texts = [report.fixed for _, report in checked.sections]
    if checked.examples:
        rows = list(checked.examples.rows)
        if checked.examples.need_embedder:
            rows.sort(key=lambda row: -len(row.user) - len(row.assistant))
        texts += [text for row in rows[: checked.examples.choice.count] for text in (row.user, row.assistant)]
    return texts
