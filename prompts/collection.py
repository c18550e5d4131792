"""Where prompts are found: the project's own files first, then those that ship with Lockgate.

A prompt is a file directly in a library folder, or a folder there with a prompt.md; every other file is an include.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lockgate.errors import LockgateError, NotFound, UserError
from prompts.files import MAIN, FolderFiles
from prompts.header import NAME
from prompts.problem import one_line
from prompts.prompt import Prompt, read_prompt

SHIPPED = Path(__file__).parent / "library"


@dataclass(frozen=True, slots=True)
class PromptFile:
    """Where a prompt lies. ``mains`` has two paths, relative to ``library``, when it is given both ways: an error."""

    name: str
    library: Path
    mains: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The main file."""
        return self.library / self.mains[0]

    def load(self) -> Prompt:
        """Raises NotFound, or UserError that names every problem with its file and line."""
        self.only_main()
        return read_prompt(FolderFiles(self.library), self.mains[0])

    def only_main(self) -> str:
        """The main file, relative to the library. Raises UserError when there are two."""
        if len(self.mains) > 1:
            both = " and ".join(one_line(str(self.library / main)) for main in self.mains)
            raise UserError(f"{both}: the prompt {self.name!r} is given twice.", hint="Remove one of the two.")
        return self.mains[0]


def own_library(project_dir: Path) -> Path:
    """Where a project's own prompts lie."""
    return project_dir / "prompts" / "library"


def find_prompt(project_dir: Path, name: str) -> Prompt:
    """The prompt called ``name``. Raises NotFound, which lists the names, and what loading raises."""
    return find_file(project_dir, name).load()


def find_file(project_dir: Path, name: str) -> PromptFile:
    """Where the prompt called ``name`` lies. Raises NotFound, which lists the names."""
    files = prompt_files(project_dir)
    if not NAME.match(name) or name not in files:
        raise NotFound(f"No prompt is called {name[:80]!r}.", hint=f"Prompts: {', '.join(sorted(files)) or 'none'}.")
    return files[name]


@dataclass(frozen=True, slots=True)
class Library:
    """``prompts`` by name, in order; ``errors`` say what is wrong with the files that do not load."""

    prompts: dict[str, Prompt]
    errors: list[LockgateError]


def load_library(project_dir: Path) -> Library:
    """Every prompt; a file that is broken hides no other."""
    prompts: dict[str, Prompt] = {}
    errors: list[LockgateError] = []
    for name, file in sorted(prompt_files(project_dir).items()):
        try:
            prompts[name] = file.load()
        except LockgateError as error:
            errors.append(error)
    return Library(prompts, errors)


def prompt_files(project_dir: Path) -> dict[str, PromptFile]:
    """Where each prompt lies, by name; a project's own replaces a shipped one of the same name."""
    return {file.name: file for folder in (SHIPPED, own_library(project_dir)) for file in _files(folder)}


def _files(library: Path) -> list[PromptFile]:
    mains: dict[str, list[str]] = {}
    for file in sorted(library.glob("*.md")):
        if file.stem != "README" and not file.is_dir():
            mains.setdefault(file.stem, []).append(file.name)
    for file in sorted(library.glob(f"*/{MAIN}")):
        mains.setdefault(file.parent.name, []).append(f"{file.parent.name}/{MAIN}")
    return [PromptFile(name, library, tuple(paths)) for name, paths in mains.items()]
