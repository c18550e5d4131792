"""Where prompts are found: the project's own files first, then those that ship with Lockgate."""

from __future__ import annotations

from pathlib import Path

from lockgate.errors import NotFound, UserError
from prompts.prompt import NAME, Prompt, load_prompt

SHIPPED = Path(__file__).parent / "library"


def find_prompt(project_dir: Path, name: str) -> Prompt:
    """The prompt called ``name``. Raises NotFound, which lists the names, and what ``load_prompt`` raises."""
    files = prompt_files(project_dir)
    if not NAME.match(name) or name not in files:
        raise NotFound(f"No prompt is called {name[:80]!r}.", hint=f"Prompts: {', '.join(sorted(files)) or 'none'}.")
    return load_prompt(files[name])


def load_library(project_dir: Path) -> dict[str, Prompt]:
    """Every prompt by name, in order. Raises UserError that lists the problems of all files that have one."""
    prompts: dict[str, Prompt] = {}
    problems: list[str] = []
    for name, file in sorted(prompt_files(project_dir).items()):
        try:
            prompts[name] = load_prompt(file)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return prompts


def prompt_files(project_dir: Path) -> dict[str, Path]:
    """The file of each prompt by name; a project's file replaces a shipped one of the same name."""
    files: dict[str, Path] = {}
    for folder in (SHIPPED, project_dir / "prompts" / "library"):
        files |= {file.stem: file for file in folder.glob("*.md") if file.stem != "README" and file.is_file()}
    return files
