"""``lockgate prompts``: what prompts there are and what they say."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from lockgate.settings import settings_of

app = typer.Typer(no_args_is_help=True, help="Prompt files: list and show them.")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("list")
def list_prompts(ctx: typer.Context, as_json: Json = False) -> None:
    """List the prompts of the project and those that ship with Lockgate."""
    from prompts.collection import load_library

    found = load_library(settings_of(ctx.obj).project_dir).values()
    if as_json:
        typer.echo(json.dumps([_described(prompt) for prompt in found]))
        return
    width = max((len(prompt.name) for prompt in found), default=0)
    for prompt in found:
        typer.echo(f"{prompt.name:<{width}}  {prompt.hash[:12]}  {' '.join(prompt.description.split())}")


@app.command()
def show(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="The prompt's name.")], as_json: Json = False
) -> None:
    """Show one prompt: its file, version and text."""
    from prompts.collection import find_prompt

    prompt = find_prompt(settings_of(ctx.obj).project_dir, name)
    if as_json:
        typer.echo(json.dumps(_described(prompt) | {"text": prompt.text}))
        return
    typer.echo(f"{prompt.path}  {prompt.hash[:12]}\n\n{prompt.text}", nl=False)


def _described(prompt: Any) -> dict[str, object]:
    return {
        "name": prompt.name,
        "hash": prompt.hash,
        "description": prompt.description,
        "owner": prompt.owner,
        "variables": dict(prompt.variables),
        "defaults": prompt.defaults.model_dump(exclude_none=True),
        "path": str(prompt.path),
    }
