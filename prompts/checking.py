"""One prompt's files, read and checked; everything that is wrong is collected, so that one fault hides no other."""

from __future__ import annotations

from dataclasses import dataclass, field

from lockgate.content import split_front_matter
from lockgate.errors import NotFound, UserError
from prompts.examples import Examples, read_examples
from prompts.files import MAIN, Files, examples_path, main_paths
from prompts.header import NAME, FrontMatter, read_header
from prompts.includes import Expansion, expand, text_lines
from prompts.problem import Line, Problem, at
from prompts.sandbox import CheckedTemplate
from prompts.sections import Section, split_sections
from prompts.template import MAX_TOKENS, TemplateReport, check_template, count_tokens

MAX_CHARACTERS = 100_000
"""A prompt longer than this, its includes counted in, is a mistake: no model here could read it."""


@dataclass(slots=True)
class CheckedPrompt:
    """What could be read of a prompt. Whatever has no problem is there, also when other parts have."""

    name: str
    main: str
    label: str
    files: dict[str, str] = field(default_factory=dict)
    header: list[Line] = field(default_factory=list)
    front: FrontMatter | None = None
    sections: list[tuple[Section, TemplateReport]] = field(default_factory=list)
    examples: Examples | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The main file."""
        return self.files[self.main]

    def key_line(self, *keys: str) -> Line:
        """The line of the front matter that begins with the first of ``keys`` that one does, else the file's first."""
        starts = {line.text.split(":")[0].strip(): line for line in reversed(self.header)}
        return next((starts[key] for key in keys if key in starts), Line("", self.label, 1))


def gather(name: str, main: str, files: Files) -> CheckedPrompt:
    """The texts that make the prompt, and so its hash; of the content only the includes are looked at.

    Raises NotFound without a main file, UserError for one that cannot be read or is not UTF-8.
    """
    checked, body = _gathered(name, main, files)
    checked.problems += body.problems if body else []
    return checked


def check_prompt(name: str, main: str, files: Files) -> CheckedPrompt:
    """Read and check the prompt ``name`` whose main file is ``main``. Raises NotFound when that is not there."""
    try:
        checked, body = _gathered(name, main, files)
    except NotFound:
        raise
    except UserError as error:
        label = files.label(main)
        found = Problem("unreadable", error.message.removeprefix(f"{label}: "), label, fix=error.hint)
        return CheckedPrompt(name, main, label, problems=[found])
    if body is None:
        return checked
    checked.front, variables, problems = read_header(checked.header, checked.label)
    checked.problems += problems
    _check_name(checked)
    end = Line("", checked.label, len(checked.header) + 3)
    sections, problems = split_sections(body.lines, end=end)
    checked.problems += [*body.problems, *problems]
    if sum(count_tokens(section.lines) for section in sections) > MAX_TOKENS:
        message = f"the templates have more than {MAX_TOKENS} words and signs."
        checked.problems.append(Problem("too-long", message, checked.label, end.number))
        return checked
    checked.sections = [(section, check_template(section.lines, variables)) for section in sections]
    checked.problems += [problem for _, report in checked.sections for problem in report.problems]
    _check_examples(checked, files)
    return checked


def prompt_name(main: str) -> str:
    """The name of the prompt whose main file is ``main``."""
    folder, slash, _ = main.partition("/")
    return folder if slash else main.removesuffix(".md")


def main_path(name: str, files: Files) -> str:
    """Where the main file of ``name`` lies. Raises NotFound, or UserError when it is given both ways."""
    single, folder = main_paths(name)
    found = [path for path in (single, folder) if files.read(path) is not None]
    if not found:
        raise NotFound(f"{files.label(single)}: no such file.")
    if len(found) > 1:
        raise UserError(
            f"The prompt {name!r} is given twice: {files.label(single)} and {files.label(folder)}.",
            hint="Remove one of the two.",
        )
    return found[0]


def _gathered(name: str, main: str, files: Files) -> tuple[CheckedPrompt, Expansion | None]:
    """The prompt with its texts, and its body with the includes resolved, None when there is no body to read."""
    text = files.read(main)
    checked = CheckedPrompt(name, main, files.label(main))
    if text is None:
        raise NotFound(f"{checked.label}: no such file.")
    checked.files[main] = text
    examples = examples_path(main)
    try:
        rows = files.read(examples) if examples else None
        if examples and rows is not None:
            checked.files[examples] = rows
    except UserError as error:
        checked.problems.append(Problem("broken-examples", error.message, checked.label, fix=error.hint))
    if len(text) > MAX_CHARACTERS:
        message = f"{len(text)} characters; a prompt has at most {MAX_CHARACTERS}."
        checked.problems.append(Problem("too-long", message, checked.label, 1))
        return checked, None
    try:
        header, body, first = split_front_matter(text, where=checked.label)
    except UserError as error:
        message = error.message.removeprefix(f"{checked.label}:1: ")
        checked.problems.append(Problem("no-front-matter", message, checked.label, 1))
        return checked, None
    checked.header = text_lines(header, checked.label, first=2) if header else []
    lines = text_lines(body, checked.label, first=first) if body else []
    expansion = expand(lines, files, characters=MAX_CHARACTERS - len(header))
    checked.files |= expansion.files
    return checked, expansion


def _check_name(checked: CheckedPrompt) -> None:
    name = checked.front.name if checked.front else checked.name
    if name != checked.name or not NAME.match(name):
        what = "folder" if checked.main.endswith(f"/{MAIN}") else "file"
        message = (
            f"the name is {name!r}, but must be that of the {what}, {checked.name!r}: "
            "lower-case letters, digits and dashes."
        )
        checked.problems.append(at(checked.key_line("name"), "wrong-name", message))


def _check_examples(checked: CheckedPrompt, files: Files) -> None:
    front, path = checked.front, examples_path(checked.main)
    if front is None:
        return
    text = checked.files.get(path or "")
    if path is None or text is None:
        if front.examples is not None:
            place = f"{checked.name}/examples.jsonl beside {checked.name}/{MAIN}"
            message = f"'examples' needs a file {place}."
            checked.problems.append(at(checked.key_line("examples"), "broken-examples", message))
        return
    choice = front.examples
    if choice and choice.choose == "similar" and front.variables.get(choice.by) != "str":
        message = f"examples are chosen by {choice.by!r}, which is not a variable of type str."
        checked.problems.append(
            at(checked.key_line("by", "examples"), "broken-examples", message, fix="Set 'by' to a variable that is.")
        )
        return
    users = [report for section, report in checked.sections if section.role == "user"]
    if not users:
        message = "examples are shown as '# user' messages, and there is no such section."
        checked.problems.append(Problem("missing-section", message, checked.label, 1))
    elif users[-1].template is not None:
        names = frozenset(use.name for use in users[-1].names or ())
        template: CheckedTemplate = users[-1].template
        checked.examples, problems = read_examples(text, files.label(path), front, template, names)
        checked.problems += problems
