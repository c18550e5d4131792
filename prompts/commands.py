"""``lockgate prompts``: list, show, new, render, lint; and what became of prompts: log, diff, blame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lockgate.settings import settings_of
from lockgate.terminal import json_text, plain
from prompts.history_commands import add_history_commands

if TYPE_CHECKING:
    from prompts.lint import Findings
    from prompts.prompt import Prompt
    from prompts.rendering import Rendering

app = typer.Typer(no_args_is_help=True, help="Prompt files: write them, check them, see what became of them.")
add_history_commands(app)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Name = Annotated[str, typer.Argument(help="The prompt's name.")]
Format = Literal["text", "json", "sarif"]


@app.command("list")
def list_prompts(ctx: typer.Context, as_json: Json = False) -> None:
    """List the prompts of the project and those that ship with Lockgate. Exit code 1 when one is broken."""
    from prompts.collection import load_library

    library = load_library(settings_of(ctx.obj).project_dir)
    found = library.prompts.values()
    if as_json:
        typer.echo(json_text([_described(prompt) for prompt in found]))
    else:
        width = max((len(prompt.name) for prompt in found), default=0)
        for prompt in found:
            typer.echo(plain(f"{prompt.name:<{width}}  {prompt.hash[:12]}  {' '.join(prompt.description.split())}"))
    for error in library.errors:
        typer.echo(plain(f"not listed: {error}"), err=True)
    if library.errors:
        raise typer.Exit(1)


@app.command()
def show(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one prompt: its files, version and text."""
    from prompts.collection import find_prompt

    prompt = find_prompt(settings_of(ctx.obj).project_dir, name)
    if as_json:
        typer.echo(json_text(_described(prompt) | {"text": prompt.text, "files": dict(prompt.files)}))
        return
    typer.echo(plain(f"{prompt.path}  {prompt.hash[:12]}\n\n{prompt.text}"), nl=False)
    for path, text in sorted(prompt.files.items()):
        if text is not prompt.text:
            typer.echo(plain(f"\n{path}\n\n{text}"), nl=False)


@app.command()
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The new prompt's name: lower-case letters, digits and dashes.")],
    folder: Annotated[bool, typer.Option("--folder", help="Make a folder, with examples beside the prompt.")] = False,
) -> None:
    """Write a new prompt to begin with; for the name of a shipped prompt, a copy of that. Overwrites nothing."""
    from prompts.starter import create_prompt

    for path in create_prompt(settings_of(ctx.obj).project_dir, name, folder=folder):
        typer.echo(plain(str(path)))


@app.command()
def render(
    ctx: typer.Context,
    name: Name,
    var: Annotated[
        list[str] | None, typer.Option("--var", help="A value, as name=value; JSON unless the variable is a str.")
    ] = None,
    vars_file: Annotated[Path | None, typer.Option("--vars", help="A JSON file with values.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model whose tokens are counted; default: the prompt's, else the chat model.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the messages that a model would get, and how many tokens each has."""
    from prompts.collection import find_prompt
    from prompts.rendering import read_values, render_prompt

    settings = settings_of(ctx.obj)
    prompt = find_prompt(settings.project_dir, name)
    if prompt.need_embedder:
        typer.echo("Loading the embedder, which chooses the examples ...", err=True)
    print_rendering(
        prompt,
        render_prompt(settings, prompt, read_values(prompt, var or [], vars_file), model=model),
        as_json=as_json,
    )


def print_rendering(prompt: Prompt, rendering: Rendering, *, as_json: bool) -> None:
    """Messages and token counts on standard output; why nothing was counted on standard error."""
    counts: list[int] | list[None] = rendering.tokens or [None] * len(rendering.messages)
    if as_json:
        messages = [
            {"role": message.role, "content": message.content, "tokens": count}
            for message, count in zip(rendering.messages, counts, strict=True)
        ]
        total = sum(rendering.tokens) if rendering.tokens is not None else None
        about = {"name": prompt.name, "hash": prompt.hash, "model": rendering.model, "note": rendering.note}
        typer.echo(json_text(about | {"messages": messages, "tokens": total}))
        return
    for message, count in zip(rendering.messages, counts, strict=True):
        counted = f" ({count} tokens)" if count is not None else ""
        typer.echo(plain(f"--- {message.role}{counted}\n{message.content}"))
    if rendering.tokens is not None:
        typer.echo(plain(f"--- {sum(rendering.tokens)} tokens by {rendering.model}"))
    else:
        typer.echo(plain(rendering.note), err=True)


@app.command()
def lint(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Prompts; default: all of the project's own.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print the findings.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Check prompt files: everything that is wrong, with file, line and column. Exit code 1 for an error."""
    from prompts.lint import lint_project

    settings = settings_of(ctx.obj)
    findings = lint_project(settings, names or [])
    _print_findings(findings, settings.project_dir, "json" if as_json else form)
    if findings.errors:
        raise typer.Exit(1)


def _print_findings(findings: Findings, project: Path, form: Format) -> None:
    from dataclasses import asdict

    from prompts.collection import SHIPPED
    from prompts.lint import RULES, relative
    from prompts.problem import one_line
    from prompts.sarif import sarif

    for note in findings.notes:
        typer.echo(plain(f"note: {one_line(note)}"), err=True)
    if form == "sarif":
        roots = {"PROJECT": project, "LOCKGATE": SHIPPED.parents[1]}
        typer.echo(json_text(sarif(findings.problems, RULES, roots)))
    elif form == "json":
        rows = [
            {key: one_line(value) if isinstance(value, str) else value for key, value in asdict(problem).items()}
            for problem in (relative(problem, project) for problem in findings.problems)
        ]
        typer.echo(json_text({"findings": rows, "notes": findings.notes, "prompts": findings.prompts}))
    else:
        for problem in (relative(problem, Path.cwd()) for problem in findings.problems):
            place = f"{problem.file}:{problem.line}:{problem.column}"
            shown = f"{place}: {problem.level} {problem.rule} {problem.message} {problem.fix}".rstrip()
            typer.echo(plain(one_line(shown)))
        warnings = len(findings.problems) - findings.errors
        counts = [_count(findings.errors, "error"), _count(warnings, "warning")]
        typer.echo(f"{_count(findings.prompts, 'prompt')}: {', '.join(counts)}.", err=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _described(prompt: Prompt) -> dict[str, Any]:
    return {
        "name": prompt.name,
        "hash": prompt.hash,
        "description": prompt.description,
        "owner": prompt.owner,
        "variables": dict(prompt.variables),
        "trusted": list(prompt.trusted),
        "output": prompt.output,
        "defaults": prompt.defaults.model_dump(exclude_none=True),
        "suites": list(prompt.suites),
        "examples": len(prompt.examples.rows) if prompt.examples else 0,
        "path": str(prompt.path),
    }
