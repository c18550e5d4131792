"""``lockgate guardrails``: try a policy on a text."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from lockgate.errors import PolicyRefused
from lockgate.settings import settings_of

app = typer.Typer(no_args_is_help=True, help="Policies and their checks: try one on a text.")


class Stage(StrEnum):
    INPUT = "input"
    OUTPUT = "output"


@app.callback()
def _guardrails() -> None:
    """Keeps ``check`` a word of its own while it is the only command."""


@app.command()
def check(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="The text to check.")],
    stage: Annotated[Stage, typer.Option(help="Check it as a question or as an answer.")] = Stage.INPUT,
    policy: Annotated[str, typer.Option(help="The policy's name.")] = "default",
    citations: Annotated[int, typer.Option(min=0, help="How many passages the answer was given.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Print the text as the policy lets it through, and what was done to it; exit 1 when it is blocked."""
    from guardrails.policy import load_policy

    loaded = load_policy(settings_of(ctx.obj).project_dir, policy)
    passed, actions, refused = text, list[str](), ""
    if stage is Stage.INPUT:
        try:
            passed = loaded.check_input(text)
            actions = ["control characters removed"] if passed != text else []
        except PolicyRefused as error:
            if not as_json:
                raise
            passed, refused = "", error.message
    else:
        output = loaded.output_filter(frozenset(), citations)
        passed = output.feed(text) + output.finish()
        actions = output.actions
    if as_json:
        result = {"policy": loaded.name, "hash": loaded.hash, "stage": stage.value, "blocked": bool(refused)}
        typer.echo(json.dumps(result | {"message": refused, "text": passed, "actions": actions}))
        if refused:
            raise typer.Exit(1)
        return
    typer.echo(passed)
    for action in actions:
        typer.echo(action, err=True)
